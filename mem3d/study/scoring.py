"""What a run of a study scored, on all that the study asks for and it lacks so far."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.corruptions import behind_occluders
from mem3d.evaluation.evaluate import NEAREST, NETWORK, macro, score
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.checkpoint import BEST, load, read_state
from mem3d.network.model import Mem3D
from mem3d.runs.folder import read_log
from mem3d.runs.memorization import memorize
from mem3d.study.study import (
    MEMORIZED,
    MEMORIZED_VIEWS,
    Result,
    Study,
    StudyRun,
    check_own,
    missing,
    read_result,
    run_folder,
    share_key,
)
from memstore import Memory

HIDE_SEED = 0  # every run is scored behind the same occluders

Tell = Callable[[str], None]


def score_run(study: Study, run: StudyRun, tell: Tell) -> Result:
    """A run's result, with what it lacked so far; its best epoch is scored.

    Args:
        study: whose.
        run: has a checkpoint.
        tell: called with what is being done.

    Raises:
        ValueError: its run is of other settings or other models, or cannot be read.
    """
    folder = run_folder(study, run)
    check_own(study, run, read_state(folder / BEST, resuming=True))
    model, memory, state = load(folder, "best", study.device)
    log = read_log(folder / "log.jsonl", 2**62)
    former = read_result(study, run) or {}
    with memory:
        result = former | {
            "variant": run.variant,
            "seed": run.seed,
            "preset": run.preset.to_dict(),
            "best_epoch": next((row["epoch"] for row in log if row["step"] == state.step), None),
            "minutes": sum(row["seconds"] for row in log) / 60,
            "slots": len(memory),
            "views": study.views,
            "models": former.get("models", {}) | {n: len(s) for n, s in study.subsets().items()},
            **study.fingerprints(),
        }
        lacking = missing(study, former)
        with _enlarged(study, model, memory, lacking, tell) as enlarged:
            for subset, share in lacking:
                tell(f"scoring {subset}, {share:.0%} hidden")
                own = enlarged if subset == MEMORIZED else memory
                scores = _scores(study, run, model, own, subset, share)
                result.setdefault(subset, {})[share_key(share)] = scores
    return result


def _scores(
    study: Study, run: StudyRun, model: Mem3D, memory: Memory, subset: str, share: float
) -> dict[str, float]:
    """Means over the views; each shows every model, so that they weigh alike."""
    data, batch = _hidden(study.subsets()[subset], share), run.preset.train.batch
    views = []
    for view in range(study.views):
        scores = score(model, memory, data, view=view, batch=batch, device=study.device)
        views.append(
            {
                "network": macro(scores, NETWORK, FIXED_THRESHOLD),
                "nearest": macro(scores, NEAREST, FIXED_THRESHOLD),
                "hit_rate": float((scores.priors > 0).mean()),
                "priors": float(scores.priors.mean()),
            }
        )
    return {name: float(np.mean([means[name] for means in views])) for name in views[0]}


@contextmanager
def _enlarged(
    study: Study, model: Mem3D, memory: Memory, lacking: list[tuple[str, float]], tell: Tell
) -> Iterator[Memory]:
    """A copy of a memory with the unseen shapes besides; itself where it is not asked for.

    It has a slot for each picture, so that nothing learned is evicted. A network that reads nothing
    answers the same with either; what lies nearest to its features does not.
    """
    if study.unseen is None or all(subset != MEMORIZED for subset, _ in lacking):
        yield memory
        return
    shapes = study.unseen.to_memorize
    tell(f"memorizing {len(shapes)} shapes")
    room = memory.config.capacity + MEMORIZED_VIEWS * len(shapes)
    with tempfile.TemporaryDirectory(dir=study.folder, prefix=".memory-") as folder:
        path = Path(folder) / "memory"
        memory.copy_to(path, room)
        copy = Memory.open(path, "r+")
        try:
            memorize(model, copy, shapes, views=MEMORIZED_VIEWS, device=study.device)
            yield copy
        finally:
            copy.close(discard=True)


def _hidden(data: ShapeDataset, share: float) -> ShapeDataset:
    return behind_occluders(data, share, HIDE_SEED) if share else data
