"""The presets: network, memory and run that belong together."""

from dataclasses import replace
from typing import Any

from mem3d.data.images.augment import DEFAULT
from mem3d.network.config import ModelConfig, Preset, TrainConfig
from memstore import PAPER as PAPER_RULE
from memstore import MemoryConfig


def _memory_for(model: ModelConfig, **fields: Any) -> MemoryConfig:
    """A memory of the paper's rule, which merges and evicts, but for the fields."""
    return replace(PAPER_RULE, key_dim=model.key_dim, resolution=model.resolution, **fields)


_PAPER_MODEL = ModelConfig()
PAPER = Preset(model=_PAPER_MODEL, memory=_memory_for(_PAPER_MODEL, capacity=4000))
"""The paper's sizes and rules; 355 M weights, meant for a GPU."""

_SMALL_MODEL = ModelConfig(
    image_size=128,
    head=(128, 128, 64),
    hidden=128,
    decoder=(96, 48, 16, 8),
    key="ranked",
    priors=8,
    prior_pool=4,
    dropout=0.1,
    refiner=24,
    refiner_blocks=2,
    fuse_priors=True,
    rescale_priors=True,
    prior_gate=True,
    pixel_features=True,
    pose_channels=64,
)
SMALL = Preset(
    model=_SMALL_MODEL,
    memory=_memory_for(_SMALL_MODEL, capacity=40_000, beta=-1.0, delta=0.9, value_similarity="iou"),
    train=TrainConfig(
        epochs=6,
        batch=16,
        learning_rate=2e-3,
        schedule="cosine",
        warmup=100,
        weight_decay=2e-2,
        triplet_weight=0.0,
        dice_weight=1.0,
        viewpoint_weight=0.06,
        exclude_self=True,
        freeze_stem=True,
        cached_views=4,
        key_epochs=30,
        pose_epochs=10,
        augmentation=replace(DEFAULT, max_occlusion=0.5, occlusion_probability=0.35),
        precision="bfloat16",
    ),
)
"""About an hour of a CPU core with 8,000 shapes; fewer want more epochs. 128 pixels,
narrow layers, a frozen stem, and, beyond the paper: a key that ranks shapes and is learned first
(heads/key.py), as are camera and extents (heads/pose.py), and recalled grids and image features
brought together voxel by voxel (refiner.py)."""

_BEST_MODEL = replace(
    _SMALL_MODEL,
    head=(256, 256, 128),
    hidden=512,
    decoder=(256, 96, 32, 8),
    priors=8,
    prior_pool=2,
    refiner=48,
    refiner_blocks=2,
    prior_gate=True,
    rescale_priors=True,
    pose_channels=128,
)
BEST = replace(
    SMALL,
    model=_BEST_MODEL,
    memory=replace(SMALL.memory, capacity=60_000),
    train=replace(
        SMALL.train,
        epochs=15,
        batch=32,
        learning_rate=2.5e-3,
        cached_views=4,
        pose_epochs=25,
        dice_weight=1.0,
    ),
)
"""For 12,000 shapes; minutes on a GPU, hours on a CPU: wider, eight recalled grids,
weighed by a gate, and the same stretched to the extents that the image tells (heads/pose.py), which
are learned first (training/heads/pose.py)."""

_DEMO_MODEL = replace(
    _SMALL_MODEL,
    head=(64, 64, 64),
    hidden=64,
    decoder=(64, 32, 16, 8),
    refiner=16,
    refiner_blocks=1,
    rescale_priors=False,
    pixel_features=False,
    pose_channels=0,
)
DEMO = replace(
    SMALL,
    model=_DEMO_MODEL,
    memory=replace(SMALL.memory, capacity=2000),
    train=replace(
        SMALL.train,
        epochs=12,
        batch=8,
        warmup=30,
        cached_views=4,
        key_epochs=0,
        pose_epochs=0,
        validate_every=3,
        checkpoint_every=6,
        augmentation=DEFAULT,
        precision="float32",
    ),
)
"""Learns the procedural shapes in a minute or two of two CPU cores: a narrow `small` that looks for
shapes with the bundled model's key."""

_TINY_MODEL = ModelConfig(
    image_size=64, head=(16, 8, 8), hidden=16, decoder=(16, 8, 8, 4), priors=3
)
TINY = Preset(
    model=_TINY_MODEL,
    memory=_memory_for(_TINY_MODEL, capacity=8),
    train=TrainConfig(epochs=2, batch=4, workers=0),
)
"""For tests: runs in milliseconds, learns nothing to speak of."""

PRESETS = {"paper": PAPER, "best": BEST, "small": SMALL, "demo": DEMO, "tiny": TINY}


def with_own_key(preset: Preset) -> Preset:
    """A preset whose key is the image feature; the memory's rules are then those of features."""
    if preset.model.key == "feature":
        return preset
    model = replace(preset.model, key="feature")
    memory = replace(preset.memory, key_dim=model.key_dim, capacity=4000, beta=0.5, delta=0.6)
    train = replace(preset.train, key_epochs=0)
    return replace(preset, model=model, memory=memory, train=train)
