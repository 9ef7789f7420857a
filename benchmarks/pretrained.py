"""The model in the package, made anew from the shapes that it may learn from.

    python -m benchmarks.pretrained DATA WORK --stem STEM --out mem3d/pretrained/base

DATA holds `meshes` and `r2n2_like` (the test and validation shapes are its own, `models.json` tells
each mesh's license) and `meshes_free` with its `index.json`. What may be passed on is linked to
WORK/meshes, drawn and deformed to WORK/shapes, made up to WORK/procedural, learned from in WORK/run
and published to OUT. It takes hours of a CPU core; what was begun goes on with the same command.
Test shapes are looked at once, for the table.
"""

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mem3d.data.curation.near_duplicates import far_from
from mem3d.data.dataset import ConcatDataset, ShapeDataset, Subset
from mem3d.data.images.corruptions import behind_occluders
from mem3d.data.meshes.dataset import RenderConfig, render_meshes
from mem3d.data.open import open_dataset
from mem3d.data.procedural.writer import synthesize
from mem3d.evaluation.evaluate import NEAREST, NETWORK, RECALLED_MEAN, macro, score
from mem3d.inference.model_card import Card, card_of_run
from mem3d.inference.pretrained import save_folder
from mem3d.markdown import table as markdown_table
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network import checkpoint
from mem3d.network.model import Mem3D
from mem3d.network.presets import SMALL
from mem3d.system import keep_freed_memory
from mem3d.training.trainer import train
from memstore import Memory
from memstore.files import write_atomic
from memstore.voxels.grids import pack

VIEWS = range(0, 24, 3)  # of each test shape
HIDDEN = 0.4  # of each object, in the table's second row
NOTICES = Path(__file__).parent / "data" / "pretrained_notices.md"  # what licenses ask for
CAPACITY = 20_000  # slots, of which the shapes take less than half
PICTURES = 6  # of each shape
PER_CATEGORY = 350  # shapes of found meshes, variants among them
GENERATED_VARIANTS = 2  # of each mesh that a generator made
MADE_UP = 60  # procedural shapes of each category
FREE_TIER = "A"  # of models.json: may be passed on
COPYLEFT = "Free Art"  # wants whatever is made of it under itself

REPOSITORIES = {
    "aws": "aws-robotics/aws-robomaker-small-house-world",
    "clvrai_ikea": "clvrai/furniture",
    "kaykit": "KayKit-Game-Assets",
    "kenney": "kenney.nl",
    "quaternius": "quaternius.com",
    "quaternius_fbx": "quaternius.com",
}
"""Where the meshes of models.json come from, by their `source`."""


@dataclass(frozen=True)
class Credit:
    """One mesh that the model learns from.

    Attributes:
        file: within DATA.
        category: name of its folder.
        name: of the mesh within that folder, without ending.
        source: who made it, or whose program.
        license: its name.
        generated: whether a program made it.
    """

    file: Path
    category: str
    name: str
    source: str
    license: str
    generated: bool


def permitted(data: Path) -> list[Credit]:
    """Every mesh to learn from: training shapes of tier A, and all of meshes_free."""
    return [*_of_models(data), *_of_index(data)]


def _of_models(data: Path) -> Iterator[Credit]:
    lists = json.loads((data / "r2n2_like" / "split.json").read_text())
    training = {name for row in lists for name in row["train"]}
    for row in _models(data):
        if row["tier"] != FREE_TIER or row["id"] not in training or COPYLEFT in row["licence"]:
            continue
        name = f"{row['source']}__{row['name']}"
        yield Credit(
            file=data / "meshes" / row["category"] / f"{name}.npz",
            category=row["category"],
            name=name,
            source=REPOSITORIES[row["source"]],
            license=row["licence"],
            generated=False,
        )


