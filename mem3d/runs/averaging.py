"""One network of several checkpoints: the mean of their weights.

Checkpoints of one training, or of runs that began with the same weights, lie in one valley of the
loss, and their mean nearer to its middle than each of them. It costs nothing when it is used, as an
ensemble would.

Source: Izmailov et al. 2018 (stochastic weight averaging) and Wortsman et al. 2022 (model soups).
BatchNorm's running statistics are averaged too, where those papers compute them anew.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from mem3d.network import checkpoint
from mem3d.network.checkpoint import BEST, check_run
from mem3d.network.model import Mem3D
from mem3d.runs.copy import copy_run
from mem3d.runs.folder import Record
from memstore import Memory

AVERAGED = "averaged"  # kind of a record


def average(
    run: str | Path, others: Sequence[str | Path], out: str | Path, which: checkpoint.Which = "best"
) -> Record:
    """Make a new run of the mean weights and a copy of the first one's memory.

    The memory's keys are the first run's, and so is what makes a ranked key.

    Args:
        run: folder, whose settings and memory the new run has.
        others: checkpoints of networks of the same sizes: files, or folders with a best one; one
            that is named twice counts twice.
        out: where nothing is yet.
        which: of the first run's checkpoints.

    Returns:
        what its run.json says of it: "checkpoints", and "same_data", whether all learned from the
        same models.

    Raises:
        ValueError: a file is no checkpoint, or of a network of another size; or there is no other
            than the first run's.
        memstore.MemstoreError: there is something at `out`, or the disk refuses.
    """
    if not others:
        raise ValueError("checkpoints: got one, want two or more to average")
    files = [_file(Path(other)) for other in others]
    first = Path(run) / f"{which}.safetensors"
    if all(file.resolve() == first.resolve() for file in files):
        raise ValueError(f"checkpoints: got {first} only, want another to average it with")
    model, memory, state = checkpoint.load(run, which)
    mean_weights(model, files)
    data = [checkpoint.read_state(file).data for file in files]
    record: Record = {
        "kind": AVERAGED,
        "checkpoints": [str(file.resolve()) for file in files],
        "same_data": all(fingerprint == state.data for fingerprint in data),
    }

    def change(_: Memory) -> Record:
        return record

    with memory:
        copy_run(run, out, model, memory, state, change)
    return record


def mean_weights(model: Mem3D, files: Sequence[Path]) -> None:
    """Set a model to the mean of its own weights and those of checkpoints, in float64.

    Raises:
        ValueError: a file is no checkpoint, or of a network of another size; the model is then
            as it was.
    """
    totals = {
        name: value.double()
        for name, value in model.state_dict().items()
        if _is_averaged(name, value)
    }
    for file in files:
        other = Mem3D(model.config)
        checkpoint.load_weights(file, other)
        for name, value in other.state_dict().items():
            if name in totals:
                totals[name] += value.double()
    mean = {name: value / (len(files) + 1) for name, value in totals.items()}
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name in mean:
                value.copy_(mean[name])


def _is_averaged(name: str, value: torch.Tensor) -> bool:
    """Whether a weight is a number to average: no count, and no part of a ranked key."""
    return value.is_floating_point() and not name.startswith("key.")


def _file(path: Path) -> Path:
    """A checkpoint's file, of a run its best."""
    if path.is_file():
        return path
    check_run(path)
    return path / BEST
