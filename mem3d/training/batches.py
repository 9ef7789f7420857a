"""The batches of a run, from files or from a stem cache."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.backgrounds import Backgrounds
from mem3d.data.loader import Batch, TrainingViews, loader
from mem3d.network.config import Preset
from mem3d.training.state import TrainingJob, TrainingState
from mem3d.training.stem_cache import StemCache
from memstore.files import Progress

MAPS = "stem_maps.npy"
BATCH_ON_GPU = 256  # pictures whose maps are computed at a time


@dataclass(frozen=True)
class Supply:
    """What batches are made with.

    Attributes:
        on_prepare: called with pictures done and in all while a stem cache is filled.
        on_pretrain: called with steps done and in all, and of what, before the first step.
        cache: a stem cache that is ready.
        keep_maps: whether the maps of a stem cache are kept in the run's folder.
        head_cache: folder where runs share what was learned first, see `pretrain`.
    """

    on_prepare: Progress | None = None
    cache: StemCache | None = None
    keep_maps: bool = False
    on_pretrain: Callable[[int, int, str], None] | None = None
    head_cache: Path | None = None


def training_views(
    data: ShapeDataset, preset: Preset, backgrounds: Backgrounds | None = None
) -> TrainingViews:
    """The pictures that a run of a preset is shown."""
    config = preset.train
    return TrainingViews(
        data,
        preset.model.image_size,
        seed=config.seed if config.view_seed is None else config.view_seed,
        augment=config.augment,
        augmentation=config.augmentation,
        backgrounds=backgrounds,
        with_viewpoints=preset.model.pixel_features,
    )


def prepare(state: TrainingState, job: TrainingJob, supply: Supply) -> Supply:
    """The supply with its stem cache made, if the run has one and is not over.

    Raises:
        ValueError: the cache that it has is of other pictures or another stem.
    """
    variants = job.preset.train.cached_views
    views = training_views(job.data, job.preset, job.backgrounds)
    if supply.cache is not None:
        supply.cache.check(state.model.encoder, views, variants, job.preset.train.precision)
    if not variants or state.step >= job.sampler().steps:
        return supply
    cache = supply.cache or _cache(state, job, views, supply)
    return replace(supply, cache=cache.on(job.device))


def batches(state: TrainingState, job: TrainingJob, supply: Supply) -> Iterator[Batch]:
    """The rest of the run, a batch per step: this process's part of each.

    Args:
        state: where the run stands.
        job: what is learned.
        supply: as `prepare` gave it.
    """
    parts = (list(job.replicas.part(samples)) for samples in job.sampler(state.step))
    return batches_of(parts, job, supply)


def batches_of(
    parts: Iterable[list[tuple[int, int]]], job: TrainingJob, supply: Supply
) -> Iterator[Batch]:
    """Batches of lists of (epoch, shape)."""
    config = job.preset.train
    if config.cached_views and supply.cache is not None:
        return supply.cache.batches(parts)
    views = training_views(job.data, job.preset, job.backgrounds)
    return loader(views, parts, config.workers, job.device)


def _cache(
    state: TrainingState, job: TrainingJob, views: TrainingViews, supply: Supply
) -> StemCache:
    """A stem cache of the run; if it is kept, the first process makes it and the others find it."""
    if supply.keep_maps and not job.replicas.is_first:
        job.replicas.wait()
    cache = StemCache.build(
        state.model.encoder,
        views,
        job.preset.train.cached_views,
        batch=job.preset.train.batch if job.device == "cpu" else BATCH_ON_GPU,
        workers=job.preset.train.workers,
        precision=job.preset.train.precision,
        file=job.folder / MAPS if supply.keep_maps else None,
        progress=supply.on_prepare,
    )
    if supply.keep_maps and job.replicas.is_first:
        job.replicas.wait()
    return cache
