"""Making a data set in the R2N2 layout from a folder of meshes."""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from zlib import crc32

import numpy as np

from mem3d.data.meshes.reader import MESH_TYPES, read_mesh
from mem3d.data.meshes.transforms import deform, rotation, variant_name
from mem3d.data.meshes.voxelize import voxelize_mesh
from mem3d.data.parallel import results
from mem3d.data.readers.r2n2_writer import (
    check_limits,
    claim,
    draw_cameras,
    drop_partial,
    rendering_folder,
    write_shape,
)
from mem3d.data.rendering.renderer import SIZE, Scene
from mem3d.data.taxonomy import SYNSETS
from memstore.files import Progress, write_atomic
from memstore.json_text import read_json

VERSION = 2  # raise it when a mesh starts to give other voxels or pictures
MANIFEST = "rendered.json"
REPORT = "skipped.json"
WARNINGS = "warnings.json"
MOST_VARIANTS = 100  # of a mesh

# Beside Pix2Vox's names, those of ShapeNet itself.
_SYNSET_OF = {name: synset for synset, name in SYNSETS.items()} | {
    "airplane": "02691156",
    "loudspeaker": "03691459",
    "vessel": "04530566",
}
_UNSAFE = re.compile(r"[^\w.-]|^\.", re.ASCII)  # names become folders, see data/splits.py
_MAX_NAME = 120


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How meshes are made into shapes; what is made depends on nothing else."""

    views: int = 24  # per shape, 1..100; cameras are drawn as in R2N2
    size: int = SIZE  # pixels per side of a view
    up: str = "y"  # directions in the mesh files, see transforms.py
    front: str = "x"
    seed: int = 0  # of the cameras
    category: str | None = None  # of all meshes; None takes the name of each mesh's folder
    variants: int = 0  # deformed shapes beside each mesh, 0..100 (transforms.py)
    per_category: int = 0  # or as many beside each as bring its category to about so many shapes

    def __post_init__(self) -> None:
        rotation(self.up, self.front)
        limits = {"views": (self.views, 1, 100), "size": (self.size, 8, 1024)}
        limits |= {"seed": (self.seed, 0, 10**9), "variants": (self.variants, 0, MOST_VARIANTS)}
        check_limits(limits | {"per_category": (self.per_category, 0, 10**6)})
        if self.variants and self.per_category:
            raise ValueError(
                f"variants, per_category: got {self.variants}, {self.per_category}, want one of "
                "them: so many beside each mesh, or so many shapes in each category"
            )
        if self.category == "":
            raise ValueError("category: got '', want a name")


@dataclass(frozen=True)
class Broken:
    """A mesh file that gave no shape, or one that lacks something."""

    file: str
    reason: str


@dataclass(frozen=True)
class Rendered:
    """What became of a folder of meshes."""

    shapes: int  # in the data set now
    new: int  # by this run
    skipped: tuple[Broken, ...]  # by path
    warnings: tuple[Broken, ...] = ()  # of shapes in the data set, by path


@dataclass(frozen=True)
class _Task:
    """One mesh to make a shape of."""

    root: Path
    path: Path
    file: str  # path within the folder of meshes
    shape_id: str  # "synset/name"
    config: RenderConfig
    variant: int = 0  # 0: the mesh as it is


def render_meshes(
    folder: str | Path,
    root: str | Path,
    config: RenderConfig | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Rendered:
    """Make a shape of each mesh; an interrupted run is taken up where it stopped.

    A shape depends on its mesh, its name and the settings alone, not on `processes` or the other
    meshes. Files that cannot be used are named in the result and in <root>/skipped.json, what
    shapes lack (a picture that is missing) in <root>/warnings.json.

    Args:
        folder: meshes of MESH_TYPES in one folder per category, at any depth within it; with
            config.category, at any depth. Meshes may refer to files anywhere in it.
        root: folder to make, or one that was begun with the same settings.
        config: None takes the defaults.
        processes: more than 1 starts others (by "spawn": guard a script's main part).
        progress: called with (meshes looked at, meshes in all).

    Raises:
        ValueError: no mesh there, meshes without a category, a setting out of range, or the
            folder to make holds something else.
    """
    folder, root = Path(folder), Path(root)
    config = config or RenderConfig()
    check_limits({"processes": (processes, 1, 256)})
    tasks, skipped = _listed(folder, root, config)
    claim(root, MANIFEST, _settings(config))
    waiting = [task for task in tasks if not rendering_folder(root, task.shape_id).is_dir()]
    finished = len(tasks) - len(waiting)
    new = 0
    remade = {task.file for task in waiting}
    warnings = [row for row in _warned_before(root) if row.file not in remade]
    try:
        with results(partial(_make, folder), waiting, processes) as outcomes:
            for broken, lacks in outcomes:
                finished += 1
                new += broken is None
                skipped += [] if broken is None else [broken]
                warnings += lacks
                if progress is not None:
                    progress(finished, len(tasks))
    finally:  # those of an interrupted run are not met again
        warnings = _report(root / WARNINGS, warnings)
    drop_partial(root)
    skipped = _report(root / REPORT, skipped)
    return Rendered(len(tasks) - len(waiting) + new, new, tuple(skipped), tuple(warnings))


def _report(path: Path, rows: list[Broken]) -> list[Broken]:
    """Write rows by file, each once, and give them back so."""
    rows = sorted(dict.fromkeys(rows), key=lambda row: row.file)
    write_atomic(path, json.dumps([asdict(row) for row in rows], indent=1).encode())
    return rows


def _warned_before(root: Path) -> list[Broken]:
    """What earlier runs wrote of the shapes that they made."""
    path = root / WARNINGS
    try:
        return [Broken(**row) for row in read_json(path)] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: got other than a report of ours ({error!s:.100})") from error


def _settings(config: RenderConfig) -> dict[str, object]:
    """What the manifest says; folders from before there were variants go on."""
    settings = {"version": VERSION, **asdict(config)}
    return {k: v for k, v in settings.items() if v or k not in ("variants", "per_category")}


def _listed(folder: Path, root: Path, config: RenderConfig) -> tuple[list[_Task], list[Broken]]:
    """One task for each name, in the order of the paths; other files of that name are skipped."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: got no folder, want one of meshes")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower().removeprefix(".") in MESH_TYPES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not paths:
        raise ValueError(f"{folder}: got no mesh, want files of {', '.join(MESH_TYPES)}")
    tasks: dict[str, _Task] = {}
    skipped = []
    for path in paths:
        file = str(path.relative_to(folder))
        category, *rest = path.relative_to(folder).with_suffix("").parts
        if config.category is not None:
            category, rest = config.category, [category, *rest]
        if not rest:
            raise ValueError(f"{path}: got no folder of a category around it; give --category")
        shape_id = (
            f"{_folder_name(_SYNSET_OF.get(category, category))}/{_folder_name('-'.join(rest))}"
        )
        if shape_id in tasks:
            skipped.append(Broken(file, f"same name {shape_id} as {tasks[shape_id].file}"))
        else:
            tasks[shape_id] = _Task(root, path, file, shape_id, config)
    return _with_variants(list(tasks.values()), config), skipped


