"""What a memory is worth: the same network, taught the same way, with and without one.

    python -m benchmarks.memory_worth DATA WORK --stem STEM [--far .8] [--seeds 3] [--only memory]
        [--long]

DATA, WORK and --far are those of `benchmarks.pretrained`, which must have been run: its shapes and
its key are used, and its memory, of which a training picture never recalls its own shape's family.
Camera and extents are learned first, once for all. Networks are narrow and learn for one epoch;
with `--long` they are as wide as the bundled one, and learn as long. Each run's scores lie in
WORK/worth, and are not made again; the table is of all that are there. Several processes may be
given parts (`--only`). IoU at t = .3 over categories, means of 8 views of each shape.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.pretrained import HIDDEN, VIEWS, far_shapes, make_shapes
from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.corruptions import behind_occluders
from mem3d.data.images.preprocess import test_pixels
from mem3d.data.loader import BatchSampler, TrainingViews
from mem3d.data.meshes.transforms import shape_family
from mem3d.data.open import open_dataset
from mem3d.markdown import table as markdown_table
from mem3d.memory.host import HostMemory
from mem3d.memory.interface import Recalled
from mem3d.metrics import FIXED_THRESHOLD, iou
from mem3d.network import checkpoint
from mem3d.network.config import Preset
from mem3d.network.encoder import load_stem, normalize
from mem3d.network.heads.key import Query
from mem3d.network.model import Mem3D
from mem3d.network.presets import SMALL, with_own_key
from mem3d.system import keep_freed_memory
from mem3d.training.heads.pose import pretrain_pose
from mem3d.training.schedule import learning_rate, set_learning_rate
from mem3d.training.state import TrainingJob, TrainingState
from mem3d.training.stem_cache import StemCache
from mem3d.training.step import train_step
from memstore import Memory
from memstore.files import write_atomic
from memstore.voxels.grids import pack

ARMS = {
    "memory": "ranked key and second look; the guess is shown, too",
    "recalled-only": "the same, but the network does not see the guess",
    "none": "neither recalled shapes nor guess",
    "guess": "the guess, nothing recalled",
    "box": "the guess, and a box of the guessed extents in the place of what is recalled",
    "own-key": "the paper's: keys are the features, as they learn; no guess",
    "raw-keys": "the stem's maps, averaged to 4 x 4, as keys; no guess",
    "oracle": "the guess, and the eight shapes of the memory with the highest IoU",
}
RANKED = ("memory", "recalled-only", "guess", "box", "oracle")  # have a ranked key
SPLITS = tuple(product(("test", "val"), (0.0, HIDDEN)))
NARROW = replace(
    SMALL,
    model=replace(
        SMALL.model,
        head=(96, 96, 64),
        hidden=64,
        decoder=(64, 32, 16, 8),
        refiner=16,
        refiner_blocks=1,
    ),
    train=replace(SMALL.train, epochs=1),
)
CELLS = 4  # per side, of raw keys


class RawKeys(nn.Module):
    """Keys that nothing was learned for."""

    def forward(self, stem_maps: Tensor) -> Query:
        """(B, 512, S/8, S/8) to keys of 512 x 4 x 4 numbers."""
        return Query(functional.adaptive_avg_pool2d(stem_maps, CELLS).flatten(1).float(), None)


class Oracle(HostMemory):
    """Recalls what is best, by the true shapes, which it must be told before."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        packed = pack(memory.values(memory.slots)).reshape(len(memory), -1)
        self._bits, first = np.unique(packed, axis=0, return_index=True)
        self._slots = memory.slots[first]
        self._families = np.array(memory.sources)[first]
        self.truth = torch.zeros(0)

    def recall(
        self,
        features: Tensor,
        k: int,
        exclude: Sequence[str | None] | None = None,
        guess: Tensor | None = None,
    ) -> Recalled:
        """As `TrainingMemory.recall`; cosines are the IoU."""
        ious, rows = [], []
        for i, truth in enumerate(pack(self.truth.numpy()).reshape(len(self.truth), -1)):
            shared = np.bitwise_count(self._bits & truth).sum(1, dtype=np.int64)
            either = np.bitwise_count(self._bits | truth).sum(1, dtype=np.int64)
            overlap = shared / either
            if exclude is not None:
                overlap[self._families == exclude[i]] = -1
            best = np.argsort(-overlap, kind="stable")[:k]
            ious.append(overlap[best])
            rows.append(best)
        slots = self._slots[np.array(rows)]
        values = self.memory.values(slots.ravel()).reshape(*slots.shape, *self.truth.shape[1:])
        counts = torch.full((len(slots),), slots.shape[1])
        cosines = np.array(ious, np.float32)
        return Recalled(torch.from_numpy(values).to(features.dtype), counts, slots, cosines)


