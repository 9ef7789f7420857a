"""Journal: what a long job has finished, so that the same job goes on after an interruption.

A file of lines: the first names the job, each other one thing that is finished, with a check. A
line that was cut off by the end of the process counts for nothing, and that thing is done again.
"""

import json
from pathlib import Path
from typing import IO, Any, Self

from mem3d.integrity import new_hash
from memstore.files import open_regular
from memstore.json_text import parse_json

_FORMAT = 1


class Journal:
    """A job's journal; a context manager that closes its file.

    Example:
        with Journal(folder / "unfinished.jsonl", job) as journal:
            for name in names:
                if journal.get(name) is None:
                    journal.add(name, make(name))
            journal.remove()
    """

    def __init__(self, path: Path, job: str) -> None:
        """Read what there is. Nothing is written before there is something to add.

        Args:
            path: of the file; its folder is made when it is needed.
            job: what tells this job from others, a check of all that its results depend on. What
                another job has left there is dropped with the first line.

        Raises:
            ValueError: the file is no journal.
            OSError: it cannot be read.
        """
        self.path, self._job = path, job
        self._places: dict[str, tuple[int, int]] = {}  # of values, and their bytes
        self._file: IO[bytes] | None = None
        self._is_same_job = path.exists() and self._read()

    def __len__(self) -> int:
        """How many things are finished."""
        return len(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> Any:
        """What was added under a key; None if nothing was."""
        if key not in self._places:
            return None
        start, size = self._places[key]
        with open_regular(self.path) as file:
            file.seek(start)
            return parse_json(file.read(size))[1]

    def add(self, key: str, value: Any) -> None:
        """Note that something is finished.

        Args:
            key: of it.
            value: what JSON can hold.

        Raises:
            OSError: the disk refuses.
        """
        text = json.dumps([key, value]).encode()
        if self._file is None:
            self._file = self._begun()
        line = _check(text) + b" " + text + b"\n"
        end = self._file.seek(0, 2)
        self._file.write(line)
        self._places[key] = (end + len(line) - len(text) - 1, len(text))

    def remove(self) -> None:
        """The job is finished: nothing is to go on."""
        self.close()
        if self._is_same_job:
            self.path.unlink(missing_ok=True)
        self._places, self._is_same_job = {}, False

    def close(self) -> None:
        """Close the file, which stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begun(self) -> IO[bytes]:
        """The file, open to be added to; unless it is this job's, it is made anew."""
        if not self._is_same_job:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            head = json.dumps({"mem3d_journal": _FORMAT, "job": self._job})
            self.path.write_bytes(head.encode() + b"\n")
            self._is_same_job = True
        file = self.path.open("ab", buffering=0)
        file.write(b"\n")  # ends a line that was cut off; an empty one is none
        return file

    def _read(self) -> bool:
        """Whether the file is of this job; then, where its things are."""
        with open_regular(self.path) as file:
            head = file.readline()
            try:
                fields = parse_json(head or b"{}")
                is_journal = not head or fields["mem3d_journal"] == _FORMAT
            except (ValueError, TypeError, LookupError):
                is_journal = False
            if not is_journal:
                raise ValueError(
                    f"{self.path}: got a file there that is no journal of an interrupted command, "
                    "want it moved away"
                )
            if fields.get("job") != self._job:
                return False
            place = len(head)
            for line in file:
                self._note(line, place)
                place += len(line)
        return True

    def _note(self, line: bytes, place: int) -> None:
        """Take note of a line, unless it was cut off."""
        check, _, text = line.rstrip(b"\n").partition(b" ")
        if text and check == _check(text):
            self._places[parse_json(text)[0]] = (place + len(check) + 1, len(text))


def _check(text: bytes) -> bytes:
    """Of a line."""
    digest = new_hash()
    digest.update(text)
    return digest.hexdigest().encode()
