"""The network as torch.export programs (.pt2), for those who serve it without this code.

Each program is loaded back and compared with the network on random input of another batch length
before anything is kept. What stands between them, the memory, is not a program: `memstore.export`
writes it, and programs.json says how it is to be read.

A .pt2 file is code: torch.export.load may unpickle what is in it. Load only those you trust.
"""

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from mem3d.data.images.augment import MEAN, STD
from mem3d.inference.serving import Program, named, programs
from mem3d.metrics import FIXED_THRESHOLD
from mem3d.network.config import Preset
from mem3d.network.model import Mem3D
from mem3d.network.pixel_aligned import centers, in_eights
from memstore.files import check_free, made_beside

INDEX = "programs.json"
FORMAT = 1
TOLERANCE = 1e-4  # of outputs, relative to the largest
_TRACED, _CHECKED = 3, 5  # batch lengths
_MOST = 1024  # images at once


@dataclass(frozen=True)
class Exported:
    """One program that was written.

    Attributes:
        file: its name.
        inputs: shape by name, "B" for the batch.
        outputs: likewise.
        difference: largest between its outputs and the network's, relative to the largest output.
    """

    file: str
    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]
    difference: float


def export_programs(model: Mem3D, preset: Preset, folder: str | Path) -> list[Exported]:
    """Write encoder, shape encoder and decoder as programs, whole or not at all.

    Args:
        model: in evaluation mode; stays as it is.
        preset: its settings.
        folder: where nothing is yet; gets a .pt2 file for each and programs.json.

    Raises:
        ValueError: a program does not give what the network gives.
        memstore.MemstoreError: there is something at the path, or the disk refuses.
    """
    check_free(Path(folder))  # before it takes seconds
    for kept in (centers, in_eights):  # made in inference mode, they could not be traced
        kept.cache_clear()
    with made_beside(Path(folder)) as beside:
        beside.mkdir()
        tried = programs(model, _CHECKED, seed=1)
        # Channels innermost, as the network keeps its weights, would not be stored as they are.
        plain = deepcopy(model).requires_grad_(False)
        for weight in plain.parameters():
            weight.data = weight.data.contiguous()
        pairs = zip(programs(plain, _TRACED), tried, strict=True)
        done = [_exported(traced, check, beside) for traced, check in pairs]
        (beside / INDEX).write_text(json.dumps(_index(preset, done), indent=2, allow_nan=False))
    return done


def _exported(traced: Program, check: Program, folder: Path) -> Exported:
    """Trace, write, load back, compare."""
    file = f"{traced.name}.pt2"
    batch = Dim("B", min=1, max=_MOST)
    shapes = tuple({0: batch} for _ in traced.inputs)
    inputs = tuple(traced.inputs.values())
    takes_all = traced.name == "decoder"  # its forward takes a list of inputs
    wanted = (
        check.run()
    )  # before it is traced: what network/pixel_aligned.py keeps would be of the trace
    with torch.enable_grad():  # the way that suits any batch, see Decoder.grow
        program = torch.export.export(
            traced.module, inputs, dynamic_shapes=(shapes,) if takes_all else shapes
        )
    torch.export.save(program, folder / file)
    with torch.no_grad():
        loaded = torch.export.load(folder / file).module()
        found = named(check.outputs, loaded(*check.inputs.values()))
    difference = max(_difference(found[name], wanted[name]) for name in wanted)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"{file}: got outputs that differ from the network's by {difference:.1e} of the "
            f"largest, want {TOLERANCE:.0e} or less"
        )
    return Exported(file, _shapes(check.inputs), _shapes(wanted), difference)


def _difference(found: Tensor, wanted: Tensor) -> float:
    return ((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)).item()


def _shapes(tensors: dict[str, Tensor]) -> dict[str, list[int | str]]:
    return {name: ["B", *tensor.shape[1:]] for name, tensor in tensors.items()}


def _index(preset: Preset, done: list[Exported]) -> dict[str, Any]:
    """What one has to know to serve the programs."""
    model, memory = preset.model, preset.memory
    return {
        "format": FORMAT,
        "torch": torch.__version__,
        "images": {"side": model.image_size, "mean": MEAN.tolist(), "std": STD.tolist()},
        "recall": {"priors": model.priors, "beta": memory.beta, "passes": model.passes},
        "threshold": FIXED_THRESHOLD,
        "programs": [
            {"file": one.file, "inputs": one.inputs, "outputs": one.outputs} for one in done
        ],
    }
