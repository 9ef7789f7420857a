"""What the demo page's controls call; app.py puts them on the page.

A method takes and gives what its controls show, so that a test can call it without a browser.
"""

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from mem3d.data.images.framing import Background
from mem3d.demo.memory_view import (
    Order,
    Page,
    Present,
    facts,
    histograms,
    page,
    slot_told,
    write_slot,
)
from mem3d.demo.reconstruct_view import (
    Shown,
    account,
    read_shape,
    recalled_tiles,
    show,
    write_files,
)
from mem3d.demo.sessions import Remembering
from mem3d.inference.output import Surface
from mem3d.network.model import Mem3D
from memstore import Memory, MemstoreError

FORESEEN = (ValueError, OSError, MemstoreError)
WELCOME = "Drop a photo of one object, or click an example below."
Turned = tuple[float, float, float] | None  # two angles in degrees, distance
VIEW = (35.0, 65.0, 1.9)
UPLOADS = "gradio"  # folder within the page's, where gradio puts them
FILES = ("glb", "binvox", "npz")


@dataclass(eq=False)
class Visit:
    """What belongs to one visitor, kept on the server; never shared.

    Attributes:
        shown: the photo; None before the first.
        own: the memory of this visitor; None before anything is remembered, or if all share one.
    """

    shown: Shown | None = None
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
        self.shown = self.own = self._folder = None


@dataclass(frozen=True, kw_only=True)
class DemoPage:
    """What all visitors share; each method answers one control.

    Attributes:
        model: in evaluation mode.
        name: of the run.
        remembering: the memories.
        background: of photos without a mask.
        device: where the network is.
        folder: temporary.
        examples: photos to try.
        tell: prints a line on the terminal.
    """

    model: Mem3D
    name: str
    remembering: Remembering
    background: Background | None
    device: str
    folder: Path
    examples: list[Path]
    tell: Callable[[str], None]

    def photo(self, path: str | None, threshold: float, look: Surface, visit: Visit) -> Any:
        """Run the network on a new photo: visit, status, network input, gallery, and the shape."""
        shown, told, seen, tiles = None, WELCOME, None, []
        if path:
            try:
                began = time.perf_counter()
                shown = self._show(path, visit)
                told, seen, tiles = account(shown), shown.result.seen, recalled_tiles(shown)
                took = time.perf_counter() - began
                self.tell(f"{shown.name}: {len(tiles)} recalled, {took:.2f} s")
            except FORESEEN as error:
                told = f"⚠️ **That did not work.** {error}"
        visit.shown = shown
        name = shown.name if shown else ""
        return [visit, told, seen, tiles, name, *self.shape(threshold, look, visit, VIEW)]

    def shape(self, threshold: float, look: Surface, visit: Visit, turned: Turned = None) -> Any:
        """Mesh the kept occupancy anew, no network: viewer, note, and the files to download.

        Args:
            threshold: of the slider.
            look: smooth or blocky.
            visit: whose photo.
            turned: camera of the viewer, where the visitor has turned the shape.
        """
        files: dict[str, Path] = {}
        note = ""
        shown = visit.shown
        if shown is not None:
            files = write_files(shown, threshold, visit.folder(self.folder), look)
            full = int(shown.grid(threshold).sum())
            note = f"{full:,} of {shown.result.occupancy.size:,} voxels are full."
            if not files:
                most = shown.result.occupancy.max()
                note = f"No voxel is above {threshold:g} (the fullest has {most:.2f}): lower it."
        view = {"camera_position": turned} if turned else {}
        viewer = gr.Model3D(_text(files.get("glb")), **view)
        buttons = [
            gr.DownloadButton(value=_text(files.get(f)), interactive=f in files) for f in FILES
        ]
        return [viewer, note, *buttons]

    def turned_shape(
        self, threshold: float, look: Surface, visit: Visit, viewer: gr.Model3D
    ) -> Any:
        """As `shape`, seen from where the visitor has turned it to."""
        return self.shape(threshold, look, visit, _camera(viewer))

    def remember(self, name: str, upload: str | None, threshold: float, visit: Visit) -> Any:
        """Write the photo with the shape, or with an uploaded one, to the memory: visit, status."""
        if visit.shown is None:
            return [visit, "⚠️ There is no photo yet."]
        try:
            grid = read_shape(self._uploaded(upload)) if upload else visit.shown.grid(threshold)
            visit.own, told = self.remembering.remember(visit.own, visit.shown, grid, name)
        except FORESEEN as error:
            return [visit, f"⚠️ **Not remembered.** {error}"]
        self.tell(f"{visit.shown.name}: {told.kind}, slot {told.slot}")
        return [visit, f"{told} Reconstruct again to see it recalled."]

    def browse(self, order: Order, number: float, threshold: float, visit: Visit) -> Any:
        """Turn to a page of the memory: page, its pictures, its number, where one is."""
        memory = self._memory(visit)
        try:
            found = page(memory, order, int(number), _present(visit, threshold))
        except FORESEEN as error:
            return [None, [], 1, f"⚠️ {error}"]
        told = f"page {found.number} of {found.pages}" if len(memory) else "The memory is empty."
        return [found, found.tiles, found.number, told]

    def picked(self, found: Page | None, visit: Visit, event: gr.SelectData) -> Any:
        """Show a stored shape: visit, viewer, what is known of it."""
        if found is None:
            return [visit, None, ""]
        memory, slot = self._memory(visit), int(found.slots[event.index])
        try:
            path = write_slot(memory, slot, visit.folder(self.folder))
        except FORESEEN as error:
            return [visit, None, f"⚠️ {error}"]
        return [visit, str(path), slot_told(memory, slot)]

    def overview(self, threshold: float, visit: Visit) -> Any:
        """Facts of the memory, and histograms."""
        memory = self._memory(visit)
        return [facts(memory), histograms(memory, _present(visit, threshold))]

    def forget(self, visit: Visit) -> None:
        """Drop what was kept for a visitor who has left."""
        self.remembering.forget(visit.own)
        visit.end()

    def _show(self, path: str, visit: Visit) -> Shown:
        memory, photo = self._memory(visit), self._uploaded(path)
        return show(self.model, memory, photo, background=self.background, device=self.device)

    def _uploaded(self, path: str) -> Path:
        """The path of an upload; whoever writes requests by hand can name any path."""
        found = Path(path).resolve()
        if not found.is_relative_to((self.folder / UPLOADS).resolve()):
            raise ValueError(f"{found.name}: got a file that was not uploaded, want one that was")
        return found

    def _memory(self, visit: Visit) -> Memory:
        return self.remembering.memory(visit.own)


def _present(visit: Visit, threshold: float) -> Present | None:
    """What stored shapes are compared with."""
    if visit.shown is None:
        return None
    return Present(visit.shown.grid(threshold), visit.shown.feature)


def _camera(viewer: Any) -> Turned:
    """The viewer's camera, if it is a whole one."""
    place: list[Any] = list(getattr(viewer, "camera_position", None) or ())
    if len(place) == 3 and all(isinstance(number, int | float) for number in place):
        return float(place[0]), float(place[1]), float(place[2])
    return None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
