"""The demo page: what is where, and which control calls what."""

import base64
import html
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI

from mem3d.demo.guard import Guard
from mem3d.demo.handlers import FILES, SIDES, VIEW, WELCOME, DemoPage, Visit
from mem3d.demo.memory_view import ORDERS
from mem3d.demo.reconstruct_view import CANVAS, HIGHEST, LOWEST, MAX_BYTES, PAINT, SHEER
from mem3d.inference.output import PRINT_TYPES
from mem3d.inference.printing import LARGEST, PRINT_SIZE, SMALLEST

IDLE = 3600  # seconds until what is held for a visitor who does nothing is dropped
VISITORS = 64  # whose state is kept at once
START = 0.3  # of the threshold, as in the results
CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
#head h1 { margin-bottom: 0; }
#examples .gallery { gap: 6px; }
#examples .gallery-item img { width: 64px; height: 64px; object-fit: contain; margin: 0; }
#recalled, #stored { height: auto !important; }
#recalled > :not(.wrap), #stored > :not(.wrap) {
  position: static !important; height: auto !important;
}
#recalled .grid-wrap, #stored .grid-wrap { min-height: 0; max-height: none; padding-top: 6px; }
#recalled .grid-container, #stored .grid-container { padding-top: 0; }
#recalled .grid-container { grid-template-columns: repeat(8, minmax(0, 1fr)) !important; }
#recalled .thumbnail-item, #stored .thumbnail-item {
  display: block; height: auto; aspect-ratio: auto; background: white;
}
#recalled .caption-label, #stored .caption-label {
  position: static; max-width: 100%; border: none; padding: 2px 4px 6px; text-align: center;
  white-space: pre-line; opacity: 1; overflow-wrap: anywhere; font-size: 12px; line-height: 1.35;
}
#recalled .empty, #stored .empty { min-height: 120px; height: 120px; }
#where { text-align: center; }
footer { display: none !important; }
@media (max-width: 1100px) {
  #recalled .grid-container, #stored .grid-container {
    grid-template-columns: repeat(auto-fill, minmax(125px, 1fr)) !important;
  }
}
"""


class Server:
    """The page, answering in a thread of its own."""

    def __init__(self, page: DemoPage, host: str, listener: socket.socket) -> None:
        """Begin to answer.

        Args:
            page: what is shown.
            host: name or address that is listened at.
            listener: of `guard.listen`.
        """
        site = Guard(_site(page), host, MAX_BYTES, page.tidy)
        config = uvicorn.Config(
            site, log_level="critical", ws="none", lifespan="on", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=[[listener]], daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.should_exit = True
        self._thread.join(timeout=5)


def _site(page: DemoPage) -> FastAPI:
    """What answers, without its guard; it looks at no setting of gradio's in the environment."""
    blocks = layout(page).queue(max_size=VISITORS, api_open=False)
    blocks.state_session_capacity = VISITORS
    return gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        path="/",
        max_file_size=MAX_BYTES,
        show_error=False,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"]),
        css=CSS,
    )


def layout(page: DemoPage) -> gr.Blocks:
    """Both tabs."""
    with gr.Blocks(title="mem3d", delete_cache=(IDLE, IDLE), analytics_enabled=False) as blocks:
        visit = gr.State(Visit(), time_to_live=IDLE, delete_callback=page.forget)
        gr.Markdown(
            f"# mem3d\nOne photo in, a 32³ shape out, with a memory of shapes. Run: `{page.name}`",
            elem_id="head",
        )
        with gr.Tabs():
            with gr.Tab("Reconstruct"):
                threshold = _reconstruct_tab(page, visit)
            with gr.Tab("Memory") as tab:
                _memory_tab(page, visit, threshold, tab)
    return blocks


