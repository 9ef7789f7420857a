"""What the demo page's controls call; app.py puts them on the page.

A method takes and gives what its controls show, so that a test can call it without a browser.
"""

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import gradio as gr

from mem3d.data.images.framing import Background
from mem3d.demo.guard import drop_oldest
from mem3d.demo.memory_view import (
    Order,
    Page,
    Reference,
    facts,
    histograms,
    page,
    slot_text,
    write_slot,
)
from mem3d.demo.reconstruct_view import (
    PhotoResult,
    account,
    editor_value,
    read_paint,
    read_shape,
    recalled_tiles,
    reconstruct_corrected,
    reconstruct_upload,
    to_print,
    write_files,
)
from mem3d.demo.sessions import VisitorMemories
from mem3d.inference.figures import body_tiles
from mem3d.inference.output import Surface
from mem3d.network.model import Mem3D
from memstore import Memory, MemstoreError
from memstore.voxels.contact_sheet import sheet

FORESEEN = (ValueError, OSError, MemstoreError)
WELCOME = "Drop a photo of one object, or click an example below."
Turned = tuple[float, float, float] | None  # two angles in degrees, distance
Millimeters = float | None  # None where the field is empty
Side = Literal["longest side", "height"]
SIDES: tuple[Side, ...] = get_args(Side)
VIEW = (35.0, 65.0, 1.9)
UPLOADS = "gradio"  # folder within the page's, where gradio puts them
EXAMPLES = "examples"  # another
MOST_LAYERS = 4  # of paint that are looked at; the page has one
FILES = ("glb", "binvox", "npz", "stl", "3mf")


@dataclass(eq=False)
class Visit:
    """What belongs to one visitor, kept on the server; never shared.

    Attributes:
        photo: None before the first.
        own: the memory of this visitor; None before anything is memorized, or if all share one.
    """

    photo: PhotoResult | None = None
    own: Memory | None = None
    _folder: Path | None = None

    def folder(self, root: Path) -> Path:
        """Of the files made for this visitor; goes with the visit, whoever drops that."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(dir=root))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def end(self) -> None:
        """Drop the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self.photo = self.own = self._folder = None