@dataclass(frozen=True)
class Pictured:
    """A shape to be scored on: V pictures (V, 3, S, S), their stem maps, the true grid."""

    images: Tensor
    maps: Tensor
    grid: Tensor
    category: str


@dataclass(frozen=True)
class Bench:
    """What all runs share."""

    job: TrainingJob
    cache: StemCache
    model: Mem3D
    memory: Memory
    stem: str
    heads: Path


def preset_of(arm: str, base: Preset, seed: int) -> Preset:
    """Settings of an arm's network."""
    preset = base if arm in RANKED else with_own_key(base)
    reads = {"none": "none", "guess": "none", "box": "box"}
    encoder = reads.get(arm, preset.model.shape_encoder)
    model = replace(preset.model, shape_encoder=encoder)
    return replace(preset, model=model, train=replace(preset.train, seed=seed))


def network_of(arm: str, preset: Preset, bench: Bench) -> Mem3D:
    """With stem, key, camera and extents as they were learned before."""
    torch.manual_seed(preset.train.seed)
    model = Mem3D(preset.model)
    load_stem(model.encoder.stem, bench.stem)
    model.encoder.freeze_stem()
    pretrain_pose(model, bench.job, bench.cache, folder=bench.heads)
    if model.key is not None and bench.model.key is not None:
        model.key.load_state_dict(bench.model.key.state_dict())
        model.key.requires_grad_(False)
    if arm == "recalled-only" and model.refiner is not None:
        model.refiner.from_guess = None
    if arm == "raw-keys":
        model.key = RawKeys()  # type: ignore[assignment]
    return model


def memory_of(arm: str, preset: Preset, bench: Bench) -> HostMemory:
    """What an arm recalls from."""
    if arm == "oracle":
        return Oracle(bench.memory)
    if arm in RANKED:
        return HostMemory(bench.memory)
    if arm != "raw-keys":
        return HostMemory(Memory(preset.memory))
    data, maps = bench.job.data, bench.cache.maps
    wide = RawKeys()(maps[:1, 0].float()).keys.shape[1]
    slots = maps.shape[0] * maps.shape[1]
    memory = Memory(replace(preset.memory, key_dim=wide, capacity=slots, beta=-1.0, delta=1.0))
    order = BatchSampler(len(data), 256, maps.shape[1], seed=0)
    for batch in bench.cache.batches(order):
        if batch.stem_maps is not None:
            families = [shape_family(data.shape_id(shape)) for shape in batch.shapes]
            memory.write(RawKeys()(batch.stem_maps).keys.numpy(), batch.grids.numpy(), families)
    return HostMemory(memory)


def taught(arm: str, preset: Preset, bench: Bench) -> tuple[Mem3D, HostMemory]:
    """A network of an arm, and the memory that it recalls from, after all its steps."""
    model, memory = network_of(arm, preset, bench), memory_of(arm, preset, bench)
    config, data = preset.train, bench.job.data
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    state = TrainingState(model, optimizer, memory.memory)
    order = BatchSampler(len(data), config.batch, config.epochs, seed=config.seed)
    for batch in bench.cache.batches(order):
        set_learning_rate(optimizer, learning_rate(config, state.step, order.steps))
        torch.manual_seed(config.seed * 1_000_003 + state.step)
        if isinstance(memory, Oracle):
            memory.truth = batch.grids
        metrics = train_step(state, batch, data, config, "cpu", memory=memory)
        state.step += 1
        if state.step % 100 == 0:
            print(f"{arm} {config.seed}: step {state.step} of {order.steps}, {metrics['bce']:.4f}")
    return model.eval(), memory


@torch.inference_mode()
def score(model: Mem3D, memory: HostMemory, shapes: list[Pictured]) -> list[float]:
    """Of the network, of the nearest recalled, of all recalled on average."""
    ious: dict[str, list[list[float]]] = {}
    for shape in shapes:
        encoded = model.encoder.encode(shape.images, shape.maps.float())
        query, truth = model.query(encoded), shape.grid.expand(len(shape.images), -1, -1, -1)
        if isinstance(memory, Oracle):
            memory.truth = truth
        recalled = model.recall(query, memory)
        occupancy = model.forward_features(encoded, query, recalled).logits.sigmoid()
        own = iou(occupancy, truth, threshold=FIXED_THRESHOLD).mean()
        each = [
            iou(recalled.priors[:, place], truth, threshold=0.5)
            for place in range(recalled.priors.shape[1])
        ]
        row = [own.item(), each[0].mean().item(), torch.stack(each).mean().item()]
        ious.setdefault(shape.category, []).append(row)
    return np.mean([np.mean(rows, axis=0) for rows in ious.values()], axis=0).tolist()


