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
from mem3d.runs.memorize import memorize
from mem3d.study.study import (
    MEMORIZED,
    MEMORIZED_VIEWS,
    Part,
    Result,
    Study,
    check_own,
    missing,
    read_result,
    run_folder,
    share_key,
)
from memstore import Memory

HIDE_SEED = 0  # every run is scored behind the same occluders

Tell = Callable[[str], None]


def scored(study: Study, one: Part, tell: Tell) -> Result:
    """A part's result, with what it lacked so far; its best epoch is scored.

    Args:
        study: whose.
        one: a part that has a checkpoint.
        tell: called with what is being done.

    Raises:
        ValueError: its run is of other settings or other models, or cannot be read.
    """
    folder = run_folder(study, one)
    check_own(study, one, read_state(folder / BEST, resuming=True))
    model, memory, state = load(folder, "best", study.device)
    log = read_log(folder / "log.jsonl", 2**62)
    known = read_result(study, one) or {}
    with memory:
        result = known | {
            "variant": one.variant,
            "seed": one.seed,
            "preset": one.preset.to_dict(),
            "best_epoch": next((row["epoch"] for row in log if row["step"] == state.step), None),
            "minutes": sum(row["seconds"] for row in log) / 60,
            "slots": len(memory),
            "views": study.views,
            "models": known.get("models", {}) | {n: len(s) for n, s in study.subsets().items()},
            **study.fingerprints(),
        }
        lacking = missing(study, known)
        with _grown(study, model, memory, lacking, tell) as more:
            for subset, share in lacking:
                tell(f"scoring {subset}, {share:.0%} hidden")
                used = more if subset == MEMORIZED else memory
                found = _scores(study, one, model, used, subset, share)
                result.setdefault(subset, {})[share_key(share)] = found
    return result


def _scores(
    study: Study, one: Part, model: Mem3D, memory: Memory, subset: str, share: float
) -> dict[str, float]:
    """Means over the views; each shows every model, so that they weigh alike."""
    data, batch = _hidden(study.subsets()[subset], share), one.preset.train.batch
    found = []
    for view in range(study.views):
        scores = score(model, memory, data, view=view, batch=batch, device=study.device)
        found.append(
            {
                "network": macro(scores, NETWORK, FIXED_THRESHOLD),
                "nearest": macro(scores, NEAREST, FIXED_THRESHOLD),
                "hit_rate": float((scores.priors > 0).mean()),
                "priors": float(scores.priors.mean()),
            }
        )
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@contextmanager
def _grown(
    study: Study, model: Mem3D, memory: Memory, lacking: list[tuple[str, float]], tell: Tell
) -> Iterator[Memory]:
    """A copy of a memory that was given the unseen shapes; itself where it is not asked for.

    It has a slot for each picture, so that nothing learned is evicted. A network that reads nothing
    answers the same with either; what lies nearest to its features does not.
    """
    wanted = any(subset == MEMORIZED for subset, _ in lacking)
    if study.unseen is None or not wanted:
        yield memory
        return
    shapes = study.unseen.to_memorize
    tell(f"memorizing {len(shapes)} shapes")
    room = memory.config.capacity + MEMORIZED_VIEWS * len(shapes)
    with tempfile.TemporaryDirectory(dir=study.folder, prefix=".memory-") as folder:
        path = Path(folder) / "memory"
        memory.copy_to(path, room)
        with Memory.open(path, "r+") as copy:
            memorize(model, copy, shapes, views=MEMORIZED_VIEWS, device=study.device)
            yield copy


def _hidden(data: ShapeDataset, share: float) -> ShapeDataset:
    return behind_occluders(data, share, HIDE_SEED) if share else data
