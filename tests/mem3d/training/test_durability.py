"""A run whose power is cut at any point goes on from its previous or its new checkpoint.

What memstore has committed counts as being on the disk; what training writes beside it (weights,
log, run.json) only once file and folder are synced.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mem3d.data.readers.r2n2 import R2N2
from mem3d.network import checkpoint
from mem3d.network.checkpoint import BEST, LAST
from mem3d.network.presets import TINY
from mem3d.training.state import note_best
from mem3d.training.trainer import train
from memstore import Memory

PRESET = replace(TINY, train=replace(TINY.train, epochs=2))
pytestmark = [
    pytest.mark.usefixtures("no_curves"),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs names of open files"),
]


class Disk:
    """What a run's folder does with its files, and what a power cut would leave of them.

    Attributes:
        run: the folder.
        events: (operation, name) in order; "fsync .", of the folder itself.
        cuts: folders, as a power cut after each event leaves them; of those with the same
            checkpoints and memory, one.
    """

    def __init__(self, run, place, monkeypatch):
        self.run, self.events, self.cuts = run, [], []
        self._place, self._synced, self._stable = place, {}, {}  # copies by inode, and by name
        self._contents = set()
        for name in ("replace", "fsync"):
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))
        for name in ("commit", "tag", "untag", "expire"):
            monkeypatch.setattr(Memory, name, self._watched(name, getattr(Memory, name)))

    def _watched(self, operation, real):
        def call(first, *others, **options):
            result = real(first, *others, **options)
            path = {"replace": lambda: Path(others[0]), "fsync": lambda: path_of(first)}
            self._note(operation, path.get(operation, lambda: self.run / "memory")())
            return result

        return call

    def _note(self, operation, path):
        """An event, if it is none of memstore's own files; its tests cut the power there."""
        is_own = path == self.run or (path.parent == self.run and not path.is_dir())
        is_call = operation not in ("replace", "fsync")  # of the memory, which is a folder
        if not (is_own or is_call) or not (self.run / "memory").exists():
            return
        self.events.append((operation, os.path.relpath(path, self.run)))
        if operation == "fsync" and path.is_file():
            self._synced[path.stat().st_ino] = link(path, self._place / f"synced-{path.name}")
        elif operation == "fsync":
            self._stable = {file.name: self._stable_copy(file) for file in files_in(self.run)}
        for is_lost in (False, True):
            self._cut(is_lost)

    def _stable_copy(self, file):
        """What of a file whose name is on the disk is there too: all, or no byte."""
        if file.stat().st_ino not in self._synced:
            (self._place / "empty").touch()
            return self._place / "empty"
        return self._synced[file.stat().st_ino]

    def _cut(self, is_lost):
        """Copy the folder, as it is or as it is on stable storage."""
        copy = self._place / str(len(self.cuts))
        shutil.copytree(self.run / "memory", copy / "memory")
        files = self._stable if is_lost else {file.name: file for file in files_in(self.run)}
        for name, file in files.items():
            os.link(file, copy / name)  # writers replace files, and change none
        content = {name: (copy / name).stat().st_ino for name in (BEST, LAST) if name in files}
        for file in sorted((copy / "memory").rglob("*")):
            content[str(file.relative_to(copy))] = file.is_file() and file.read_bytes()
        if repr(content) in self._contents:
            shutil.rmtree(copy)
        else:
            self._contents.add(repr(content))
            self.cuts.append(copy)


def path_of(descriptor):
    """Of an open file or folder."""
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


def files_in(folder):
    """Not those of folders in it."""
    return [path for path in folder.iterdir() if path.is_file()]


def link(path, place):
    """A second name of a file, so that its inode stays."""
    place = place.with_name(f"{place.name}-{path.stat().st_ino}")
    place.unlink(missing_ok=True)
    os.link(path, place)
    return place


@pytest.fixture(scope="module")
def sets(made_up_data):
    return R2N2.open(made_up_data, "train"), R2N2.open(made_up_data, "val")


@pytest.fixture(scope="module", autouse=True)
def every_epoch_is_better():
    """So that each writes both checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "mem3d.training.trainer.note_best",
            lambda state, row, scores: note_best(state, {**row, "val_iou": row["epoch"]}, scores),
        )
        yield


@pytest.fixture(scope="module")
def disk(sets, tmp_path_factory):
    """A run of two epochs, watched."""
    run, cuts = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cuts")
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(run, cuts, patch)
        train(*sets, run, PRESET)
    return disk


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_checkpoint_is_on_the_disk_before_what_it_replaces_goes(disk, name):
    """Memory, file, name, folder; only then are older snapshots forgotten."""
    places = [i for i, event in enumerate(disk.events) if event == ("replace", name)]
    assert len(places) == (2 if name == BEST else 3)  # a run begins with its last
    for place in places:
        assert disk.events[place - 1] == ("fsync", f".{name}.partial")
        assert disk.events[place + 1] == ("fsync", ".")
        before = [operation for operation, file in disk.events[:place] if file == "memory"]
        assert before[-1] in ("commit", "tag")


def test_the_previous_snapshot_stays_until_the_next_checkpoint_is_on_the_disk(disk):
    operations = [operation for operation, _ in disk.events]
    for place in (i for i, operation in enumerate(operations) if operation == "expire"):
        epoch = disk.events[:place][::-1]
        since = epoch[: epoch.index(("replace", LAST))]
        assert ("fsync", ".") in since and ("commit", "memory") not in since


def restored(run):
    """What its last checkpoint and the memory of it hold."""
    model, memory, state = checkpoint.load(run, "last")
    with memory:
        slots = memory.slots
        arrays = slots, memory.ages, memory.keys(slots), memory.values(slots)
        weights = [weight.numpy() for weight in model.state_dict().values()]
        names = memory.sources
    return state.step, state.best_step, names, [array.tobytes() for array in (*arrays, *weights)]


def test_a_run_goes_on_from_every_cut_as_if_there_had_been_none(disk, sets):
    whole = restored(disk.run)
    steps = []
    for cut in disk.cuts:
        is_fresh = not (cut / LAST).exists()
        steps.append(-1 if is_fresh else checkpoint.read_state(cut / LAST).step)
        for name in (BEST, LAST):
            if (cut / name).exists():
                checkpoint.load(cut, name.removesuffix(".safetensors"))[1].close()
        train(*sets, cut, PRESET)
        assert restored(cut) == whole
    assert sorted(set(steps)) == [-1, 0, 2, 4] and steps.count(2) > 3
