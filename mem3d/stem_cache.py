"""A frozen stem's outputs, computed once: most of a training step's time on a CPU.

A frozen stem gives the same maps for the same picture in every epoch. So each model gets a fixed
number of augmented pictures ("variants"), whose maps are kept in RAM as float16; epoch e shows
variant e modulo their number. The head, the memory and everything behind them train as always.
"""

# M = models, N = variants per model, B = batch, S = side of the stem's maps

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from mem3d.data.views import Batch, Schedule, TrainingViews, loader
from mem3d.encoder import STEM_CHANNELS, Encoder

MAX_BYTES = 12 * 2**30  # of maps; the small preset's 24 variants of 402 models take 2.5 GB


class StemCache:
    """Stem maps and grids of every variant of every model."""

    def __init__(self, maps: Tensor, packed: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
        self.maps = maps  # (M, N, 512, S, S) float16
        self._packed = packed  # (M, N, R**3 / 8) uint8, mirrored as the pictures are
        self._resolution = round((packed.shape[-1] * 8) ** (1 / 3))

    @staticmethod
    @torch.inference_mode()
    def build(
        encoder: Encoder,
        views: TrainingViews,
        variants: int,
        *,
        batch: int,
        workers: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> "StemCache":
        """Compute all maps; the same settings give the same maps, bit for bit.

        Args:
            encoder: its stem is used, in evaluation mode.
            views: of the models.
            variants: N, pictures per model.
            batch: pictures at a time.
            workers: loader processes.
            progress: called with pictures done and pictures in all.

        Raises:
            ValueError: the maps would not fit into MAX_BYTES.
        """
        models, side = len(views.data), -(-encoder.image_size // 8)
        shape = (models, variants, STEM_CHANNELS, side, side)
        if 2 * np.prod(shape, dtype=np.int64) > MAX_BYTES:
            raise ValueError(
                f"variants: got {variants} for {models} models, {2 * np.prod(shape) / 2**30:.0f} "
                f"GiB of maps, want at most {MAX_BYTES / 2**30:.0f}; use fewer, or 0 to compute "
                "the stem in every step"
            )
        encoder.stem.eval()
        device = next(encoder.parameters()).device
        maps = torch.empty(shape, dtype=torch.float16)
        packed: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
        order = Schedule(models, batch, variants, seed=0, shuffle=False)
        done = 0
        for samples in loader(views, order, workers):
            for row, found in enumerate(encoder.stem(samples.images.to(device)).half().cpu()):
                maps[(done + row) % models, (done + row) // models] = found
            packed += list(np.packbits(samples.grids.numpy().reshape(len(samples.models), -1), 1))
            done += len(samples.models)
            if progress:
                progress(done, models * variants)
        grids = np.stack(packed).reshape(variants, models, -1).swapaxes(0, 1)
        return StemCache(maps, np.ascontiguousarray(grids))

    def batches(self, order: Iterable[list[tuple[int, int]]]) -> Iterator[Batch]:
        """What a loader would give for lists of (epoch, model), maps in the images' place."""
        variants = self.maps.shape[1]
        for samples in order:
            models = [model for _, model in samples]
            chosen = [epoch % variants for epoch, _ in samples]
            bits = np.unpackbits(self._packed[models, chosen], axis=1).view(np.bool_)
            grids = torch.from_numpy(bits.reshape((-1,) + (self._resolution,) * 3))
            yield Batch(self.maps[models, chosen].float(), grids, models, is_stem_maps=True)
