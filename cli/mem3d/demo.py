"""mem3d-cli demo."""

import os
import signal
import socket
import tempfile
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mem3d_cli.app import printable
from mem3d_cli.options import Checkpoint, Device, Quiet, Threads, TrainedFolder, set_threads

if TYPE_CHECKING:
    from mem3d.demo.handlers import DemoPage


def demo(
    run: TrainedFolder = None,
    browser: Annotated[bool, typer.Option("--browser", help="Also open a browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="New run that keeps what visitors let it remember; all share it. Default: each "
            "visitor has a copy of the memory, which is dropped afterwards.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port. Default: the first free one from 7860 on.", min=1, max=65535),
    ] = None,
    which: Checkpoint = "best",
    device: Device = "cpu",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Serve a page for the browser that turns photos into shapes.

    Drop a photo, turn its shape, look through the memory. It needs the extra "demo": in a checkout,
    pip install -c constraints.txt -e '.[demo]'. Nothing is fetched from elsewhere, and RUN is not
    changed.

    Example: mem3d-cli demo --browser

    In Python: mem3d.demo.reconstruct_view, mem3d.demo.memory_view, mem3d.demo.sessions.
    """
    from mem3d.bundled import bundled_model
    from mem3d.demo.guard import LOOPBACK, listen
    from memstore.files import check_free

    run = run or bundled_model()
    _check_run(run, which)  # gradio takes long to import: look first
    if out is not None:
        check_free(out)
    listener, url = listen(host, port)
    with listener, tempfile.TemporaryDirectory(prefix="mem3d-demo-") as folder:
        _stay_offline(folder)
        _check_extra()
        set_threads(threads)
        page = _page(run, which, device, out, Path(folder), quiet)
        try:
            if host not in LOOPBACK:
                typer.echo(f"{host}: whoever reaches this machine can use the page", err=True)
            _serve(page, host, listener, url, browser)
        finally:
            page.memories.close()
            if out is not None:
                typer.echo(f"{printable(out)}: a run with what was remembered", err=True)


def _check_run(run: Path, which: str) -> None:
    """Raise ValueError unless there is something to show."""
    from mem3d.network.checkpoint import check_trained, is_published, read_state

    check_trained(run)
    if not is_published(run):
        read_state(run / f"{which}.safetensors")


def _stay_offline(folder: str) -> None:
    """Tell gradio, before it is imported, to ask nobody anything and to keep its files together."""
    uploads = Path(folder) / "gradio"  # handlers.UPLOADS, which cannot be imported yet
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)


def _check_extra() -> None:
    from memstore import ExtraMissingError

    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ExtraMissingError.of("demo", "gradio", "demo") from error


def _page(
    run: Path, which: str, device: str, out: Path | None, folder: Path, quiet: bool
) -> "DemoPage":
    """Load the network and its memory, and make the example photos."""
    from mem3d.demo.examples import example_photos
    from mem3d.demo.handlers import EXAMPLES, DemoPage
    from mem3d.demo.sessions import VisitorMemories
    from mem3d.inference.pretrained import load_trained

    model, memory, state = load_trained(run, "last" if which == "last" else "best", device)
    examples = folder / EXAMPLES
    examples.mkdir()

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(printable(text))

    return DemoPage(
        model=model,
        name=run.name,
        memories=VisitorMemories(run, model, memory, state, write=out, device=device),
        background=state.preset.photo_background,
        device=device,
        folder=folder,
        examples=example_photos(run, examples),
        tell=tell,
    )


def _serve(page: "DemoPage", host: str, listener: socket.socket, url: str, browser: bool) -> None:
    """Answer until Ctrl-C."""
    from mem3d.demo.app import Server

    server = Server(page, host, listener)
    typer.echo(f"{url}  (Ctrl-C ends it)")
    if browser:
        webbrowser.open(url)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service is ended the same way
    with suppress(KeyboardInterrupt):
        while True:  # whoever waits for ever is not woken by a signal that another thread was given
            time.sleep(1)
    server.close()
