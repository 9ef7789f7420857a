"""What each of two processes does for tests/mem3d/training/test_distributed.py."""

import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import torch
from torch import distributed

from mem3d.data.loader import BatchSampler, TrainingViews, loader
from mem3d.data.readers.r2n2 import R2N2
from mem3d.network.encoder import normalize
from mem3d.network.model import Mem3D
from mem3d.network.presets import TINY
from mem3d.training import report, trainer
from mem3d.training.distributed import Replicas, share_norms
from mem3d.training.heads.pose import pretrain_pose
from mem3d.training.state import TrainingJob, TrainingState
from mem3d.training.stem_cache import StemCache
from mem3d.training.step import train_step
from memstore import Memory

PRESET = replace(  # 3 + 3 + 2 images an epoch: parts of one and of two
    TINY,
    model=replace(TINY.model, dropout=0.1),
    train=replace(TINY.train, batch=3, epochs=2, exclude_self=True, augment=False),
)
FIGURES = ("loss", "bce", "triplet", "triplet_valid", "hit_rate", "priors")
WRITES = ("merged", "inserted", "evicted")


class DiedError(Exception):
    pass


def run_of(data, folder, preset, replicas, die_at=0):
    """Train; give the run's rows, its memory and its weights as arrays."""
    runs, rows = [], []
    real = trainer.train_step

    def watched(run, *rest):
        runs[:] = [run]
        row = real(run, *rest)
        rows.append(row)
        if die_at and len(rows) == die_at:
            raise DiedError
        return row

    trainer.train_step = watched
    report.curves = lambda *_: None  # takes its time
    try:
        trainer.train(R2N2.open(data, "train"), None, folder, preset, replicas=replicas)
    except DiedError:
        return {}
    finally:
        trainer.train_step = real
    return contents(runs[0], rows)


def contents(run, rows):
    """Figures, memory and weights as arrays."""
    slots, memory = run.memory.slots, run.memory
    return {
        "figures": np.array([[row[name] for name in FIGURES] for row in rows]),
        "writes": np.array([[row[name] for name in WRITES] for row in rows]),
        **{"slots": slots, "ages": memory.ages, "keys": memory.keys(slots)},
        **{"values": memory.values(slots), "sources": np.array(memory.sources)},
        **{f"weight {name}": w.numpy() for name, w in run.model.state_dict().items()},
    }


def steps(data, replicas):
    """Two epochs of plain gradient descent in float64: in float32, roundings grow to a tenth."""
    torch.manual_seed(0)
    model = Mem3D(replace(PRESET.model, dropout=0.0)).double()
    if replicas.count > 1:
        share_norms(model, "cpu")
    before = {name: w.clone() for name, w in model.state_dict().items()}
    memory = Memory(replace(PRESET.memory, capacity=5, beta=0.5, delta=0.8))
    run = TrainingState(model, torch.optim.SGD(model.parameters(), 1e-3), memory)
    shapes, rows = R2N2.open(data, "train"), []
    views = TrainingViews(shapes, 64, seed=0, augment=False)
    order = [list(replicas.part(batch)) for batch in BatchSampler(8, 3, 2, seed=0)]
    for batch in loader(views, order, 0):
        batch = replace(batch, images=normalize(batch.images).double())
        rows.append(train_step(run, batch, shapes, PRESET.train, "cpu", replicas))
    steps = {f"weight {name}": (before[name] - w).numpy() for name, w in model.state_dict().items()}
    return contents(run, rows) | steps


POSES = replace(
    PRESET,
    model=replace(
        PRESET.model,
        refiner=8,
        fuse_priors=True,
        rescale_priors=True,
        pixel_features=True,
        pose_channels=6,
    ),
    train=replace(PRESET.train, freeze_stem=True, cached_views=1, pose_epochs=3),
)


def poses(data, folder, replicas):
    """Weights after cameras and extents were learned first."""
    torch.manual_seed(0)
    model, shapes = Mem3D(POSES.model), R2N2.open(data, "train")
    model.encoder.freeze_stem()
    share_norms(model, "cpu")
    views = TrainingViews(shapes, 64, seed=0, augment=False, with_viewpoints=True)
    cache = StemCache.build(model.encoder, views, 1, batch=4, workers=0)
    pretrain_pose(model, TrainingJob(shapes, None, folder, POSES, "cpu", None, replicas), cache)
    return {f"weight {name}": w.numpy() for name, w in model.state_dict().items()}


def work(rank, data, folder):
    """All that two processes do together; what each found goes to FOLDER/RANK-*.npz."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{folder}/meet", timeout=timedelta(seconds=60), rank=rank, world_size=2
    )
    replicas = Replicas(rank, 2)
    np.savez(folder / f"{rank}-steps.npz", **steps(data, replicas))
    np.savez(folder / f"{rank}-poses.npz", **poses(data, folder / "poses", replicas))
    np.savez(folder / f"{rank}-whole.npz", **run_of(data, folder / "whole", PRESET, replicas))
    run_of(data, folder / "parts", PRESET, replicas, die_at=4)
    if replicas.is_first:
        shutil.copytree(folder / "parts", folder / "half")
    replicas.wait()
    np.savez(folder / f"{rank}-parts.npz", **run_of(data, folder / "parts", PRESET, replicas))
    if replicas.is_first:  # the second ends: the first must not wait
        try:
            replicas.total({"loss": 1.0}, "cpu")
        except ValueError as error:
            (folder / "left.txt").write_text(str(error))