@dataclass(frozen=True, kw_only=True, repr=False)
class DemoPage:
    """What all visitors share; each method answers one control.

    Attributes:
        model: in evaluation mode.
        name: of the run.
        memories: of the visitors.
        background: of photos without a mask.
        device: where the network is.
        folder: temporary.
        examples: photos to try.
        tell: prints a line on the terminal.
    """

    model: Mem3D
    name: str
    memories: VisitorMemories
    background: Background | None
    device: str
    folder: Path
    examples: list[Path]
    tell: Callable[[str], None]

    def __repr__(self) -> str:
        return type(self).__name__  # gradio shows it to every visitor

    def photo(
        self,
        path: str | None,
        threshold: float,
        surface: Surface,
        size: Millimeters,
        side: Side,
        visit: Visit,
    ) -> Any:
        """Run the network on a new photo: see `_answer`."""
        visit.photo, status = None, WELCOME
        if path:
            try:
                visit.photo, status = self._timed(lambda: self._reconstruct(path, visit))
            except FORESEEN as error:
                status = f"⚠️ **That did not work.** {error}"
        return self._answer(status, threshold, surface, size, side, visit)

    def corrected(
        self,
        editor: Any,
        is_box: bool,
        threshold: float,
        surface: Surface,
        size: Millimeters,
        side: Side,
        visit: Visit,
    ) -> Any:
        """Run the network on the photo with a painted mask, or a box: see `_answer`.

        Args:
            editor: gradio's paths of what was painted.
            is_box: look for the object in the box around the paint.
            threshold: of the slider.
            surface: smooth or blocky.
            size: of the printed body.
            side: of it that is so long.
            visit: whose photo.
        """
        status = "⚠️ There is no photo yet."
        photo = visit.photo
        if photo is not None:
            try:
                paint = read_paint(self._layers(editor), photo)
                visit.photo, status = self._timed(
                    lambda: reconstruct_corrected(
                        self.model, self._memory(visit), photo, paint,
                        is_box=is_box, device=self.device,
                    )
                )  # fmt: skip
            except FORESEEN as error:  # the shape of before stays
                status = f"⚠️ **The mask was not used.** {error}"
        return self._answer(status, threshold, surface, size, side, visit)

    def emptied(self, visit: Visit) -> Any:
        """The photo in the editor, with nothing painted."""
        return visit.photo and editor_value(replace(visit.photo, mask=None))

    def _timed(self, run: Callable[[], PhotoResult]) -> tuple[PhotoResult, str]:
        """Run the network; what is said of it, on the page and on the terminal."""
        start = time.perf_counter()
        photo = run()
        count, seconds = len(photo.result.priors), time.perf_counter() - start
        self.tell(f"{photo.name}: {count} recalled, {seconds:.2f} s")
        return photo, account(photo)

    def _answer(
        self,
        status: str,
        threshold: float,
        surface: Surface,
        size: Millimeters,
        side: Side,
        visit: Visit,
    ) -> Any:
        """Visit, status, network input, gallery, name, editor, and the shape."""
        photo = visit.photo
        shape = self.shape(threshold, surface, size, side, visit, VIEW)
        if photo is None:
            return [visit, status, None, [], "", None, *shape]
        network_input, tiles = photo.result.network_input, recalled_tiles(photo)
        return [visit, status, network_input, tiles, photo.name, editor_value(photo), *shape]

    def shape(
        self,
        threshold: float,
        surface: Surface,
        size: Millimeters,
        side: Side,
        visit: Visit,
        turned: Turned = None,
    ) -> Any:
        """Mesh the kept occupancy anew, no network: viewer, note, the print's picture, the files.

        Args:
            threshold: of the slider.
            surface: smooth or blocky.
            size: of the printed body.
            side: of it that is so long.
            visit: whose photo.
            turned: camera of the viewer, where the visitor has turned the shape.
        """
        files: dict[str, Path] = {}
        note, printed = "", None
        photo = visit.photo
        if photo is not None:
            grid = photo.grid(threshold)
            note = f"{int(grid.sum()):,} of {grid.size:,} voxels are full."
            body = None
            if grid.any():
                try:
                    body = to_print(photo, threshold, size, surface, is_height=side == "height")
                    note += f"\n\nTo print: {body}."
                    printed = sheet([body_tiles(body)])
                except ValueError as error:
                    note += f"\n\n⚠️ Nothing to print: {error}"
            files = write_files(photo, threshold, visit.folder(self.folder), surface, body)
            if not files:
                most = photo.result.occupancy.max()
                note = f"No voxel is above {threshold:g} (the fullest has {most:.2f}): lower it."
        view = {"camera_position": turned} if turned else {}
        viewer = gr.Model3D(_text(files.get("glb")), **view)
        buttons = [
            gr.DownloadButton(value=_text(files.get(f)), interactive=f in files) for f in FILES
        ]
        return [viewer, note, printed, *buttons]

    def turned_shape(
        self,
        threshold: float,
        surface: Surface,
        size: Millimeters,
        side: Side,
        visit: Visit,
        viewer: gr.Model3D,
    ) -> Any:
        """As `shape`, seen from where the visitor has turned it to."""
        return self.shape(threshold, surface, size, side, visit, _camera(viewer))

    def memorize(self, name: str, upload: str | None, threshold: float, visit: Visit) -> Any:
        """Write the photo with the shape, or with an uploaded one, to the memory: visit, status."""
        photo = visit.photo
        if photo is None:
            return [visit, "⚠️ There is no photo yet."]
        try:
            grid = read_shape(self._uploaded(upload)) if upload else photo.grid(threshold)
            visit.own, report = self.memories.memorize(visit.own, photo, grid, name)
        except FORESEEN as error:
            return [visit, f"⚠️ **Not remembered.** {error}"]
        self.tell(f"{photo.name}: {report.kind}, slot {report.slot}")
        return [visit, f"{report} Reconstruct again to see it recalled."]

    def browse(self, order: Order, number: float, threshold: float, visit: Visit) -> Any:
        """Turn to a page of the memory: page, its pictures, its number, where one is."""
        memory = self._memory(visit)
        try:
            turned = page(memory, order, int(number), _reference(visit, threshold))
        except FORESEEN as error:
            return [None, [], 1, f"⚠️ {error}"]
        where = f"page {turned.number} of {turned.pages}" if len(memory) else "The memory is empty."
        return [turned, turned.tiles, turned.number, where]

    def picked(self, current: Page | None, visit: Visit, event: gr.SelectData) -> Any:
        """Show a stored shape: visit, viewer, what is known of it."""
        if current is None:
            return [visit, None, ""]
        memory, slot = self._memory(visit), int(current.slots[event.index])
        try:
            path = write_slot(memory, slot, visit.folder(self.folder))
        except FORESEEN as error:
            return [visit, None, f"⚠️ {error}"]
        return [visit, str(path), slot_text(memory, slot)]

    def overview(self, threshold: float, visit: Visit) -> Any:
        """Facts of the memory, and histograms."""
        memory = self._memory(visit)
        return [facts(memory), histograms(memory, _reference(visit, threshold))]

    def forget(self, visit: Visit) -> None:
        """Drop what was kept for a visitor who has left."""
        self.memories.forget(visit.own)
        visit.end()

    def tidy(self) -> None:
        """Drop the oldest files of all visitors, where there are too many."""
        drop_oldest(self.folder, self.folder / EXAMPLES)

    def _reconstruct(self, path: str, visit: Visit) -> PhotoResult:
        memory, photo = self._memory(visit), self._uploaded(path)
        return reconstruct_upload(
            self.model, memory, photo, background=self.background, device=self.device
        )

    def _uploaded(self, path: str) -> Path:
        """The path of an upload; whoever writes requests by hand can name any path."""
        upload = Path(path).resolve()
        if not upload.is_relative_to((self.folder / UPLOADS).resolve()):
            raise ValueError(f"{upload.name}: got a file that was not uploaded, want one that was")
        return upload

    def _layers(self, editor: Any) -> list[Path]:
        """What was painted, of what gradio's editor sent; whoever writes requests may send less."""
        layers = editor.get("layers") if isinstance(editor, dict) else None
        entries = layers[:MOST_LAYERS] if isinstance(layers, list) else []
        return [self._uploaded(str(entry["path"])) for entry in entries if "path" in entry]

    def _memory(self, visit: Visit) -> Memory:
        return self.memories.memory(visit.own)


def _reference(visit: Visit, threshold: float) -> Reference | None:
    """What stored shapes are compared with."""
    if visit.photo is None:
        return None
    return Reference(visit.photo.grid(threshold), visit.photo.feature)


def _camera(viewer: Any) -> Turned:
    """The viewer's camera, if it is a whole one."""
    place: list[Any] = list(getattr(viewer, "camera_position", None) or ())
    if len(place) == 3 and all(isinstance(number, int | float) for number in place):
        return float(place[0]), float(place[1]), float(place[2])
    return None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
