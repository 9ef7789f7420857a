"""What a study compares: one preset, with one thing changed at a time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mem3d.network.config import Preset
from mem3d.network.presets import with_own_key

BASE, NO_MEMORY = "base", "no-memory"  # what is changed; what a gain is measured from
MOST_PRIORS = 32  # of "k-all", which would else recall every slot above beta
MOST_SLOTS = 2**24  # a memory's largest capacity

Change = Callable[[Preset], Preset]


def variants(models: int) -> dict[str, Change]:
    """Name -> what it changes, in the order of the table.

    Args:
        models: to learn from; "memory-all" has a slot for each in each epoch, so that nothing is
            ever evicted.
    """
    return {
        BASE: lambda preset: preset,
        NO_MEMORY: lambda preset: _without(preset, "none"),
        "fc": lambda preset: _without(preset, "fc"),
        "box": _box,
        "own-key": with_own_key,
        "no-fuse": lambda preset: _model(
            preset, fuse_priors=False, prior_gate=False, rescale_priors=False
        ),
        "no-lift": lambda preset: _model(preset, pixel_features=False),
        "vector-only": lambda preset: _model(
            preset,
            fuse_priors=False,
            prior_gate=False,
            rescale_priors=False,
            pixel_features=False,
            refiner=0,
        ),
        "no-stretch": lambda preset: _model(preset, rescale_priors=False),
        "no-pose-epochs": lambda preset: _train(preset, pose_epochs=0),
        "no-gate": lambda preset: _model(preset, prior_gate=False),
        "k1": lambda preset: _model(preset, priors=1),
        "k4": lambda preset: _model(preset, priors=4),
        "k-all": lambda preset: _model(preset, priors=MOST_PRIORS),
        "mse": lambda preset: _memory(preset, value_similarity="mse", delta=0.9),
        "iou": lambda preset: _memory(preset, value_similarity="iou", delta=0.6),
        "no-triplet": lambda preset: _train(preset, triplet_weight=0.0),
        "exclude-off": lambda preset: _train(preset, exclude_self=False),
        "memory-50": lambda preset: _memory(preset, capacity=50),
        "memory-200": lambda preset: _memory(preset, capacity=200),
        "memory-all": lambda preset: _memory(preset, capacity=_no_eviction(preset, models)),
    }


WHAT = {
    BASE: "the preset as it is",
    NO_MEMORY: "no-memory baseline: the prior vector is zero; no triplet loss",
    "fc": "nothing is recalled, a layer on the image feature stands in; no triplet loss",
    "box": "bounding-box baseline: a box of the predicted extents instead; no triplet loss",
    "own-key": "the memory's keys are the image features, which change as they learn (the paper's)",
    "no-fuse": "recalled grids reach the decoder through the prior vector only",
    "no-lift": "image features reach the decoder through one vector only",
    "vector-only": "the paper's decoder: neither of these, no refiner",
    "no-stretch": "recalled grids are laid over the answer as they were written",
    "no-pose-epochs": "camera and extents are not learned first, only with all the rest",
    "no-gate": "recalled grids are weighed by their cosine",
    "k1": "at most 1 prior",
    "k4": "at most 4 priors",
    "k-all": f"every prior above beta, {MOST_PRIORS} at most",
    "mse": "shapes compared by mean squared error, delta .90 (the paper's)",
    "iou": "shapes compared by IoU, delta .60",
    "no-triplet": "no voxel triplet loss",
    "exclude-off": "a training picture may recall its own shape",
    "memory-50": "50 slots",
    "memory-200": "200 slots",
    "memory-all": "as many slots as there can be writes: nothing is evicted",
}
"""Name -> what differs from the preset, in a line."""


def check_names(names: tuple[str, ...]) -> None:
    """Raise ValueError unless each is the name of a variant."""
    unknown = [name for name in names if name not in WHAT]
    if unknown:
        raise ValueError(f"variant: got {', '.join(unknown)}, want some of {', '.join(WHAT)}")


def equivalent_variants(base: Preset, models: int) -> dict[str, str]:
    """Name -> the first variant with the same settings: itself, or one that stands for it."""
    first: dict[str, str] = {}
    presets: list[tuple[Preset, str]] = []
    for name, change in variants(models).items():
        preset = change(base)
        first[name] = next((other for same, other in presets if same == preset), name)
        presets.append((preset, name))
    return first


def _no_eviction(preset: Preset, models: int) -> int:
    """Slots for a write of every model in every epoch; the preset's, if it has as many."""
    return min(max(preset.memory.capacity, models * preset.train.epochs), MOST_SLOTS)


def _without(preset: Preset, shape_encoder: str) -> Preset:
    """No memory: the losses that pull features to what it holds go with it."""
    preset = _model(preset, shape_encoder=shape_encoder)
    return _train(preset, triplet_weight=0.0)


def _box(preset: Preset) -> Preset:
    """For a preset that stretches; else it is `no-memory`, as there are no extents."""
    return _without(preset, "box" if preset.model.rescale_priors else "none")


def _model(preset: Preset, **fields: Any) -> Preset:
    """With other settings of the model; where nothing is guessed, `pose_channels` goes too."""
    if not any(
        fields.get(name, getattr(preset.model, name))
        for name in ("pixel_features", "rescale_priors")
    ):
        fields["pose_channels"] = 0
        preset = _train(preset, pose_epochs=0)
    return replace(preset, model=replace(preset.model, **fields))


def _memory(preset: Preset, **fields: Any) -> Preset:
    return replace(preset, memory=replace(preset.memory, **fields))


def _train(preset: Preset, **fields: Any) -> Preset:
    return replace(preset, train=replace(preset.train, **fields))