@torch.inference_mode()
def pictured(model: Mem3D, data: Path, split: str, hidden: float) -> list[Pictured]:
    """The shapes of a part of r2n2_like; the stem is every arm's."""
    shapes = open_dataset(data / "r2n2_like", split)
    shown = behind_occluders(shapes, hidden, 0) if hidden else shapes
    rows = []
    for i in range(len(shown)):
        frames = [test_pixels(shown.image(i, view), SMALL.model.image_size) for view in VIEWS]
        images = torch.from_numpy(np.stack(frames))
        maps = model.encoder.stem(normalize(images)).half()
        rows.append(Pictured(images, maps, torch.from_numpy(shown.grid(i)), shown.category(i)))
    return rows


def table(folder: Path) -> str:
    """Markdown of all scores in a folder: means over seeds, and how far seeds lie apart."""
    scores: dict[str, list[dict[str, list[float]]]] = {}
    for path in sorted(folder.glob("*.json")):
        scores.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text()))
    columns = [name_of(*part) for part in SPLITS]
    rows: list[list[object]] = [["", "seeds", *columns, "nearest recalled, test"]]
    for arm in (arm for arm in ARMS if arm in scores):
        cells = []
        for column in columns:
            values = [seed[column][0] for seed in scores[arm]]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        nearest = np.mean([seed[columns[0]][1] for seed in scores[arm]])
        recalls = f"{nearest:.3f}" if nearest else ""
        rows.append([f"{arm}: {ARMS[arm]}", len(scores[arm]), *cells, recalls])
    return markdown_table(rows, "lrrrrrr")


def name_of(split: str, hidden: float) -> str:
    """Of a column."""
    return f"{split}, {hidden:.0%} hidden" if hidden else split


def prepare(shapes: ShapeDataset, work: Path, stem: str, maps: Path) -> Bench:
    """The bundled model's run, its shapes and its pictures' stem maps."""
    model, memory, _ = checkpoint.load(work / "run")
    views = TrainingViews(
        shapes,
        SMALL.model.image_size,
        seed=0,
        augment=True,
        augmentation=SMALL.train.augmentation,
        with_viewpoints=True,
    )
    load_stem(model.encoder.stem, stem)
    cache = StemCache.build(
        model.encoder,
        views,
        SMALL.train.cached_views,
        batch=SMALL.train.batch,
        workers=0,
        precision=SMALL.train.precision,
        file=maps,
    )
    job = TrainingJob(shapes, None, work / "worth", SMALL, "cpu")
    return Bench(job, cache, model, memory, stem, work / "heads")


def main() -> None:
    """Teach and score what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="as of benchmarks.pretrained")
    parser.add_argument("work", type=Path, help="its folder")
    parser.add_argument("--stem", required=True, help="torchvision's ResNet-50 as safetensors")
    parser.add_argument("--far", type=float, default=1.0, help="as of benchmarks.pretrained")
    parser.add_argument("--maps", type=Path, help="stem maps (default: WORK/run/stem_maps.npy)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(ARMS), help=", ".join(ARMS))
    parser.add_argument("--long", action="store_true", help="width and length of the bundled model")
    arguments = parser.parse_args()
    keep_freed_memory()
    base = SMALL if arguments.long else NARROW
    folder = arguments.work / "worth" / ("long" if arguments.long else "short")
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        (arm, seed): folder / f"{arm}-{seed}.json"
        for seed, arm in product(range(arguments.seeds), arguments.only.split(","))
    }
    if not all(path.exists() for path in paths.values()):
        maps = arguments.maps or arguments.work / "run" / "stem_maps.npy"
        shapes = far_shapes(make_shapes(arguments.work), arguments.data, arguments.far)
        bench = prepare(shapes, arguments.work, arguments.stem, maps)
        parts = {part: pictured(bench.model, arguments.data, *part) for part in SPLITS}
        for (arm, seed), path in paths.items():
            if not path.exists():
                taught_arm = taught(arm, preset_of(arm, base, seed), bench)
                scores = {name_of(*part): score(*taught_arm, parts[part]) for part in SPLITS}
                write_atomic(path, json.dumps(scores).encode())
                print(f"{arm} {seed}: {scores}")
    print(table(folder))


if __name__ == "__main__":
    main()
