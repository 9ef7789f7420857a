"""What of a folder outlives a power cut, told by names: only what is new is synced."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from memstore.files import sync


class Durable:
    """The entries of a folder that have been synced; files never change, they come and go."""

    def __init__(self, root: Path, besides: Collection[str] = ()) -> None:
        """What has one of the names `besides` is somebody else's."""
        self._besides = frozenset(besides)
        self._root = os.path.abspath(root)
        self._names: dict[str, set[str]] = {}  # of synced entries, by folder

    def sync(self, besides: Iterable[str | Path] = ()) -> None:
        """Bring to stable storage what is new in the folder; the first time, all that is there.

        Args:
            besides: files and folders that are synced in any case.
        """
        files: list[str] = []
        folders: list[str] = []
        names: dict[str, set[str]] = {}
        pending = [self._root]
        while pending:
            folder = pending.pop()
            names[folder] = set(os.listdir(folder)) - self._besides
            synced = self._names.get(folder)
            new = names[folder] - (synced or set())
            paths = {os.path.join(folder, name) for name in new}
            if new or synced is None:
                folders.append(folder)
            below = [path for path in self._names if os.path.dirname(path) == folder]
            below = [path for path in below if os.path.basename(path) in names[folder]]
            below += [path for path in paths if os.path.isdir(path)]
            files += paths.difference(below)
            pending += below
        sync([*besides, *sorted(files), *sorted(folders)])
        self._names = names
