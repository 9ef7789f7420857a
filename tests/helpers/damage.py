"""Files that rot: a bit flips, a byte changes, a page turns to zeros, the end is missing.

`python -m tests.helpers.damage --trials 500` damages every kind of file so many times and prints a
table; the tests do a few of each.
"""

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from mem3d.data.loader import TrainingViews
from mem3d.data.open import open_dataset
from mem3d.data.zarr_pack.reader import ZarrPack
from mem3d.data.zarr_pack.writer import pack
from mem3d.inference.pretrained import load_folder, publish
from mem3d.network import checkpoint
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training import stem_cache
from mem3d.training.heads import pretraining
from tests.helpers.r2n2_folder import make_r2n2
from tests.helpers.untrained_run import make_run

PAGE = 4096
FAULTS = ("bit", "byte", "page", "cut")


def damaged(data, fault, rng):
    """The bytes with one fault."""
    data, at = bytearray(data), rng.randrange(len(data))
    if fault == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif fault == "byte":
        data[at] ^= rng.randrange(1, 256)
    elif fault == "page":
        start = at - at % PAGE
        data[start : start + PAGE] = bytes(len(data[start : start + PAGE]))
    else:
        del data[at:]
    return bytes(data)


def outcomes(files, load, trials, seed=0):
    """Damage one of the files, load, and restore it, again and again.

    Args:
        files: as they were written.
        load: gives all that is loaded, to compare; a ValueError or OSError reports the damage.
        trials: how many, each kind of fault in turn.
        seed: of which.

    Returns:
        Counter of "reported", "harmless" (what is loaded is equal) and "silent".
    """
    rng, counts, truth = random.Random(seed), Counter(), load()
    for trial in range(trials):
        file = rng.choice(files)
        data = file.read_bytes()
        file.write_bytes(damaged(data, FAULTS[trial % len(FAULTS)], rng))
        counts[outcome(load, truth)] += 1
        file.write_bytes(data)
    assert load() == truth
    return counts


def outcome(load, truth):
    """One word for what loading gives."""
    try:
        return "harmless" if load() == truth else "silent"
    except (ValueError, OSError):  # memstore's errors are such too
        return "reported"


def contents(tensors):
    """Bytes of tensors or arrays, to compare."""
    return [np.asarray(tensor).tobytes() for tensor in tensors]


def rows(memory):
    """All that a memory's slots hold."""
    slots = memory.slots
    arrays = memory.keys(slots), memory.values(slots), memory.ages, memory.reads
    return memory.clock, memory.sources, contents(arrays)


def best_checkpoint(folder):
    """Weights to answer with."""
    run = make_run(folder / "run")

    def load():
        model, memory, state = checkpoint.load(run)
        with memory:
            return state, rows(memory), contents(model.state_dict().values())

    return [run / "best.safetensors"], load


def last_checkpoint(folder):
    """Weights, optimizer and random state to resume from."""
    path = folder / "last.safetensors"
    model = Mem3D(TINY.model)
    optimizer = torch.optim.AdamW(model.parameters())
    sum((weight**2).sum() for weight in model.parameters()).backward()
    optimizer.step()
    state = checkpoint.State(
        preset=TINY, step=1, snapshot="x", validation_iou=0.5, best_iou=0.5, best_step=1
    )
    checkpoint.save(path, state, model, optimizer)

    def load():
        saved = checkpoint.restore_run(path, model, optimizer)
        slots = optimizer.state_dict()["state"]
        tensors = [*model.state_dict().values(), torch.get_rng_state()]
        tensors += [tensor for index in slots for tensor in slots[index].values()]
        return saved, contents(tensors)

    return [path], load


def published(folder, name):
    """One of the files of a published folder."""
    publish(make_run(folder / "run"), folder / "published")

    def load():
        model, memory, preset = load_folder(folder / "published")
        return preset, rows(memory), contents(model.state_dict().values())

    return [folder / "published" / name], load


def packed(folder, pattern):
    """Some of the files of a pack."""
    data = open_dataset(make_r2n2(folder / "data", train=1, val=1, test=0))
    pack(data, folder / "pack", per_shard=3)

    def load():
        data = ZarrPack.open(folder / "pack")
        shapes = range(len(data))
        arrays = [data.image(i, view) for i in shapes for view in range(data.views(i))]
        arrays += [array for i in shapes for array in (data.grid(i), data.cameras(i))]
        names = [(data.shape_id(i), data.category(i), data.views(i)) for i in shapes]
        return names, data.subset_of, data.skipped, contents(arrays)

    return [path for path in (folder / "pack").glob(pattern) if path.is_file()], load


def stem_maps(folder):
    """A stem cache on disk; it is made anew where it is damaged."""
    encoder = Mem3D(TINY.model).encoder
    encoder.freeze_stem()
    data = open_dataset(make_r2n2(folder / "data", train=1, val=1, test=0), "train")
    views = TrainingViews(data, 64, seed=0, augment=False)
    file = folder / "maps.npy"
    name = stem_cache.StemCache.build(encoder, views, 1, batch=2, workers=0, file=file).fingerprint

    def load():
        side = stem_cache.read_side_arrays(file, name)
        if side is None:
            raise ValueError("made anew")
        return contents([stem_cache.map_file(file), *side])

    return [file, stem_cache.side_path(file)], load


def learned_poses(folder):
    """Cameras and extents that another run has learned; they are learned anew if damaged."""
    path, parts = folder / "poses.safetensors", torch.nn.Linear(9, 5)
    pretraining.save_tensors(path, parts.state_dict(), {})

    def load():
        if not pretraining._load(path, parts):
            raise ValueError("learned anew")
        return contents(parts.state_dict().values())

    return [path], load


# By what is damaged: a function of a folder that gives its files and what loads them.
SAMPLES = {
    "best.safetensors": best_checkpoint,
    "last.safetensors": last_checkpoint,
    **{name: lambda folder, name=name: published(folder, name) for name in checkpoint.FILES},
    "pack: zarr.json": lambda folder: packed(folder, "zarr.json"),
    "pack: arrays' zarr.json": lambda folder: packed(folder, "*/zarr.json"),
    "pack: chunks": lambda folder: packed(folder, "*/c/**/0"),
    "stem maps": stem_maps,
    "poses": learned_poses,
}


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, sample in SAMPLES.items():
        with tempfile.TemporaryDirectory() as folder:
            counts = outcomes(*sample(Path(folder)), args.trials, args.seed)
        figures = "  ".join(f"{word} {counts[word]:>5}" for word in ("reported", "harmless"))
        print(f"{name:<26}{figures}  silent {counts['silent']:>5}", flush=True)


if __name__ == "__main__":
    main()
