"""Pictures to features, a batch at a time: here, or in workers; what was encoded is not lost.

The dear part of memorizing. What is written to the memory, in which order, is the driver's alone.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from mem3d.actors import Crew
from mem3d.data.dataset import ShapeDataset
from mem3d.integrity import check_of_facts, new_hash
from mem3d.journal import Journal
from mem3d.memory.interface import Features
from mem3d.network import features as encoder
from mem3d.network.features import View
from mem3d.network.fingerprint import check_of_network
from mem3d.network.model import Mem3D

Encode = Callable[[Sequence[View], int], Iterator[Features]]
"""Features (b, C) of views, so many at a time."""


class Task(NamedTuple):
    """A batch to encode.

    Attributes:
        views: of the data set.
        check: of the pictures whose features are there already; "" if none are.
        first: number of its first picture, from 1 on.
    """

    views: tuple[View, ...]
    check: str
    first: int


class Encoded(NamedTuple):
    """What became of a batch.

    Attributes:
        check: of its pictures.
        features: (b, C); None if the pictures are those that the task names.
    """

    check: str
    features: Features | None


class Encoder:
    """Encodes pictures of a data set with a network."""

    def __init__(self, model: Mem3D, data: ShapeDataset, device: str) -> None:
        self._model, self._data, self._device = model, data, device

    @cached_property
    def identity(self) -> str:
        """Check of the network."""
        return check_of_network(self._model)

    def __call__(self, task: Task, /) -> Encoded:
        """Do a batch."""
        pictures = encoder.pixels_of(self._model, self._data, task.views)
        digest = new_hash()
        for picture in pictures:
            digest.update(np.ascontiguousarray(picture).data)
        check = digest.hexdigest()
        if check == task.check:
            return Encoded(check, None)
        return Encoded(check, encoder.encode(self._model, pictures, self._device))

    def close(self) -> None:
        """As Crew."""


def remote_encoder(load: Callable[[], Mem3D], threads: int, data: ShapeDataset) -> Encoder:
    """An encoder with a network of its own, for a worker; `load` opens that."""
    torch.set_num_threads(threads)
    return Encoder(load(), data, "cpu")


def journal_of(out: Path) -> Path:
    """File of the journal of a new run, beside where that is to be."""
    return out.with_name(f"{out.name}.unfinished.jsonl")


def unfinished(out: Path, identity: str, threads: int, device: str) -> Journal:
    """Journal of what was encoded for a new run.

    Args:
        out: folder of the run.
        identity: of the network, see `Encoder`.
        threads: that are computed with.
        device: likewise.

    Raises:
        ValueError: there is another file.
    """
    releases = [version("mem3d"), torch.__version__]
    check = check_of_facts([identity, threads, device, releases])
    return Journal(journal_of(out), check)


def encoded(crew: Encoder | Crew, journal: Journal | None) -> Encode:
    """What encodes views, but for those that a journal has, and notes there what is new.

    Args:
        crew: who encodes.
        journal: of pictures that were encoded before; None without. What it has of a picture that
            has changed since is encoded again.
    """

    def encode(views: Sequence[View], batch: int) -> Iterator[Features]:
        starts = range(0, len(views), batch)
        parts = [tuple(views[start : start + batch]) for start in starts]
        tasks = (
            Task(part, _stored(journal, part)["check"], start + 1)
            for part, start in zip(parts, starts, strict=True)
        )
        answers = map(crew, tasks) if isinstance(crew, Encoder) else crew.map(tasks, _named)
        for part, answer in zip(parts, answers, strict=True):
            features = answer.features
            if features is None:
                data = b64decode(_stored(journal, part)["features"])
                features = np.frombuffer(data, np.float32).reshape(len(part), -1).copy()
            elif journal is not None:
                text = b64encode(np.ascontiguousarray(features).data).decode()
                journal.add(_key(part), {"check": answer.check, "features": text})
            yield features

    return encode


def _stored(journal: Journal | None, views: Sequence[View]) -> dict[str, str]:
    """What a journal has of a batch; a check of "" if nothing."""
    entry = None if journal is None else journal.get(_key(views))
    return {"check": ""} if entry is None else entry


def _key(views: Sequence[View]) -> str:
    """A batch's name in a journal."""
    return check_of_facts([list(view) for view in views])


def _named(task: Task) -> str:
    """What an error calls a batch."""
    return f"pictures {task.first} to {task.first + len(task.views) - 1}"
