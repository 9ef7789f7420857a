"""Pictures of the demo page, and of the built site: what a visitor sees.

    python -m docs.generate.screenshots RUN PHOTO FOLDER    # page.png, page_memory.png
    python -m docs.generate.screenshots --site site FOLDER  # the site's pages, to look at

Wants the extra `browser` and Debian's chromium, as `make browser` installs them. Not part of
`python -m docs.generate`: the run is nowhere in the project.
"""

import argparse
import functools
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 1280, 1120
COLORS = 96  # of a picture that is kept: a page is mostly flat
PATIENCE = 120_000  # milliseconds; a shared machine draws slowly
FLAGS = ("--no-sandbox", "--use-angle=swiftshader")
SITE = ("index", "getting_started", "memory_explained", "results", "cli/mem3d-cli", "api/memstore")


def main() -> None:
    """See the module."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--site", action="store_true", help="SOURCE is a built site")
    parser.add_argument("source", metavar="SOURCE", type=Path, help="run, or built site")
    parser.add_argument("photo", nargs="?", type=Path, help="for a run: what to drop on the page")
    parser.add_argument("out", type=Path, help="folder of the pictures")
    given = parser.parse_args()
    if not given.site and given.photo is None:
        parser.error("got no photo, want RUN PHOTO FOLDER")
    given.out.mkdir(parents=True, exist_ok=True)
    with _browser() as browser:
        if given.site:
            _shoot_site(browser, given.source, given.out)
        else:
            with _served(given.source) as address:
                _shoot_page(browser, address, given.photo, given.out)


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        found.close()


@contextmanager
def _served(run: Path) -> Iterator[str]:
    """The address of the demo page of a run."""
    command = [sys.executable, "-u", "-c", "from mem3d_cli.mem3d.app import main; main()", "demo"]
    with (
        TemporaryDirectory() as folder,
        (Path(folder) / "log").open("w+") as log,
        subprocess.Popen([*command, str(run)], stdout=log, stderr=log) as process,
    ):
        try:
            while not (found := re.search(r"http://\S+", Path(log.name).read_text())):
                if process.poll() is not None:
                    raise SystemExit(Path(log.name).read_text())
                time.sleep(0.2)
            yield found[0]
        finally:
            process.terminate()


def _shoot_page(browser: Any, address: str, photo: Path, out: Path) -> None:
    """The page with a photo's shape and what was recalled; the memory, most read first."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", photo)
    wait = "document.querySelector('#note')?.innerText.includes('voxel')"
    page.wait_for_function(wait)
    page.wait_for_selector("#shape canvas")
    page.wait_for_timeout(8_000)  # until it is drawn, without a graphics card
    _keep(page, out / "page.png")
    page.get_by_role("tab", name="Memory").click()
    page.wait_for_selector("#stored .thumbnail-item")
    page.wait_for_timeout(4_000)
    _keep(page, out / "page_memory.png")


def _shoot_site(browser: Any, site: Path, out: Path) -> None:
    """Pages of the site, each as far as a screen shows it."""
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name in SITE:
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/{name}.html")
            page.wait_for_timeout(1_000)
            _keep(page, out / f"{name.replace('/', '_')}.png")
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def _keep(page: Any, path: Path) -> None:
    """Of few colors, so that it is small."""
    page.screenshot(path=path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLORS).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
