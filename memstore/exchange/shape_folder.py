"""A folder with one file per slot: voxels or meshes for other programs, and an index.

index.json               the facts of the export, and per slot its source, age, reads and file
features.npy             keys (n, C), in the order of the index; beside binvox files only
000012_chair-1a04e3.glb  named by slot and source
"""

import json
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from memstore.config import LARGEST
from memstore.errors import ArgumentError, FormatError, check_shape, translated
from memstore.exchange.npz import npy_blocks, read_npy
from memstore.exchange.pairs import Pairs
from memstore.exchange.table import (
    Head,
    Table,
    check_bytes,
    checked_table,
    facts,
    read_config,
)
from memstore.files import Progress, open_regular
from memstore.json_text import parse_json
from memstore.slots import arguments
from memstore.slots.state import Rows, plain_column
from memstore.voxels.binvox import read_binvox, write_binvox
from memstore.voxels.grids import pack, packed_shape, unpack
from memstore.voxels.mesh import smooth, write_mesh

INDEX, FEATURES = "index.json", "features.npy"
_INDEX_BYTES, _ENTRY_BYTES = 2**16, 8192  # at most in an index: in all, and per file beside it
_LONGEST_NAME = 80  # characters of a source kept in a file's name


def write_shapes(path: Path, table: Table, progress: Progress, format: str) -> None:
    """Write a table as a new folder; a mesh is the smooth surface, none for an empty grid."""
    path.mkdir()
    rows, entries = table.rows, []
    columns = {name: plain_column(column[:]).tolist() for name, column in rows.columns.items()}
    for i, slot in enumerate(rows.slots.tolist()):
        source = rows.sources[i].decode()
        grid = unpack(rows.values[i], table.config.resolution)
        name: str | None = f"{slot:06d}_{_plain(source)}".rstrip("_") + f".{format}"
        if format == "binvox":
            write_binvox(path / str(name), grid)
        elif grid.any():
            write_mesh(path / str(name), smooth(grid))
        else:
            name = None
        touched, reads = int(rows.touched[i]), int(rows.reads[i])
        age = table.clock - touched
        entries.append(
            {"slot": slot, "source": source, "age": age, "touched": touched, "reads": reads}
            | {"file": name}
            | ({"columns": {key: column[i] for key, column in columns.items()}} if columns else {})
        )
        progress(i + 1, len(rows.slots))
    if format == "binvox":
        with (path / FEATURES).open("xb") as file:
            file.writelines(npy_blocks(rows.keys))
    index = {**facts(table), "kind": format, "slots": entries}
    text = json.dumps(index, indent=1, ensure_ascii=False).encode()
    if format == "binvox" and len(text) > _INDEX_BYTES + _ENTRY_BYTES * (1 + len(entries)):
        raise ArgumentError(f"{path}: got {len(text):,} bytes of {INDEX}, too many to read")
    (path / INDEX).write_bytes(text)


def read_shapes(path: Path, max_bytes: int, progress: Progress) -> Table | Pairs:
    """Read a folder of binvox files: a table if we exported it, else pairs in order of their names.

    A folder from elsewhere has features.npy (n, C), or beside each file one of the same name that
    ends in .npy: (C,) or (1, C). Endings may be in capitals. Folders in it are searched, too; a
    source is a file's path in the folder without .binvox. No binvox or .npy file is passed over:
    one that belongs to nothing is refused, and so are links to folders.
    """
    with translated(path):
        names, arrays = _named(path, ".binvox"), _named(path, ".npy")
    if (path / INDEX).exists():
        return _read_export(path, names, max_bytes, progress)
    if not 1 <= len(names) <= LARGEST["capacity"]:
        raise FormatError(f"{path}: got {len(names)} binvox files, want at least one")
    values, side = _read_values(path, names, None, max_bytes, progress)
    features = _read_features(path, names, arrays, max_bytes)
    return Pairs(features, values, [_stem(name) for name in names], side)


def _named(path: Path, ending: str) -> list[str]:
    """Paths in a folder, and in those in it, that end so in any case, sorted."""
    names = []
    for folder, folders, files in os.walk(path, onerror=_raise):
        within = Path(folder).relative_to(path)
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):
                link = (within / name).as_posix()
                raise FormatError(f"{link}: got a link to a folder, want the folder itself")
        names += [within / name for name in (*folders, *files) if name.lower().endswith(ending)]
    return sorted(name.as_posix() for name in names)


def _raise(error: OSError) -> NoReturn:
    """What os.walk does by default is to pass over folders that it cannot read."""
    raise error


def _stem(name: str) -> str:
    """A path without the ending of its name."""
    return os.path.splitext(name)[0]


