"""Which shapes are for training, validation and testing.

A split file is a JSON list with one object per category:

    {"taxonomy_id": synset, "taxonomy_name": name, "train": [name], "val": [...], "test": [...]}

Source: Pix2Vox (Xie et al., ICCV 2019), datasets/ShapeNet.json.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mem3d.data.taxonomy import ALIASES, SYNSETS
from memstore.files import write_atomic
from memstore.json_text import read_json

SplitName = Literal["train", "val", "test"]

_NAME = re.compile(r"[\w-][\w.-]{0,199}", re.ASCII)  # names become paths: no "/", no ".."


class Entry(NamedTuple):
    """A shape that a list names; it may be missing on disk."""

    synset: str
    category: str
    name: str


def read_split(path: str | Path, subset: SplitName | None = None) -> list[Entry]:
    """Read a split file.

    Args:
        path: the JSON file.
        subset: which list to take; None takes train, val and test.

    Returns:
        Entries in the order of the file. A synset of SYNSETS has its name from there, so that
        "airplane" in one file and "aeroplane" in another are one category.

    Raises:
        ValueError: the file is missing, is damaged, or names a shape twice.
    """
    path = Path(path)
    categories = read_json(path)
    if not isinstance(categories, list):
        raise ValueError(f"{path}: got {type(categories).__name__}, want a list of categories")
    entries = [
        (entry, part)
        for category in categories
        for part in get_args(SplitName)
        for entry in _entries(category, part, path)
    ]
    # All three lists are compared even if one is wanted: a shape in two would be a leak.
    names: set[tuple[str, str]] = set()
    for entry, _ in entries:
        if (entry.synset, entry.name) in names:
            raise ValueError(f"{path}: got {entry.synset}/{entry.name} twice, want it once")
        names.add((entry.synset, entry.name))
    return [entry for entry, part in entries if subset in (None, part)]


def shapes_on_disk(root: str | Path) -> list[Entry]:
    """Every shape with a folder under <root>/ShapeNetRendering, by name; none is passed over.

    Raises:
        ValueError: a folder that cannot be read, or is named as no shape is.
    """
    try:
        synsets = sorted(
            path for path in Path(root, "ShapeNetRendering").iterdir() if path.is_dir()
        )
        folders = [path for synset in synsets for path in sorted(synset.iterdir()) if path.is_dir()]
    except OSError as error:
        raise ValueError(f"{error.filename}: cannot be read: {error.strerror}") from error
    folders = [folder for folder in folders if not folder.name.startswith(".")]
    if odd := [folder for folder in folders if not _NAME.fullmatch(folder.name)]:
        want = "a shape's name of at most 200 letters, digits, _ . -"
        raise ValueError(f"{odd[0]}: got a folder of this name, want {want}")
    return [
        Entry(folder.parent.name, SYNSETS.get(folder.parent.name, folder.parent.name), folder.name)
        for folder in folders
    ]


def keep_categories(entries: list[Entry], names: Collection[str] | None) -> list[Entry]:
    """Entries whose category or synset is wanted (None: all); ValueError for an unknown one."""
    if names is None:
        return entries
    names = {*names, *(ALIASES[name] for name in names if name in ALIASES)}
    words = {*SYNSETS, *SYNSETS.values(), *ALIASES}
    words |= {word for entry in entries for word in (entry.synset, entry.category)}
    if unknown := sorted(set(names) - words):
        raise ValueError(f"categories: got {unknown}, want some of {sorted(words)}")
    return [entry for entry in entries if entry.synset in names or entry.category in names]


def write_split(
    path: str | Path,
    shape_ids: Sequence[str],
    categories: Sequence[str],
    subsets: Sequence[SplitName],
    *,
    replace: bool = False,
) -> None:
    """Write a split file, as `read_split` reads it.

    Args:
        path: file to make.
        shape_ids: "synset/model" of each shape; in each list they come sorted.
        categories: name of each shape's category.
        subsets: where each shape goes.
        replace: whether a file that is there may be replaced.

    Raises:
        ValueError: there is a file, or an id is no "synset/model".
    """
    if not replace:
        check_new(path)
    by_synset: dict[str, dict[str, Any]] = {}
    for shape_id, category, subset in sorted(zip(shape_ids, categories, subsets, strict=True)):
        synset, _, shape = shape_id.partition("/")
        if not _NAME.fullmatch(synset) or not _NAME.fullmatch(shape):
            raise ValueError(f"source: got {shape_id!r}, want 'synset/model' as in the R2N2 layout")
        empty: dict[str, list[str]] = {part: [] for part in get_args(SplitName)}
        entry = {"taxonomy_id": synset, "taxonomy_name": category, **empty}
        by_synset.setdefault(synset, entry)[subset].append(shape)
    write_atomic(path, json.dumps(list(by_synset.values()), indent=1).encode())


def check_new(path: str | Path) -> None:
    """ValueError if there is something at the path: a split is not replaced by accident."""
    if Path(path).exists() or Path(path).is_symlink():
        raise ValueError(f"{path}: got a file that is there, want a new one (--force replaces it)")


def _entries(category: Any, part: str, path: Path) -> list[Entry]:
    """One list of one category."""
    if not isinstance(category, dict) or not isinstance(category.get(part, []), list):
        raise ValueError(f"{path}: got {repr(category)[:60]}, want a category with a list {part!r}")
    synset: Any = category.get("taxonomy_id")
    shapes = category.get(part, [])
    for name in [synset, *shapes]:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            value = repr(name)[:60]
            raise ValueError(f"{path}: got {value} in a list {part!r}, want a folder's name")
    human = SYNSETS.get(synset, str(category.get("taxonomy_name") or synset))
    return [Entry(synset, human, name) for name in shapes]


def spread(categories: Sequence[str], count: int) -> list[int]:
    """Choose up to `count` places, as even over the categories as can be, ascending.

    Within a category they lie at equal distances, so the choice depends on nothing else.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(categories):
        places[name].append(place)
    rest, positions = min(count, len(categories)), []
    by_size = sorted(places.values(), key=len)
    if rest < len(by_size):  # not even one of each: some of the categories, small and large
        by_size = [by_size[(2 * k + 1) * len(by_size) // (2 * rest)] for k in range(rest)]
    for number, among in enumerate(by_size):
        # A category with fewer shapes leaves its part to the larger ones that follow.
        part = min(len(among), -(-rest // (len(by_size) - number)))
        part = min(part, rest)
        positions += [among[(2 * k + 1) * len(among) // (2 * part)] for k in range(part)]
        rest -= part
    return sorted(positions)


def named(shape_ids: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of the shapes called so, in full or by what follows the last "/".

    Raises:
        ValueError: a name that no shape has, or several have.
    """
    positions = []
    for name in names:
        places = [
            i for i, shape_id in enumerate(shape_ids) if name in (shape_id, shape_id.split("/")[-1])
        ]
        if len(places) != 1:
            value = f"{name!r}, the name of {len(places)} shapes"
            raise ValueError(f"shapes: got {value}, want that of one")
        positions += places
    return positions