def _with_variants(tasks: list[_Task], config: RenderConfig) -> list[_Task]:
    """Each task, followed by those of its mesh's variants."""
    meshes = Counter(task.shape_id.split("/")[0] for task in tasks)
    variants = []
    for task in tasks:
        count = config.variants
        if config.per_category:
            shapes = round(config.per_category / meshes[task.shape_id.split("/")[0]])
            count = min(max(shapes - 1, 0), MOST_VARIANTS)
        variants += [
            replace(task, shape_id=variant_name(task.shape_id, number), variant=number)
            for number in range(count + 1)
        ]
    return variants


def _folder_name(text: str) -> str:
    """A name that a folder may have; a long one keeps its end, which differs more often."""
    return _UNSAFE.sub("_", text[-_MAX_NAME:])


def _make(meshes: Path, task: _Task) -> tuple[Broken | None, list[Broken]]:
    """Make one shape, or say why not; and what it lacks."""
    config = task.config
    try:
        painted = read_mesh(task.path, config.up, config.front, root=meshes)
        mesh = painted.mesh
        if task.variant:
            mesh = deform(
                mesh, np.random.default_rng([config.seed, 1, crc32(task.shape_id.encode())])
            )
        grid = voxelize_mesh(mesh)
    except ValueError as error:
        return Broken(task.file, str(error).removeprefix(f"{task.path}: ")), []
    rng = np.random.default_rng([config.seed, crc32(task.shape_id.encode())])
    cameras = draw_cameras(config.views, rng)
    scene = Scene(mesh, paint=painted.paint)
    write_shape(task.root, task.shape_id, grid, scene, cameras, config.size)
    return None, [Broken(task.file, text) for text in painted.warnings]