def _read_export(path: Path, files: list[str], max_bytes: int, progress: Progress) -> Table:
    """Read what write_shapes wrote, believing nothing; `files` are all binvox files there."""
    with translated(path / INDEX):
        # Parsed, JSON may take 30 times its bytes: an index has no more than its files call for.
        largest = min(max_bytes, _INDEX_BYTES + _ENTRY_BYTES * len(os.listdir(path)))
        with open_regular(path / INDEX) as file:
            text = file.read(largest + 1)
        check_bytes("index", len(text), largest)
        index = parse_json(text, largest)
        config, entries = read_config(index), index["slots"]
        names = [entry["file"] for entry in entries]
        if index["kind"] != "binvox" or not all(_is_plain(name) for name in names):
            raise FormatError("got files that are not binvox beside it, want only such")
        if others := sorted({*files} - {*names}):
            raise FormatError(f"got no entry for {others[0]}, want one for each binvox file")
        columns = arguments.as_columns(
            {name: [entry["columns"][name] for entry in entries] for name in config.columns},
            config,
            len(entries),
        )
        sources = arguments.as_sources("sources", [e["source"] for e in entries], len(entries))
        slots, touched, reads = (
            np.array([entry[name] for entry in entries], np.int64)
            for name in ("slot", "touched", "reads")
        )
    values, _ = _read_values(path, names, config.resolution, max_bytes, progress)
    keys = read_npy(path / FEATURES, max_bytes)
    with translated(path):
        check_shape("features", keys.shape, (len(names), config.key_dim))
        if keys.dtype != np.float32:
            raise FormatError(f"features: got {keys.dtype}, want float32")
        return checked_table(
            Rows(slots, keys, values, touched, sources, reads, columns), config, index
        )


def _read_values(
    path: Path, names: list[str], side: int | None, max_bytes: int, progress: Progress
) -> tuple[NDArray[np.uint8], int]:
    """Packed grids (n, ...) of files, all R voxels a side; R, by default as the first has it."""
    if side is None:
        with translated(path / names[0]):
            side = len(read_binvox(path / names[0]))
    head = Head(np.dtype(np.uint8), (len(names), *packed_shape(side)))
    with translated(path):
        check_bytes("values", head.nbytes, max_bytes)
    values = np.empty(head.shape, np.uint8)
    for i, name in enumerate(names):
        with translated(path / name):
            grid = read_binvox(path / name)
            check_shape("voxels", grid.shape, (side, side, side))
        values[i] = pack(grid)
        progress(i + 1, len(names))
    return values, side


def _read_features(
    path: Path, names: list[str], arrays: list[str], max_bytes: int
) -> NDArray[np.floating]:
    """Features (n, C) of files, from one array or one beside each; each of the arrays is used."""
    if whole := [name for name in arrays if name.lower() == FEATURES]:
        if others := [name for name in arrays if name != whole[0]]:
            raise FormatError(f"{path}: got {whole[0]} and {others[0]}, want one or the other")
        features = read_npy(path / whole[0], max_bytes)
        with translated(path / whole[0]):
            check_shape("features", features.shape, (len(names), None))
            return _floats(features)
    beside, stems = {_stem(name): name for name in arrays}, [_stem(name) for name in names]
    if missing := [name for name, stem in zip(names, stems, strict=True) if stem not in beside]:
        raise FormatError(
            f"{path}: got no {FEATURES} and no {Path(missing[0]).stem}.npy beside {missing[0]}, "
            f"want one row of {FEATURES} (n, C) per binvox file, or an .npy file beside each"
        )
    if unused := sorted({*arrays} - {beside[stem] for stem in stems}):
        raise FormatError(f"{path}: got {unused[0]}, want no .npy file but one per binvox file")
    rows = []
    for file in (path / beside[stem] for stem in stems):
        row = read_npy(file, max_bytes // len(names))
        with translated(file):
            rows.append(_floats(row.reshape(1, -1) if row.ndim < 2 else row))
            check_shape("feature", rows[-1].shape, (1, rows[0].shape[1]))
    return np.concatenate(rows)


def _floats(features: NDArray[Any]) -> NDArray[np.floating]:
    """The array, if it is of floats and has columns."""
    if features.dtype.kind != "f" or not 1 <= features.shape[-1] <= LARGEST["key_dim"]:
        raise FormatError(f"features: got {features.dtype} {features.shape}, want floats (n, C)")
    return features


def _plain(source: str) -> str:
    """A source as part of a file's name that every system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", source)[:_LONGEST_NAME]


def _is_plain(name: object) -> bool:
    """Whether it names a binvox file in the folder itself."""
    return isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9._-]+\.binvox", name) is not None