def _models(data: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((data / "r2n2_like" / "models.json").read_text())
    return rows


def _of_index(data: Path) -> Iterator[Credit]:
    for row in json.loads((data / "meshes_free" / "index.json").read_text()):
        yield Credit(
            file=data / "meshes_free" / row["file"],
            category=row["category"],
            name=Path(row["file"]).stem,
            source=f"{row['repository']} @ {row['commit'][:10]}",
            license=row["licence"],
            generated=row["source"].startswith("gen_"),
        )


def link_meshes(credits: list[Credit], folder: Path) -> None:
    """Links to the meshes, in `found` and `generated`, in one folder per category."""
    for credit in credits:
        kind = "generated" if credit.generated else "found"
        place = folder / kind / credit.category / f"{credit.name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(credit.file.resolve())


def make_shapes(work: Path) -> ConcatDataset:
    """Draw, deform and make up; what is there already is left."""
    processes = os.cpu_count() or 1
    kinds = {
        "found": RenderConfig(views=PICTURES, per_category=PER_CATEGORY),
        "generated": RenderConfig(views=PICTURES, variants=GENERATED_VARIANTS),
    }
    for kind, config in kinds.items():
        render_meshes(work / "meshes" / kind, work / "shapes" / kind, config, processes)
    synthesize(work / "procedural", MADE_UP, views=PICTURES, processes=processes)
    folders = [work / "shapes" / kind for kind in kinds] + [work / "procedural"]
    return ConcatDataset([open_dataset(folder) for folder in folders])


def far_shapes(shapes: ShapeDataset, data: Path, above: float) -> ShapeDataset:
    """Those whose IoU with no shape to test or validate on, or its mirror image, is above one."""
    if above < 1:
        for split in ("test", "val"):
            shapes = far_from(shapes, open_dataset(data / "r2n2_like", split), above)
    return shapes


def compact(memory: Memory, shapes: ShapeDataset) -> Memory:
    """Of a training's memory one pair for each shape: its grid, and the mean of its slots' keys.

    Every picture by itself recalls no better (validation, nearest: .462; one for each shape: .459).
    Mirror images are left out.
    """
    grids = {pack(shapes.grid(i)).tobytes() for i in range(len(shapes))}
    groups: dict[tuple[str, bytes], list[int]] = {}
    for slot, source in zip(memory.slots.tolist(), memory.sources, strict=True):
        bits = pack(memory.values([slot])[0]).tobytes()
        if bits in grids:
            groups.setdefault((source, bits), []).append(slot)
    small = Memory(replace(memory.config, capacity=CAPACITY))
    for (source, _), slots in groups.items():
        small.write(memory.keys(slots).mean(0, keepdims=True), memory.values(slots[:1]), [source])
    return small


def table(model: Mem3D, memory: Memory, data: Path) -> str:
    """Markdown: IoU on test shapes, all of them and those that could not be passed on."""
    test = open_dataset(data / "r2n2_like", "test")
    free = {row["id"] for row in _models(data) if row["tier"] == FREE_TIER}
    others = [i for i in range(len(test)) if test.shape_id(i).split("/")[1] not in free]
    head = ["test shapes", "hidden", "view 00", "8 views", "nearest recalled", "mean of recalled"]
    rows: list[list[str]] = [head]
    for what, shapes in (("all", test), ("of other licenses", Subset(test, others))):
        for hidden in (0.0, HIDDEN):
            pictured = behind_occluders(shapes, hidden, 0) if hidden else shapes
            scores = [score(model, memory, pictured, view=view) for view in VIEWS]
            ious = [
                [macro(one, method, FIXED_THRESHOLD) for one in scores]
                for method in (NETWORK, NEAREST, RECALLED_MEAN)
            ]
            figures = [ious[0][0], *(float(np.mean(values)) for values in ious)]
            cells = [f"{value:.3f}" for value in figures]
            rows.append([f"{what} ({len(shapes)})", f"{hidden:.0%}", *cells])
    return markdown_table(rows, "llrrrr")


def licenses(credits: list[Credit]) -> str:
    """Markdown: what the model has learned from, and under which license each part is."""
    counts = Counter((credit.source, credit.license) for credit in credits)
    rows = [[source, license, count] for (source, license), count in sorted(counts.items())]
    mesh_table = markdown_table([["source", "license", "meshes"], *rows], "llr")
    names = "\n".join(
        f"- {credit.category} `{credit.name}`: {credit.source}, {credit.license}"
        for credit in sorted(credits, key=lambda credit: (credit.category, credit.name))
    )
    return (
        "# Licenses\n\nThe weights are under Apache-2.0, but those of the stem (`encoder.stem.*`), "
        "which are torchvision's ResNet-50 (IMAGENET1K_V1), BSD-3-Clause. The memory holds voxel "
        "grids of the shapes below, of variants of them (deformed by this project's code), and of "
        "shapes that this project's code made up (Apache-2.0). Not every mesh has a slot of its "
        "own: one like another (IoU .9) merges into it, and one that training kept as its mirror "
        "image is left out. Of these there are variants alone.\n\n"
        f"{mesh_table}\n{NOTICES.read_text()}\n## Each mesh\n\n{names}\n"
    )


def model_card(card: Card, shapes: int, measured: str) -> Card:
    """What the card of the run says, without its picture: validation shapes are of all licenses."""
    learned = (
        f"Learned from {shapes:,} shapes that may be passed on: found and generated meshes, "
        "deformed variants of them, and procedural ones. `LICENSES.md` names each mesh, and says "
        "why not every one has a slot."
    )
    validation = f"{card.validation}\n\n## Test\n\n{measured}"
    return replace(card, training=learned, validation=validation, picture=None)


def main() -> None:
    """Make all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="meshes, meshes_free and r2n2_like")
    parser.add_argument("work", type=Path, help="folder for what is made on the way")
    parser.add_argument("--stem", required=True, help="torchvision's ResNet-50 as safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish to")
    parser.add_argument(
        "--far",
        type=float,
        default=1.0,
        metavar="IOU",
        help="leave out shapes nearer than that to one to test or validate on, mirrored or not "
        "(default: 1, none, as for the bundled model)",
    )
    arguments = parser.parse_args()
    keep_freed_memory()
    data, work = arguments.data, arguments.work
    credits = permitted(data)
    link_meshes(credits, work / "meshes")
    shapes = far_shapes(make_shapes(work), data, arguments.far)
    validation = open_dataset(data / "r2n2_like", "val")
    run = work / "run"
    train(
        shapes,
        validation,
        run,
        SMALL,
        stem=arguments.stem,
        keep_maps=True,
        head_cache=work / "heads",
        on_epoch=print,
    )
    model, training_memory, state = checkpoint.load(run)
    with training_memory:
        memory = compact(training_memory, shapes)
    measured = (
        "IoU over categories, t = .3, of 3D-R2N2-like test pictures; 8 views of each shape.\n\n"
        f"{table(model, memory, data)}"
    )
    card = model_card(card_of_run(run, state), len(shapes), measured)
    save_folder(arguments.out, model, memory, state.preset, card, half=True)
    write_atomic(arguments.out / "LICENSES.md", licenses(credits).encode())


if __name__ == "__main__":
    main()
