"""The list of shapes that a pack and an index carry, and choosing from it."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from mem3d.data.dataset import ShapeDataset, Skipped
from mem3d.data.splits import Entry, SplitName, keep_categories, read_split
from memstore.json_text import read_json


class Listed(NamedTuple):
    """What is known of one shape without looking at its files."""

    shape_id: str
    category: str
    subset: SplitName | None


def subsets(data: ShapeDataset) -> dict[str, SplitName]:
    """Subset of each shape by id; empty where there is no split.

    Data from a pack or an index bring their own, others a split file.
    """
    own: dict[str, SplitName] | None = getattr(data, "subset_of", None)
    if own is not None:
        return own
    if data.split is None:
        return {}
    return {
        f"{entry.synset}/{entry.name}": subset
        for subset in get_args(SplitName)
        for entry in read_split(data.split, subset)
    }


def subset_of(listed: Sequence[Listed]) -> dict[str, SplitName]:
    """Subset of each shape by id, of those that have one."""
    return {shape.shape_id: shape.subset for shape in listed if shape.subset is not None}


def choose(
    listed: Sequence[Listed],
    root: Path,
    subset: SplitName | None,
    split: str | Path | None,
    categories: Collection[str] | None,
) -> tuple[list[int], list[Skipped]]:
    """Choose shapes as `open_dataset` is asked to.

    Args:
        listed: all shapes.
        root: what an error is to name.
        subset: which list to take; None takes all.
        split: a split file that counts instead of the subsets in `listed`.
        categories: names or synsets to keep; None keeps all.

    Returns:
        positions in `listed`, in the order of the split file if there is one, and what it names
        that is not listed.

    Raises:
        ValueError: an unknown subset or category, no subset is known, or a damaged split file.
    """
    if subset is not None and subset not in get_args(SplitName):
        raise ValueError(f"subset: got {subset!r}, want one of {get_args(SplitName)}")
    entries = [_entry(shape) for shape in listed]
    if split is None:
        if subset is not None and all(shape.subset is None for shape in listed):
            raise ValueError(f"{root}: got no split in it, want one to choose subset {subset!r}")
        allowed = set(keep_categories(entries, categories))
        positions = [i for i, shape in enumerate(listed) if subset in (None, shape.subset)]
        return [i for i in positions if entries[i] in allowed], []
    place = {(entry.synset, entry.name): i for i, entry in enumerate(entries)}
    names = keep_categories(read_split(split, subset), categories)
    places = [(entry, place.get((entry.synset, entry.name))) for entry in names]
    return (
        [i for _, i in places if i is not None],
        [
            Skipped(f"{entry.synset}/{entry.name}", f"not in {root}")
            for entry, i in places
            if i is None
        ],
    )


def check_listed(rows: Any, name: str) -> list[Listed]:
    """Shapes from (id, category, subset) rows of a file.

    Raises:
        ValueError: a row is not two texts and a subset or None, or an id comes twice.
    """
    listed = []
    for row in rows:
        shape_id, category, subset = row
        if not (isinstance(shape_id, str) and isinstance(category, str) and shape_id):
            raise ValueError(f"{name}: got {str(row)[:80]} for a shape, want its id and category")
        if subset is not None and subset not in get_args(SplitName):
            raise ValueError(f"{name}: got subset {str(subset)[:40]!r}, want {get_args(SplitName)}")
        listed.append(Listed(shape_id, category, subset))
    if len({shape.shape_id for shape in listed}) != len(listed):
        raise ValueError(f"{name}: got a shape twice, want each once")
    return listed


def read_object(path: Path, most: int) -> dict[str, Any]:
    """A JSON object of at most `most` bytes; ValueError if it is missing or no such thing."""
    value = read_json(path, most)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: got {type(value).__name__}, want a JSON object")
    return value


def _entry(shape: Listed) -> Entry:
    synset, _, name = shape.shape_id.partition("/")
    return Entry(synset, shape.category, name)
