"""How well objects are cut out of photos: python -m benchmarks.data.segmentation RUN DATA PHOTOS

Test renders, whose true masks are known, are laid over grounds of one color, over gradients and
over pieces of the photos in a folder. First table: IoU of the masks, beside OpenCV's GrabCut
where that is installed. Second: IoU of RUN's reconstructions from such pictures, t = .3.
(What hiding costs: `mem3d-cli robustness`.)
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.corruptions import laid_over
from mem3d.data.images.framing import frame_photo
from mem3d.data.images.io import list_images, read_image
from mem3d.data.images.segmentation import cut_out
from mem3d.data.open import open_dataset
from mem3d.inference.reconstruct import reconstruct
from mem3d.metrics import FIXED_THRESHOLD, iou
from mem3d.network.checkpoint import load

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]

KINDS = ("one color", "gradient", "photo")


def ground(kind: str, side: int, photos: list[Picture], rng: np.random.Generator) -> Picture:
    """(side, side, 3) something to stand before."""
    if kind == "photo":
        source = photos[rng.integers(len(photos))]
        length = int(min(source.shape[:2]) * rng.uniform(0.5, 1))
        y, x = (rng.integers(0, room - length + 1) for room in source.shape[:2])
        piece = Image.fromarray(source[y : y + length, x : x + length])
        return np.asarray(piece.resize((side, side), Image.Resampling.BICUBIC))
    if kind == "one color":
        return np.full((side, side, 3), rng.uniform(60, 255, 3)).astype(np.uint8)
    first, last = (color * 0.3 + color.mean() * 0.7 for color in rng.uniform(120, 255, (2, 3)))
    y, x = np.mgrid[:side, :side] / side
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / np.ptp(along)
    return (first + (last - first) * along[..., None]).astype(np.uint8)


def noisy(rgba: Picture, behind: Picture, rng: np.random.Generator) -> Picture:
    """(S, S, 3) one over the other, with a camera's noise."""
    mixed = laid_over(rgba, behind) + rng.normal(0, 3, behind.shape)
    return mixed.clip(0, 255).astype(np.uint8)


def box_of(rgba: Picture, room: int) -> Box:
    """Around the object, with so many pixels to spare."""
    mask = rgba[..., 3] > 127
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = 1, len(rgba) - 1
    return (
        max(low, int(columns[0]) - room),
        max(low, int(rows[0]) - room),
        min(high, int(columns[-1]) + 1 + room),
        min(high, int(rows[-1]) + 1 + room),
    )


def grab_cut(rgb: Picture, box: Box | None) -> NDArray[np.bool_]:
    """OpenCV's, five iterations from a box, by default all but the border."""
    import cv2  # not among this project's dependencies

    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = box or (6, 6, width - 6, height - 6)
    mask = np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)
    rest = np.zeros((1, 65)), np.zeros((1, 65))
    rectangle = (x0, y0, x1 - x0, y1 - y0)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    cv2.grabCut(bgr, mask, rectangle, *rest, 5, cv2.GC_INIT_WITH_RECT)
    return (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)


def masks(data: ShapeDataset, photos: list[Picture]) -> None:
    """Print the first table, over every second model in a random view."""
    doubted: list[bool] = []  # of the last guess of ours

    def ours(rgb: Picture, box: Box | None) -> NDArray[np.bool_] | None:
        cutout = cut_out(rgb, box)
        doubted[:] = [cutout is None or bool(cutout.doubts)]
        return None if cutout is None else cutout.mask

    ways: dict[str, Callable[[Picture, Box], NDArray[np.bool_] | None]] = {
        "everything": lambda rgb, box: None,
        "ours": lambda rgb, box: ours(rgb, None),
        "ours, with a box": ours,
    }
    try:
        import cv2  # noqa: F401

        ways["GrabCut"] = lambda rgb, box: grab_cut(rgb, None)
        ways["GrabCut, with a box"] = grab_cut
    except ImportError:
        print("(no OpenCV: GrabCut is left out)")
    rng = np.random.default_rng(5)
    scores: dict[tuple[str, str], list[float]] = {}
    for i in range(0, len(data), 2):
        rgba = data.image(i, int(rng.integers(data.views(i))))
        true = rgba[..., 3] > 127
        for kind in KINDS:
            rgb = noisy(rgba, ground(kind, len(rgba), photos, rng), rng)
            for name, way in ways.items():
                mask = way(rgb, box_of(rgba, 2))
                mask = np.ones_like(true) if mask is None else mask
                score = (mask & true).sum() / (mask | true).sum()
                scores.setdefault((name, kind), []).append(score)
                if name == "ours":
                    half = f"{name}, {'doubted' if doubted[0] else 'not doubted'}"
                    scores.setdefault((half, kind), []).append(score)
    print("\nIoU of masks, mean (median) | " + " | ".join(KINDS))
    for name in dict.fromkeys(name for name, _ in scores):
        cells = [scores.get((name, kind), [np.nan]) for kind in KINDS]
        texts = (f"{np.mean(c):.3f} ({np.median(c):.3f}) of {len(c)}" for c in cells)
        print(name, *texts, sep=" | ")


def shapes(run: Path, data: ShapeDataset, photos: list[Picture]) -> None:
    """Print the second table, over view 00 of all models."""
    model, memory, _ = load(run)
    true = torch.from_numpy(np.stack([data.grid(i) for i in range(len(data))]))
    views = [data.image(i, 0) for i in range(len(data))]

    def score(pictures: list[Picture]) -> str:
        parts = [pictures[at : at + 13] for at in range(0, len(pictures), 13)]
        results = [
            shape for part in parts for shape in reconstruct(model, memory, part, framed=True)
        ]
        occupancy = torch.from_numpy(np.stack([shape.occupancy for shape in results]))
        return f"{iou(occupancy, true, threshold=FIXED_THRESHOLD).mean().item():.3f}"

    print("\nIoU of shapes | " + " | ".join(KINDS))
    rng = np.random.default_rng(7)
    pictures = {kind: [_opaque(view, kind, photos, rng) for view in views] for kind in KINDS}
    boxes = [box_of(view, 0) for view in views]
    for background in ("keep", None):  # None cuts where something stands out
        way = background or "cut"
        for name, rectangles in ((way, [None] * len(views)), (f"{way}, box", boxes)):
            cells = [
                [
                    frame_photo(image, box=box, background=background).rgba
                    for image, box in zip(pictures[kind], rectangles, strict=True)
                ]
                for kind in KINDS
            ]
            print(name, *(score(cell) for cell in cells), sep=" | ", flush=True)
    print("true mask, framed likewise |", score([frame_photo(view).rgba for view in views]))
    print("as it is |", score(views))


def _opaque(view: Picture, kind: str, photos: list[Picture], rng: np.random.Generator) -> Picture:
    rgb = noisy(view, ground(kind, len(view), photos, rng), rng)
    return np.dstack([rgb, np.full(view.shape[:2], 255, np.uint8)])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("photos", type=Path)
    options = parser.parse_args()
    data = open_dataset(options.data, "test")
    photos = [read_image(path)[..., :3] for path in list_images(options.photos)[0]]
    masks(data, photos)
    shapes(options.run, data, photos)


if __name__ == "__main__":
    main()
