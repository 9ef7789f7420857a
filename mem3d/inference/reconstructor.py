"""A trained network with its memory, ready to be given photos: what `mem3d.load` returns."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.images.framing import Background, Framed, frame_photo
from mem3d.data.images.io import to_rgba
from mem3d.data.images.preprocess import Box
from mem3d.inference import pretrained
from mem3d.inference.reconstruct import Reconstruction, reconstruct
from mem3d.memory.projection_cache import projections_of
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.checkpoint import Which
from mem3d.network.config import Preset
from mem3d.network.model import Mem3D
from mem3d.network.predict import EnsembleMember, check_alike
from memstore import Memory

Photo = str | Path | Image.Image | NDArray[np.uint8]


class Reconstructor:
    """A network, its memory and their settings; or several that answer together.

    As a context manager it closes its memory at the end, and those of the ensemble.

    Attributes:
        model: in evaluation mode.
        memory: where it recalls; opened to be read, or in RAM.
        preset: settings of both, and of the training.
        ensemble: further ones, whose answers are averaged with this one's; see `network.predict`.
    """

    def __init__(
        self,
        model: Mem3D,
        memory: Memory,
        preset: Preset,
        ensemble: Sequence["Reconstructor"] = (),
    ) -> None:
        """Put together.

        Args:
            model: in evaluation mode.
            memory: where it recalls.
            preset: settings of both.
            ensemble: further networks with their memories, and those beside them; backgrounds,
                recalled shapes and what is said of them are this one's.

        Raises:
            ValueError: the networks make grids of different sizes.
        """
        self.model, self.memory, self.preset = model, memory, preset
        self.ensemble: tuple[Reconstructor, ...] = ()
        for member in ensemble:
            self.ensemble += (member, *member.ensemble)
        self._member = EnsembleMember(model, memory, projections_of(model, memory))
        check_alike(model, [member._member for member in self.ensemble])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the memory, and those of the ensemble."""
        with ExitStack() as memories:  # all, also where one of them fails
            for member in reversed((self, *self.ensemble)):
                memories.callback(member.memory.close)

    @property
    def background(self) -> Background | None:
        """What becomes of backgrounds by default, see `Preset.photo_background`."""
        return self.preset.photo_background

    @overload  # a str is one photo, not a sequence of them
    def reconstruct(  # type: ignore[overload-overlap]
        self,
        image: Photo,
        *,
        threshold: float = ...,
        mask: Photo | None = ...,
        box: Box | None = ...,
        background: Background | None = ...,
        flip: bool = ...,
        batch: int = ...,
    ) -> Reconstruction: ...

    @overload
    def reconstruct(
        self,
        image: Sequence[Photo],
        *,
        threshold: float = ...,
        background: Background | None = ...,
        flip: bool = ...,
        batch: int = ...,
    ) -> list[Reconstruction]: ...

    def reconstruct(
        self,
        image: Photo | Sequence[Photo],
        *,
        threshold: float = FIXED_THRESHOLD,
        mask: Photo | None = None,
        box: Box | None = None,
        background: Background | None = None,
        flip: bool = False,
        batch: int = 16,
    ) -> Reconstruction | list[Reconstruction]:
        """Reconstruct the object in a photo, or in each of a list.

        Args:
            image: a file, a PIL image or (H, W), (H, W, 3) or (H, W, 4) uint8; alpha is the
                object's mask, unless it leaves nearly all or nothing. Or a list of such.
            threshold: in (0, 1); a voxel is full above this occupancy.
            mask: of one photo: light = object, in the photo's size; likewise, or (H, W) bool.
                Where nothing is lighter than 1, 1 is light.
            box: of one photo: left, top, right, bottom of the object in pixels, within the photo.
            background: "cut" or "keep", for photos without a mask; None as `self.background` says.
            flip: average with each photo's mirror image, see `network.predict`.
            batch: of a list, photos that go through the network at once.

        Returns:
            One result, or one for each photo of a list, in its order.

        Raises:
            ValueError: a photo, mask or number that cannot be used; says which.
            OSError: a file cannot be opened.
        """
        if batch < 1:
            raise ValueError(f"batch: got {batch}, want >= 1")
        if isinstance(image, str) or not isinstance(image, Sequence):
            frame = self.frame(image, mask=mask, box=box, background=background)
            return self.reconstruct_framed([frame], threshold=threshold, flip=flip)[0]
        if mask is not None or box is not None:
            raise ValueError("mask, box: got one with a list of photos, want it with one photo")
        results = []
        for start in range(0, len(image), batch):
            photos = image[start : start + batch]
            framed = [self.frame(photo, background=background) for photo in photos]
            results += self.reconstruct_framed(framed, threshold=threshold, flip=flip)
        return results

    def frame(
        self,
        image: Photo,
        *,
        mask: Photo | None = None,
        box: Box | None = None,
        background: Background | None = None,
    ) -> Framed:
        """The square around a photo's object that the network is to see; see `reconstruct`."""
        return frame_photo(
            to_rgba(image),
            mask=None if mask is None else to_rgba(mask, "mask"),
            box=box,
            background=background or self.background,
        )

    def reconstruct_framed(
        self, frames: Sequence[Framed], *, threshold: float = FIXED_THRESHOLD, flip: bool = False
    ) -> list[Reconstruction]:
        """Reconstruct photos that are framed already, as one batch; see `reconstruct`."""
        results = reconstruct(
            self.model,
            self.memory,
            [frame.rgba for frame in frames],
            threshold=threshold,
            framed=True,
            flip=flip,
            projections=self._member.projections,
            ensemble=[member._member for member in self.ensemble],
        )
        return [
            replace(result, background=frame.background, doubts=frame.doubts)
            for result, frame in zip(results, frames, strict=True)
        ]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write network and memory as a folder of plain files; see `pretrained.save_folder`.

        Raises:
            ValueError: it is an ensemble: each network is a folder of its own.
            memstore.MemstoreError: there is something at the path, or the disk refuses.
        """
        if self.ensemble:
            raise ValueError(f"ensemble: got {len(self.ensemble)}, want none: save each by itself")
        pretrained.save_folder(folder, self.model, self.memory, self.preset)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, device: str = "cpu"
    ) -> Self:
        """Open a published folder, or one of the Hugging Face Hub.

        Args:
            name: a folder written by `save_pretrained`; else a repository of the Hugging Face Hub,
                which is fetched or, offline, taken from its cache.
            revision: branch, tag or commit there.
            device: where the weights go.

        Raises:
            ValueError: neither a folder nor a repository that can be had, or a damaged one.
        """
        folder = Path(name)
        if not folder.is_dir():
            folder = pretrained.download(str(name), revision)
        return cls(*pretrained.load_folder(folder, device))

    def push_to_hub(self, repo: str, *, private: bool = False) -> str:
        """Publish network and memory on the Hugging Face Hub; needs its token on this machine.

        The memory holds the training shapes themselves: mind their license.

        Args:
            repo: "owner/name", made if it is not there.
            private: make it so that only its owners see it.

        Returns:
            Address of the commit.

        Raises:
            ExtraMissingError: huggingface_hub is not installed.
            ValueError: the hub refuses, or it is an ensemble.
        """
        with TemporaryDirectory() as beside:
            self.save_pretrained(Path(beside) / "model")
            return pretrained.upload(Path(beside) / "model", repo, private=private)


def load(
    path: str | Path | None = None,
    which: Which = "best",
    device: str = "cpu",
    ensemble: Sequence[str | Path] = (),
) -> Reconstructor:
    """Open a trained network with its memory.

    Args:
        path: folder of a run, or a published folder; None is the model that comes with the package.
        which: of a run: the best epoch on validation, or the last.
        device: where the weights go.
        ensemble: folders of further networks that answer too; see `network.predict`.

    Raises:
        ValueError: there is no folder, or it holds neither; or the networks make grids of
            different sizes.
        memstore.MemstoreError: the memory is missing or damaged.
    """
    if isinstance(ensemble, str | Path):
        raise ValueError(f"ensemble: got {ensemble!r}, want a list of folders")
    if ensemble:
        with ExitStack() as opened:  # where one fails, the memories of all are closed
            first, *rest = [
                opened.enter_context(load(folder, which, device)) for folder in (path, *ensemble)
            ]
            together = Reconstructor(first.model, first.memory, first.preset, rest)
            opened.pop_all()
        return together
    model, memory, state = pretrained.load_trained(path, which, device)
    return Reconstructor(model, memory, state.preset)
