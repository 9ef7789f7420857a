"""A run's folder: run.json, log.jsonl, where its data are, which shapes it has learned."""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mem3d.data.meshes.transforms import shape_family
from mem3d.data.open import learning_subset, open_dataset
from mem3d.network.checkpoint import check_run
from memstore import FormatError
from memstore.files import open_regular
from memstore.json_text import MAX_BYTES, parse_json, read_json

Row = dict[str, Any]  # of log.jsonl
Record = dict[str, Any]  # a change to a run, in run.json
MEMORIZED = "memorised"  # kind of a record


class Learned(NamedTuple):
    """What a run was trained on or has memorized.

    Attributes:
        names: families of the shapes.
        unlisted: a data set that could not be listed, and why; None where all could be.
    """

    names: set[str]
    unlisted: tuple[Path, str] | None = None


def read_log(path: Path, step: int) -> list[Row]:
    """Rows up to the checkpoint; later ones belong to steps that will be done again.

    Damaged rows are left out: a run is not lost with its log.
    """
    if step == 0 or not path.exists():
        return []
    rows = []
    for line in _lines(path):
        with suppress(ValueError, KeyError, TypeError):  # cut short, or not ours
            row = parse_json(line)
            if isinstance(row["step"], int) and row["step"] <= step:
                rows.append(row)
    return rows


def _lines(path: Path) -> list[str]:
    """Of a log, which has a kilobyte or two an epoch."""
    with open_regular(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path}: got over {MAX_BYTES} bytes, want a run's log")
    return data.decode(errors="replace").splitlines()


def run_data(run: str | Path) -> tuple[Path, Path | None]:
    """Data folder and split file a run was trained on, from its run.json.

    Raises:
        ValueError: there is none to read.
    """
    check_run(run)
    path = Path(run) / "run.json"
    if not path.is_file():
        raise ValueError(f"{path}: got no file, want a run's; or name the data (--data)")
    try:
        description = read_json(path)
        if "data" not in description:
            raise FormatError("no data set")  # as of a copy of a published folder
        split = description["split"]
        return Path(description["data"]), None if split is None else Path(split)
    except (ValueError, KeyError, TypeError) as error:
        text = str(error) if isinstance(error, FormatError) else repr(error)
        reason = text.removeprefix(f"{path}: got ")
        raise ValueError(
            f"{path}: got {reason}, want what training wrote; or name the data (--data)"
        ) from error


def run_extras(run: str | Path) -> list[tuple[Path, Path | None]]:
    """Folders and split files of what a run learned from besides; none if it does not tell."""
    try:
        extras = read_description(run).get("extra", [])
        return [(Path(root), None if split is None else Path(split)) for root, split in extras]
    except (ValueError, TypeError):
        return []


def learned_by(run: Path) -> Learned:
    """Names of the shapes that a run knows, as far as its data are still there."""
    names, root = memorized_sources(run), Path(run) / "run.json"
    try:
        for root, split in [run_data(run), *run_extras(run)]:
            data = open_dataset(root, learning_subset(root, split), split)
            names |= {shape_family(data.shape_id(i)) for i in range(len(data))}
    except ValueError as error:
        return Learned(names, (root, str(error)))
    return Learned(names)


def memorized_sources(run: str | Path) -> set[str]:
    """Families of all shapes that were memorized on the way to a run, also merged and evicted.

    Empty where run.json is missing or no JSON; `run_data` says so.

    Raises:
        ValueError: run.json tells of changes in another form than ours.
    """
    try:
        return {
            shape_family(source)
            for record in changes_of(run, read_description(run))
            for source in record.get("sources", ())
            if record["kind"] == MEMORIZED
        }
    except (KeyError, TypeError) as error:
        raise unreadable_changes(run, error) from error


def read_description(run: str | Path) -> dict[str, Any]:
    """What run.json holds, or nothing where it cannot be read."""
    try:
        description = read_json(Path(run) / "run.json")
    except FormatError:
        return {}
    return description if isinstance(description, dict) else {}


def changes_of(run: str | Path, description: dict[str, Any]) -> list[Record]:
    """What was changed so far, oldest first."""
    changes = description.get("changes", [])
    if not isinstance(changes, list) or not all(isinstance(change, dict) for change in changes):
        raise unreadable_changes(run, TypeError("no list of objects"))
    return changes


def unreadable_changes(run: str | Path, error: Exception) -> ValueError:
    """The error of a run.json whose changes are in another form than ours."""
    path = Path(run) / "run.json"
    return ValueError(f"{path}: got changes that cannot be read ({error!r}), want a run's own")
