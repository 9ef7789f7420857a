"""Keys of views as a test shows them: no augmentation, no gradient, nothing left changed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.preprocess import Pixels, test_pixels
from mem3d.memory.interface import Features, to_numpy
from mem3d.network.model import Mem3D


class View(NamedTuple):
    """One picture of a data set, maybe mirrored left to right."""

    shape: int  # its position in the data set
    view: int
    mirrored: bool = False


def first_views(data: ShapeDataset, shape: int, most: int) -> list[View]:
    """Views 00 and on of a shape, at most so many."""
    return [View(shape, view) for view in range(min(most, data.views(shape)))]


def view_features(
    model: Mem3D,
    data: ShapeDataset,
    views: Sequence[View],
    *,
    batch: int = 32,
    device: str = "cpu",
) -> Iterator[Features]:
    """Encode views in evaluation mode; the model's own mode comes back after each batch.

    Args:
        model: whose encoder and key.
        data: whose pictures.
        views: which, in this order.
        batch: pictures at a time.
        device: where the network is.

    Returns:
        (b, key_dim) keys of the next `batch` views, fewer at the end.

    Raises:
        ValueError: a picture cannot be read; names its file.
    """
    for start in range(0, len(views), batch):
        yield encode(model, pixels_of(model, data, views[start : start + batch]), device)


def encode(model: Mem3D, pictures: Sequence[Pixels], device: str = "cpu") -> Features:
    """(B, key_dim) keys of pictures (3, S, S) uint8, see `Mem3D.query`."""
    images = torch.from_numpy(np.stack(pictures))
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return to_numpy(model.query(model.encoder.encode(images.to(device))).keys)
    finally:
        model.train(was_training)


def pixels_of(model: Mem3D, data: ShapeDataset, views: Sequence[View]) -> list[Pixels]:
    """Pictures (3, S, S) uint8 of views, as the network takes them.

    Raises:
        ValueError: a picture cannot be read; names its file.
    """
    return [_pixels(model, data, view) for view in views]


def _pixels(model: Mem3D, data: ShapeDataset, view: View) -> Pixels:
    pixels = test_pixels(data.image(view.shape, view.view), model.config.image_size)
    return np.ascontiguousarray(pixels[:, :, ::-1]) if view.mirrored else pixels