def _reconstruct_tab(page: DemoPage, visit: gr.State) -> gr.Slider:
    """Photo and shape beside each other, what was recalled below them; gives the threshold."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            photo, network_input, status = _photo_column(page)
        with gr.Column(scale=3, min_width=420):
            controls, outputs = _shape_column()
    editor, buttons = _mask_row()
    gallery = gr.Gallery(
        label="Recalled shapes, the best first", columns=8, height="auto", object_fit="contain",
        elem_id="recalled", buttons=[],
    )  # fmt: skip
    name, again = _remember_row(page, visit, controls[0])
    answers = [visit, status, network_input, gallery, name, editor, *outputs]
    # Without preprocess=False gradio would open the photo itself and fail in words of its own.
    options: Any = {
        "trigger_mode": "always_last", "api_visibility": "private", "concurrency_id": "network",
        "show_progress_on": [outputs[0], gallery], "preprocess": False,
    }  # fmt: skip
    # The old shape goes before the network runs: it never stands beside new numbers.
    first: Any = {"trigger_mode": "always_last", "api_visibility": "private", "queue": False}
    for event in (photo.change, again.click):
        event(_cleared, None, outputs, show_progress="hidden", **first).then(
            lambda upload, *rest: page.photo(upload and upload["path"], *rest),
            [photo, *controls, visit], answers, **options,
        )  # fmt: skip
    use, find, empty = buttons
    for button, is_box in ((use, False), (find, True)):
        button.click(_cleared, None, outputs, show_progress="hidden", **first).then(
            partial(_corrected, page, is_box), [editor, *controls, visit], answers, **options
        )
    empty.click(
        page.emptied, visit, editor, api_visibility="private", show_progress="hidden", queue=False
    )
    for control in controls:
        control.change(
            page.turned_shape, [*controls, visit, outputs[0]], outputs,
            trigger_mode="always_last", api_visibility="private", show_progress="hidden",
        )  # fmt: skip
    return controls[0]


def _cleared() -> list[Any]:
    """No shape, in the order of `DemoPage.shape`."""
    return [None, "", None, *(gr.DownloadButton(interactive=False) for _ in FILES)]


def _corrected(page: DemoPage, is_box: bool, editor: Any, *rest: Any) -> Any:
    return page.corrected(editor, is_box, *rest)


def _mask_row() -> tuple[gr.ImageEditor, list[gr.Button]]:
    """The photo with its mask to paint on; and buttons: use it, find it in a box, empty it.

    Nobody listens to the editor's own events: so what is painted comes as ordinary uploads, which
    the guard bounds, and not into gradio's RAM with every stroke.
    """
    color = f"rgb{PAINT}"
    with gr.Accordion("Correct the mask", open=False, elem_id="mask"):
        gr.Markdown(
            "What is painted over is the object: add with the brush, take away with the eraser. Or "
            "empty it, draw a stroke across the object from corner to corner, and let the object "
            "be found in the box around that stroke."
        )
        editor = gr.ImageEditor(
            show_label=False, height=460, elem_id="editor", buttons=[], sources=[], transforms=[],
            layers=False, format="png", interactive=True, fixed_canvas=True,
            canvas_size=(CANVAS, CANVAS),
            brush=gr.Brush(
                colors=[(color, SHEER)], default_color=(color, SHEER), color_mode="fixed"
            ),
        )  # fmt: skip
        with gr.Row():
            buttons = [
                gr.Button("Use this mask", variant="primary", elem_id="use-mask"),
                gr.Button("Find the object in the box around the paint", elem_id="use-box"),
                gr.Button("Empty the mask", elem_id="empty-mask"),
            ]
    return editor, buttons


def _photo_column(page: DemoPage) -> tuple[gr.Image, gr.Image, gr.Markdown]:
    """Photo, what the network saw of it, what is said of it."""
    photo = gr.Image(
        label=f"Photo of one object, at most {MAX_BYTES >> 20} MB", type="filepath",
        image_mode=None, sources=["upload", "clipboard"], height=300, elem_id="photo", buttons=[],
    )  # fmt: skip
    with gr.Row(equal_height=True):
        network_input = gr.Image(
            label="What the network saw", interactive=False, height=170, elem_id="seen",
            buttons=[], scale=1, min_width=170,
        )  # fmt: skip
        with gr.Column(scale=1, min_width=170):
            status = gr.Markdown(WELCOME, elem_id="status")
    examples = gr.Dataset(
        components=["html"], samples=[[_thumbnail(path)] for path in page.examples],
        label="Examples", type="index", elem_id="examples",
    )  # fmt: skip
    examples.click(
        lambda index: str(page.examples[index]), examples, photo,
        api_visibility="private", show_progress="hidden", queue=False,
    )  # fmt: skip
    return photo, network_input, status


def _thumbnail(path: Path) -> str:
    """A picture within the page's text: as a file it would tell all visitors where that lies."""
    picture = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{picture}" alt="{html.escape(path.stem)}">'


