"""A run with the same weights and another memory.

The first run stays as it is: its checkpoints name snapshots of its own memory. The new one has a
checkpoint (best.safetensors), and a run.json and a README.md that say what was changed; it holds no
optimizer state, so training cannot resume it.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mem3d.network import checkpoint
from mem3d.network.checkpoint import BEST, PAGE
from mem3d.network.model import Mem3D
from mem3d.runs.folder import (
    MEMORIZED,
    Record,
    changes_of,
    read_description,
    unreadable_changes,
)
from mem3d.runs.readme import copy_page
from memstore import Memory
from memstore.files import made_beside, write_atomic


def copy_run(
    run: str | Path,
    out: str | Path,
    model: Mem3D,
    memory: Memory,
    state: checkpoint.State,
    change: Callable[[Memory], Record],
    *,
    capacity: int | None = None,
) -> checkpoint.State:
    """Make a new run of the same weights and a changed copy of the memory, whole or not at all.

    Args:
        run: folder that model, memory and state were loaded from.
        out: where nothing is yet.
        model: its weights are written as they are.
        memory: is copied, not changed.
        state: of the checkpoint.
        change: is called with the copy, open to be written; what it returns is added to "changes"
            in run.json, beside where the copy came from.
        capacity: slots of the copy, no fewer than now; by default as many.

    Returns:
        what the new checkpoint says of itself; its validation IoU is nan, for it was the first
        memory's.

    Raises:
        memstore.MemstoreError: there is something at `out`, or the disk refuses.

    Example:
        model, memory, state = checkpoint.load("runs/first")
        data = open_dataset("new-shapes").check(1)

        def change(copy):
            report = memorize(model, copy, data)
            names = [data.shape_id(i) for i in range(len(data))]
            return {"kind": "memorised", "inserted": report.inserted, "sources": names}

        copy_run("runs/first", "runs/more", model, memory, state, change)
    """
    description = read_description(run)
    origin = {"run": str(Path(run).resolve()), "snapshot": state.snapshot, "step": state.step}
    with made_beside(Path(out)) as beside:
        beside.mkdir()
        memory.copy_to(beside / "memory", capacity)
        with Memory.open(beside / "memory", "r+") as copy:
            record = change(copy)
            snapshot = copy.commit(str(record["kind"]))
            copy.expire(keep=1)  # the first run keeps what was before
            preset, slots = replace(state.preset, memory=copy.config), len(copy)
        copied = replace(state, snapshot=snapshot, preset=preset, validation_iou=math.nan)
        checkpoint.save(beside / BEST, copied, model)
        description["preset"] = preset.to_dict()
        description["changes"] = [*changes_of(run, description), {**record, **origin}]
        write_atomic(beside / "run.json", json.dumps(description, indent=2).encode())
        text = _page(Path(run), run, description["changes"], slots, copied)
        write_atomic(beside / PAGE, text.encode())
    return copied


def keep_change(
    out: str | Path, model: Mem3D, memory: Memory, state: checkpoint.State, sources: list[str]
) -> checkpoint.State:
    """Save what was written to the memory of a run that `copy_run` made.

    The names come first: whenever this dies, the run owns up to all that its memory may hold.

    Args:
        out: folder of the copy.
        model: its weights are written as they are.
        memory: the copy's, open to be written.
        state: of the copy's checkpoint.
        sources: names of the pairs that were written.

    Returns:
        what the new checkpoint says of itself.

    Raises:
        ValueError: run.json is not as copy_run left it.
        memstore.MemstoreError: the disk refuses.
    """
    description = read_description(out)
    changes = changes_of(out, description)
    try:
        last = changes[-1]
        last["sources"] = list(dict.fromkeys([*last["sources"], *sources]))
        last["pictures"] += len(sources)
    except (LookupError, TypeError) as error:
        raise unreadable_changes(out, error) from error
    write_atomic(Path(out) / "run.json", json.dumps(description, indent=2).encode())
    text = _page(Path(out), out, changes, len(memory), state)
    write_atomic(Path(out) / PAGE, text.encode())
    saved = replace(state, snapshot=memory.commit(MEMORIZED))
    checkpoint.save(Path(out) / BEST, saved, model)
    memory.expire(keep=1)  # no checkpoint names what was before
    return saved


def _page(
    first: Path, run: str | Path, changes: list[Record], slots: int, state: checkpoint.State
) -> str:
    """README.md's text, from the page of the first run."""
    try:
        return copy_page(first, changes, slots, state.preset.memory.capacity)
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable_changes(run, error) from error
