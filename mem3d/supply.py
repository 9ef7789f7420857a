"""The batches of a run, from files or from a stem cache."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mem3d.data.views import Batch, Schedule, TrainingViews, loader
from mem3d.run import Job, Run
from mem3d.stem_cache import StemCache

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Supply:
    """What batches are made with.

    Attributes:
        on_prepare: called with pictures done and in all while a stem cache is filled.
    """

    on_prepare: Progress | None = None


def batches(run: Run, job: Job, supply: Supply) -> Iterator[Batch]:
    """The rest of the run, a batch per forward: this process's part of each."""
    config, size = job.preset.train, job.preset.model.image_size
    views = TrainingViews(
        job.data,
        size,
        seed=config.seed,
        augment=config.augment,
        augmentation=config.augmentation,
        backgrounds=job.backgrounds,
    )
    start = job.pace.forwards_before(run.step)
    schedule = Schedule(len(job.data), config.batch, config.epochs, seed=config.seed, start=start)
    parts = (list(job.replicas.part(samples)) for samples in schedule)
    if not config.variants or not len(schedule):
        return loader(views, parts, config.workers)
    cache = StemCache.build(
        run.model.encoder,
        views,
        config.variants,
        batch=config.batch,
        workers=config.workers,
        progress=supply.on_prepare,
    )
    return cache.batches(parts)
