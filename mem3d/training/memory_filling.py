"""The memory filled before the first step, where keys do not change any more.

A ranked key stays as it was learned, so that every picture can be written once, and training
recalls from the first step on what it will recall in use.
"""

from collections import Counter

import torch

from mem3d.data.loader import BatchSampler
from mem3d.memory.interface import TrainingMemory
from mem3d.runs.folder import Row
from mem3d.system import uses_bfloat16
from mem3d.training.batches import Supply, batches_of
from mem3d.training.state import TrainingJob, TrainingState
from mem3d.training.step import finite, write_batch
from memstore.files import Progress


@torch.no_grad()
def fill_memory(
    state: TrainingState,
    job: TrainingJob,
    supply: Supply,
    memory: TrainingMemory,
    progress: Progress | None = None,
) -> Row:
    """Write every picture that the run has of each shape; without a stem cache, one of each.

    Args:
        state: its memory is written, by the memory's own rule.
        job: every process writes all, and has its part of each batch encoded.
        supply: where the pictures come from.
        memory: the state's own, or its working copy on the device.
        progress: called with batches done and in all.

    Returns:
        how many were merged, inserted and evicted: of these there are some where the memory has
        fewer slots than there are pictures.
    """
    kinds = Counter[str]()
    config, model = job.preset.train, state.model
    epochs = config.cached_views if supply.cache is not None else 1
    order = BatchSampler(len(job.data), config.batch, epochs, seed=config.seed)
    model.eval()
    kind, short = torch.device(job.device).type, uses_bfloat16(config.precision, job.device)
    parts = (list(job.replicas.part(samples)) for samples in order)
    for number, batch in enumerate(batches_of(parts, job, supply)):
        maps = None if batch.stem_maps is None else batch.stem_maps.to(job.device)
        images = batch.images.to(job.device)
        with torch.autocast(kind, torch.bfloat16, short), finite(state.step):
            keys = model.query(model.encoder.encode(images, maps)).keys
        kinds.update(write_batch(memory, keys, batch, job.data, job.device, job.replicas))
        if progress:
            progress(number + 1, order.steps)
    memory.flush()
    return dict(kinds)
