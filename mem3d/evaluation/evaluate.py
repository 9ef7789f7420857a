"""IoU of a network and of its baselines, per category and on average.

Two averages are in use in the field and differ by a point or two: over samples, and over categories
("macro"). Both are given. So are two thresholds: .3, fixed, and the one that is best on the
validation set, chosen for each method by itself.

Pix3D has another protocol of its own (data/readers/pix3d.py). Where asked for, it is computed
besides and kept apart: its numbers and these do not compare.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mem3d.data.dataset import ShapeDataset
from mem3d.data.loader import TestViews, loader
from mem3d.evaluation import pix3d as pix3d_protocol
from mem3d.evaluation.baselines import (
    Baseline,
    category_means,
    mean_of_recalled,
    nearest_recalled,
)
from mem3d.memory.projection_cache import ProjectionCache
from mem3d.metrics import FIXED_THRESHOLD, f_score, iou, threshold_sweep
from mem3d.network.model import Mem3D, Output
from mem3d.network.predict import EnsembleMember, predict
from memstore import Memory
from memstore.files import Progress

THRESHOLDS = (0.2, 0.3, 0.4, 0.5)  # the field's (Pix2Vox)
PROTOCOL = "Pix2Vox: 32^3 in the R2N2 frame, IoU at fixed thresholds"
NETWORK, NEAREST, MEAN = "network", "nearest recalled", "category mean"
RECALLED_MEAN = "mean of recalled"

Means = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Scores:
    """Results per sample.

    Attributes:
        iou: method -> (N, T) IoU at each of THRESHOLDS.
        f_score: method -> (N,) F-score@1% at FIXED_THRESHOLD; empty unless asked for.
        categories: (N,) names.
        shape_ids: (N,) names of their shapes.
        priors: (N,) how many priors were recalled.
        pix3d: method -> (N, 50) IoU by Pix3D's protocol; empty unless asked for.
    """

    iou: dict[str, NDArray[np.float32]]
    f_score: dict[str, NDArray[np.float64]]
    categories: list[str]
    shape_ids: list[str]
    priors: NDArray[np.int64]
    pix3d: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def evaluate(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    *,
    validation: ShapeDataset | None = None,
    means: Means | None = None,
    baselines: Mapping[str, Baseline] = MappingProxyType({}),
    flip: bool = False,
    projections: ProjectionCache | None = None,
    ensemble: Sequence[EnsembleMember] = (),
    with_f_score: bool = False,
    pix3d_truth: Callable[[int], NDArray[np.bool_]] | None = None,
    batch: int = 32,
    device: str = "cpu",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """IoU of a network and its baselines on view 00 of a data set: `score` and `summarise` in one.

    Nothing is left out: which test shapes the memory knows already, `known_shapes` says.

    Args:
        model: put into evaluation mode.
        memory: where it recalls; read, never written.
        data: shapes to test on.
        validation: others, which choose each method's best threshold; None reports .3 alone.
        means: as all that follow, see `score`; F-score and Pix3D's protocol are of `data` alone.

    Returns:
        see `summarise`.

    Raises:
        ValueError: there is no shape to test on, or networks' grids differ.

    Example:
        data = mem3d.open_dataset("shapes", "test")
        with mem3d.load("runs/first") as trained:
            report = mem3d.evaluate(trained.model, trained.memory, data)
        print(json.dumps(report["methods"], indent=1))
    """
    run = partial(
        score,
        model,
        memory,
        means=means,
        baselines=baselines,
        flip=flip,
        projections=projections,
        ensemble=ensemble,
        batch=batch,
        device=device,
    )
    first = 0 if validation is None else len(validation)

    def count(after: int) -> Progress | None:
        return progress and (lambda number, _: progress(after + number, first + len(data)))

    validated = run(validation, progress=count(0)) if validation is not None and first else None
    scores = run(data, with_f_score=with_f_score, pix3d_truth=pix3d_truth, progress=count(first))
    return summarise(scores, validated)


@torch.inference_mode()
def score(
    model: Mem3D,
    memory: Memory,
    data: ShapeDataset,
    *,
    means: Means | None = None,
    baselines: Mapping[str, Baseline] = MappingProxyType({}),
    flip: bool = False,
    view: int = 0,
    projections: ProjectionCache | None = None,
    ensemble: Sequence[EnsembleMember] = (),
    with_f_score: bool = False,
    pix3d_truth: Callable[[int], NDArray[np.bool_]] | None = None,
    batch: int = 32,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Scores:
    """Reconstruct one view of every model and compare; the memory is read, never written.

    Args:
        model: the network; put into evaluation mode.
        memory: where it recalls.
        data: models to test on.
        means: from `baselines.category_means`; adds that baseline. A category it does not know
            scores as an empty grid.
        baselines: more of them by name, see `costly_baselines`.
        flip: average with each photo's mirror image, see `predict`; the baselines see the photo
            alone.
        view: which; the field's protocol is 00. Of a model with fewer, counted round.
        projections: of this network and memory; saves time where slots are recalled again.
        ensemble: further networks that answer too, see `network.predict`; what is said of recall,
            and the baselines made of what is recalled, are the first one's.
        with_f_score: also compute F-score@1% (about 0.1 s a model and method).
        pix3d_truth: also score by Pix3D's protocol, against this grid of each model.
        batch: models at a time.
        device: where the network is.
        progress: called with models done and models in all.

    Raises:
        ValueError: there is no model to test on, or networks' grids differ.
    """
    if not len(data):
        raise ValueError(f"{data.root}: got no usable model, want at least 1 to test on")
    for network in (model, *(member.model for member in ensemble)):
        network.eval()
    ious: dict[str, list[NDArray[np.float32]]] = {}
    f_scores: dict[str, list[NDArray[np.float64]]] = {}
    pix3d: dict[str, list[NDArray[np.float64]]] = {}
    priors: list[NDArray[np.int64]] = []
    views = TestViews(data, model.config.image_size, view)
    order = [list(range(i, min(i + batch, len(data)))) for i in range(0, len(data), batch)]
    for samples in loader(views, order, workers=0):
        images = samples.images.to(device)
        occupancy, output = predict(
            model, images, memory, flip=flip, projections=projections, ensemble=ensemble
        )
        names = [data.category(i) for i in samples.shapes]
        occupancies = {
            NETWORK: occupancy.cpu(),
            **_quick(model, memory, output, names, means),
            **{name: baseline(samples, names, output) for name, baseline in baselines.items()},
        }
        for method, occupancy in occupancies.items():
            swept = threshold_sweep(occupancy, samples.grids, THRESHOLDS).numpy()
            ious.setdefault(method, []).append(swept)
            if with_f_score:
                f_scores.setdefault(method, []).append(_f_scores(occupancy, samples.grids))
            if pix3d_truth is not None:
                pairs = zip(occupancy.numpy(), map(pix3d_truth, samples.shapes), strict=True)
                sweeps = [pix3d_protocol.sweep(grid, true) for grid, true in pairs]
                pix3d.setdefault(method, []).extend(sweeps)
        priors.append(output.recalled.counts.cpu().numpy())
        if progress:
            progress(samples.shapes[-1] + 1, len(data))
    return Scores(
        iou={method: np.concatenate(parts) for method, parts in ious.items()},
        f_score={method: np.concatenate(parts) for method, parts in f_scores.items()},
        categories=[data.category(i) for i in range(len(data))],
        shape_ids=[data.shape_id(i) for i in range(len(data))],
        priors=np.concatenate(priors),
        pix3d={method: np.stack(rows) for method, rows in pix3d.items()},
    )


def _quick(
    model: Mem3D, memory: Memory, output: Output, names: list[str], means: Means | None
) -> dict[str, Tensor]:
    """Occupancies (B, R, R, R) of the baselines that cost next to nothing."""
    resolution = model.config.resolution
    if model.key is None:
        grids = {NEAREST: nearest_recalled(memory, output.keys, resolution)}
    else:  # after the second look
        grids = {NEAREST: output.recalled.priors[:, 0].float().cpu()}
    if means is not None:
        grids[MEAN] = _mean_grids(means, names, resolution)
    return {**grids, RECALLED_MEAN: mean_of_recalled(output.recalled)}


def _mean_grids(means: Means, names: list[str], resolution: int) -> Tensor:
    """(B, R, R, R) mean grid of each category; empty for one that has none."""
    blank = np.zeros((resolution,) * 3, np.float32)
    return torch.from_numpy(np.stack([means.get(name, blank) for name in names]))


def _f_scores(occupancy: Tensor, grids: Tensor) -> NDArray[np.float64]:
    """(B,) F-score of each grid; see `f_score`."""
    pairs = zip(occupancy.numpy(), grids.numpy(), strict=True)
    return np.array([f_score(grid, true, threshold=FIXED_THRESHOLD) for grid, true in pairs])


def by_category(scores: Scores, values: NDArray[Any]) -> dict[str, float]:
    """Mean of (N,) values within each category, in order of first appearance."""
    names = np.array(scores.categories)
    return {name: float(values[names == name].mean()) for name in dict.fromkeys(scores.categories)}


def macro(scores: Scores, method: str, threshold: float) -> float:
    """IoU averaged within each category, then over categories; nan without samples."""
    per_category = by_category(scores, _at(scores, method, threshold))
    return float(np.mean(list(per_category.values()))) if per_category else float("nan")


def mean_shape_iou(learned: ShapeDataset, data: ShapeDataset) -> float:
    """Macro IoU of a guess that knows the category alone: its mean training shape.

    Args:
        learned: the training set; every grid is read once.
        data: shapes to score.

    Returns:
        in [0, 1], at FIXED_THRESHOLD; nan without shapes.

    Raises:
        ValueError: a grid cannot be read, or the two have other sizes.
    """
    means, ious = category_means(learned), np.empty(len(data), np.float32)
    names = [data.category(i) for i in range(len(data))]
    for i, name in enumerate(names):
        target = torch.from_numpy(data.grid(i))[None]
        mean = _mean_grids(means, [name], target.shape[-1])
        ious[i] = iou(mean, target, threshold=FIXED_THRESHOLD)
    categories = np.array(names)
    return float(np.mean([ious[categories == name].mean() for name in np.unique(categories)]))


def best_threshold(validation: Scores, method: str) -> float:
    """The one of THRESHOLDS with the highest macro IoU; the lowest among equals."""
    return max(THRESHOLDS, key=lambda threshold: macro(validation, method, threshold))


def _at(scores: Scores, method: str, threshold: float) -> NDArray[np.float32]:
    return scores.iou[method][:, THRESHOLDS.index(threshold)]


def doubts(summary: dict[str, Any]) -> list[str]:
    """What speaks against the network in a table of `summarise`: one line, or none."""
    if MEAN not in summary["methods"]:
        return []
    ours, mean = (summary["methods"][method]["fixed"]["macro"] for method in (NETWORK, MEAN))
    if ours >= mean:
        return []
    text = f"below the category mean: IoU {ours:.3f}, of the mean shape of the kind {mean:.3f}"
    return [f"{text}; train longer or on more shapes, and see that views and grids belong together"]


def summarise(test: Scores, validation: Scores | None = None) -> dict[str, Any]:
    """Table of a test set, JSON-able.

    Args:
        test: scores to report.
        validation: scores that choose each method's best threshold; without them, only .3 is used.

    Returns:
        "protocol": what the numbers under "methods" are; "methods": per method the thresholds, IoU
        per category, sample-weighted and macro, and F-score where computed; "categories": name ->
        number of samples; "hit_rate": share of samples that recalled something; "mean_priors";
        "pix3d", where computed: protocol and methods of its own.
    """
    methods: dict[str, Any] = {}
    for method in test.iou:
        columns: dict[str, Any] = {"fixed": FIXED_THRESHOLD}
        if validation is not None:
            columns["best on validation"] = best_threshold(validation, method)
        methods[method] = {
            column: {
                "protocol": PROTOCOL,
                "threshold": threshold,
                "categories": by_category(test, _at(test, method, threshold)),
                "weighted": float(_at(test, method, threshold).mean()),
                "macro": macro(test, method, threshold),
            }
            for column, threshold in columns.items()
        }
        if method in test.f_score:
            values = test.f_score[method]
            methods[method]["f_score"] = {
                "protocol": "F-score@1% in the R2N2 frame",
                "categories": by_category(test, values),
                "weighted": float(values.mean()),
                "macro": float(np.mean(list(by_category(test, values).values()))),
            }
    names = list(dict.fromkeys(test.categories))
    return {
        "samples": len(test.categories),
        "protocol": PROTOCOL,
        "categories": {name: test.categories.count(name) for name in names},
        "methods": methods,
        "hit_rate": float((test.priors > 0).mean()),
        "mean_priors": float(test.priors.mean()),
        **({"pix3d": _pix3d(test)} if test.pix3d else {}),
    }


def _pix3d(test: Scores) -> dict[str, Any]:
    """Table by Pix3D's protocol: each method at its best threshold, over samples only."""
    methods = {}
    for method, ious in test.pix3d.items():
        best = pix3d_protocol.best_threshold(ious)
        methods[method] = {
            "protocol": pix3d_protocol.PROTOCOL,
            "threshold": pix3d_protocol.THRESHOLDS[best],
            "categories": by_category(test, ious[:, best]),
            "weighted": float(ious[:, best].mean()),
        }
    return {"protocol": pix3d_protocol.PROTOCOL, "methods": methods}
