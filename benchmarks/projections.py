"""One photo to a grid with and without kept projections: python -m benchmarks.projections [--json]

The paper preset with random weights, a memory full of ellipsoids, 8 priors a photo. Ways take turns
in one process: a 32,768 x 8,192 product per prior, as an LSTM is written down; as training computes
it, with one product for all priors; with the decoder's first layer as one product, and with the
slots' projections kept as well. Then what each part takes. Set OMP_NUM_THREADS=1. With --tiny, the
tiny preset: a test that it runs.
"""

import argparse
import json
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from statistics import median
from time import perf_counter
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.memory.host import HostMemory
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.network import decoder
from mem3d.network.config import Preset
from mem3d.network.model import Mem3D
from mem3d.network.presets import PAPER, TINY
from mem3d.network.shape_encoder import ShapeEncoder
from memstore import Memory

TARGET = 5.0  # times as fast as without, one photo to grid, the encoder included


@dataclass(frozen=True)
class Found:
    """What was measured.

    Attributes:
        each: milliseconds per photo, median: a product per prior, torch's own first decoder layer.
        plain: milliseconds per photo, median: neither projections kept nor the fast decoder.
        without: without kept projections.
        kept: with them.
        ratio: without / kept.
        both: plain / kept.
        all_three: each / kept.
        filling: milliseconds a slot, where many are projected at once.
        parts: milliseconds of each part.
        largest_difference: of any occupancy, kept against not.
        peak: GB of RAM.
    """

    each: float
    plain: float
    without: float
    kept: float
    ratio: float
    both: float
    all_three: float
    filling: float
    parts: dict[str, float]
    largest_difference: float
    peak: float


def ellipsoids(count: int, side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(count, side, side, side), the longest axis as long as the grid."""
    at = (np.indices((side,) * 3).reshape(3, 1, -1) + 0.5) * 2 / side - 1
    radii = rng.uniform(0.2, 1, (3, count, 1))
    radii[0] = 1
    return (((at / radii) ** 2).sum(0) <= 1).reshape(count, side, side, side)


def filled(preset: Preset, slots: int) -> Memory:
    """A memory of so many slots, all of which any feature may recall."""
    config = replace(preset.memory, capacity=slots, beta=-1.0, delta=1.0)
    memory, rng = Memory(config), np.random.default_rng(0)
    for start in range(0, slots, 250):
        count = min(250, slots - start)
        keys = np.abs(rng.standard_normal((count, config.key_dim), np.float32))
        memory.write(keys, ellipsoids(count, config.resolution, rng))
    return memory


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each way, called in turn; the first two rounds warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 2):
        for name, way in ways.items():
            start = perf_counter()
            way()
            times[name].append(1e3 * (perf_counter() - start))
    return {name: median(taken[2:]) for name, taken in times.items()}


def slow_decoder() -> AbstractContextManager[object]:
    """The first layer by torch's own code."""
    return patch.object(decoder, "FEW", 0)


_PROJECT = ShapeEncoder.project


def one_by_one(encoder: ShapeEncoder, priors: Tensor) -> Tensor:
    """Input projections, a product per prior: what an LSTM does step by step."""
    rows = [_PROJECT(encoder, priors[:, k]) for k in range(priors.shape[1])]
    return torch.stack(rows, dim=1)


def measured(preset: Preset, slots: int, rounds: int) -> Found:
    """Time the ways and the parts, then check that the answers agree."""
    torch.manual_seed(0)
    model, memory = Mem3D(preset.model).eval(), filled(preset, slots)
    with torch.inference_mode():
        return compared(model, memory, rounds)


def compared(model: Mem3D, memory: Memory, rounds: int) -> Found:
    """Of one network and memory; see `measured`."""
    kept, size = ProjectionCache(model.shape_encoder, memory), model.config.image_size
    photo, host = torch.rand(1, 3, size, size), HostMemory(memory)

    def shown(projections: ProjectionCache | None) -> Tensor:
        return model(photo, host, projections=projections).logits.sigmoid()

    def plain() -> None:
        with slow_decoder():
            shown(None)

    def each() -> None:
        with slow_decoder(), patch.object(ShapeEncoder, "project", one_by_one):
            shown(None)

    ways = {
        "each": each,
        "plain": plain,
        "without": lambda: shown(None),
        "kept": lambda: shown(kept),
    }
    times = in_turns(ways, rounds)
    apart = float((shown(None) - shown(kept)).abs().max())
    some, at_once = memory.slots[:256], ProjectionCache(model.shape_encoder, memory)
    start = perf_counter()
    at_once.of(some[None])
    return Found(
        **times,
        ratio=times["without"] / times["kept"],
        both=times["plain"] / times["kept"],
        all_three=times["each"] / times["kept"],
        filling=1e3 * (perf_counter() - start) / len(some),
        parts=parts(model, memory, photo, rounds),
        largest_difference=apart,
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    )


def parts(model: Mem3D, memory: Memory, photo: Tensor, rounds: int) -> dict[str, float]:
    """Milliseconds of each part of a photo's way."""
    maps = model.encoder.stem(photo)
    features = model.encoder.encode(None, maps).features
    host = HostMemory(memory)
    found = host.recall(features, model.config.priors)
    projected = model.shape_encoder.project(found.priors)
    vector = model.shape_encoder.fold(projected, found.counts)

    def slowly() -> None:
        with slow_decoder():
            model.decoder(features, vector)

    return in_turns(
        {
            "encoder: stem": lambda: model.encoder.stem(photo),
            "encoder: head": lambda: model.encoder.encode(None, maps),
            "recall": lambda: host.recall(features, model.config.priors),
            "shape encoder: projections": lambda: model.shape_encoder.project(found.priors),
            "shape encoder: the rest": lambda: model.shape_encoder.fold(projected, found.counts),
            "decoder": lambda: model.decoder(features, vector),
            "decoder, torch's own first layer": slowly,
        },
        rounds,
    )


def told(found: Found) -> str:
    """The table."""
    lines = [
        f"{'one photo to grid':40}{'ms':>9}",
        f"{'a product per prior':40}{found.each:9.1f}",
        f"{'one product, as in training':40}{found.plain:9.1f}",
        f"{'with the first layer as a product':40}{found.without:9.1f}",
        f"{'with kept projections besides':40}{found.kept:9.1f}",
        f"{'gained by keeping':40}{found.ratio:8.2f}x",
        f"{'gained by both':40}{found.both:8.2f}x",
        f"{'against a product per prior':40}{found.all_three:8.2f}x"
        f"  (want {TARGET:.0f}x: {'yes' if found.all_three >= TARGET else 'NO'})",
        f"{'largest difference in occupancy':40}{found.largest_difference:9.1e}",
        f"{'filling, a slot':40}{found.filling:9.1f}",
        f"{'peak RAM, GB':40}{found.peak:9.2f}",
        *(f"  {name:38}{ms:9.1f}" for name, ms in found.parts.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Print a table or a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    found = measured(TINY, 8, 3) if given.tiny else measured(PAPER, 4_000, 9)
    print(json.dumps(asdict(found)) if given.json else told(found))


if __name__ == "__main__":
    main()