def _shape_column() -> tuple[list[Any], list[Any]]:
    """Threshold, surface, print size and its side; what `DemoPage.shape` answers, in its order."""
    viewer = _viewer("Shape: drag to turn it, scroll to come closer", 440, "shape")
    with gr.Row():
        threshold = gr.Slider(
            LOWEST, HIGHEST, START, step=0.01, label="Threshold", scale=3, elem_id="threshold",
            info="A voxel is full above this occupancy. No network runs.",
        )  # fmt: skip
        surface = gr.Radio(["smooth", "blocky"], value="smooth", label="Surface", scale=1)
        size = gr.Number(
            PRINT_SIZE, label="Print size, mm", info=f"{SMALLEST:g} to {LARGEST:g}",
            scale=1, min_width=130, elem_id="size",
        )  # fmt: skip
        side = gr.Radio(list(SIDES), value=SIDES[0], label="of its", scale=1, elem_id="side")
    note = gr.Markdown(elem_id="note")
    printed = gr.Image(
        label="What will be printed", interactive=False, elem_id="printed", buttons=[],
        height="auto",
    )  # fmt: skip
    with gr.Row():
        buttons = [
            gr.DownloadButton(
                f"Print: {kind}" if kind in PRINT_TYPES else f"Download {kind}",
                interactive=False, elem_id=f"get-{kind}", min_width=110,
            )
            for kind in FILES
        ]  # fmt: skip
    return [threshold, surface, size, side], [viewer, note, printed, *buttons]


def _remember_row(page: DemoPage, visit: gr.State, threshold: gr.Slider) -> tuple[Any, Any]:
    """Name, own shape, buttons; gives the name's box and the button "Reconstruct again"."""
    place = (
        "It is kept in the run that `--out` names, and every visitor recalls it."
        if page.memories.shared
        else "It goes into your own copy of the memory, which is dropped when you leave."
    )
    with gr.Accordion("Remember this shape", open=False):
        gr.Markdown(
            f"Writes this photo with the shape above, or with a binvox file (32³, y up, front "
            f"+x), to the memory. {place}"
        )
        with gr.Row():
            name = gr.Textbox(label="Name", max_lines=1, max_length=128, elem_id="name", scale=2)
            upload = gr.File(
                label="Its true shape, if at hand (.binvox)", file_types=[".binvox"], height=130,
                elem_id="binvox", scale=2,
            )  # fmt: skip
            with gr.Column(scale=1, min_width=160):
                button = gr.Button("Remember", variant="primary", elem_id="remember")
                again = gr.Button("Reconstruct again", elem_id="again")
        report = gr.Markdown(elem_id="remembered")
    button.click(
        page.memorize, [name, upload, threshold, visit], [visit, report],
        api_visibility="private", concurrency_id="network", show_progress="minimal",
    )  # fmt: skip
    return name, again


def _memory_tab(page: DemoPage, visit: gr.State, threshold: gr.Slider, tab: gr.Tab) -> None:
    """Facts, the shapes page by page, and beside them the picked one and histograms."""
    facts = gr.Markdown(elem_id="facts")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=420):
            with gr.Row():
                order = gr.Dropdown(list(ORDERS), value=ORDERS[0], label="Order", elem_id="order")
                number = gr.Number(1, label="Page", precision=0, minimum=1, elem_id="number")
            with gr.Row():
                before = gr.Button("◀ Before", size="sm", elem_id="before")
                where = gr.Markdown(elem_id="where")
                after = gr.Button("Next ▶", size="sm", elem_id="after")
            gallery = gr.Gallery(
                label="Stored shapes: slot · source; click one to turn it", columns=6,
                height="auto", object_fit="contain", allow_preview=False, elem_id="stored",
                buttons=[],
            )  # fmt: skip
        with gr.Column(scale=2, min_width=320):
            viewer = _viewer("The shape you clicked", 360, "picked")
            named = gr.Markdown(elem_id="named")
            drawn = gr.Image(
                show_label=False, interactive=False, elem_id="histograms", buttons=[], height="auto"
            )
    current = gr.State(None)
    inputs, outputs = [order, number, threshold, visit], [current, gallery, number, where]
    options: Any = {"api_visibility": "private", "show_progress_on": [gallery]}
    tab.select(page.overview, [threshold, visit], [facts, drawn], **options)
    for event, turn in (
        (tab.select, page.browse),
        (number.submit, page.browse),
        (order.input, lambda order, _, *rest: page.browse(order, 1, *rest)),
        (before.click, lambda order, number, *rest: page.browse(order, number - 1, *rest)),
        (after.click, lambda order, number, *rest: page.browse(order, number + 1, *rest)),
    ):
        event(turn, inputs, outputs, **options)
    gallery.select(page.picked, [current, visit], [visit, viewer, named], **options)


def _viewer(label: str, height: int, elem_id: str) -> gr.Model3D:
    return gr.Model3D(
        label=label, height=height, camera_position=VIEW, clear_color=(0.97, 0.97, 0.98, 1),
        interactive=False, elem_id=elem_id,
    )  # fmt: skip
