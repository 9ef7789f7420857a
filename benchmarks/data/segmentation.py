"""How well objects are cut out of photos: python -m benchmarks.data.segmentation PHOTOS...

First table: IoU with masks drawn by hand (photos.json beside this file; polygons, or a picture
whose alpha is the mask) of the photos that lie in the folders named, or in scikit-image's own.
Debian's opencv-doc has two of them in /usr/share/doc/opencv-doc/examples/data.

With --data also: test renders, whose true masks are known, laid over grounds of one color, over
gradients and over pieces of the photos of the folders; beside OpenCV's GrabCut where that is
installed. With --run too: IoU of its reconstructions from such pictures, t = .3.
(What hiding costs: `mem3d-cli robustness`.)
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mem3d.data.dataset import ShapeDataset
from mem3d.data.images.corruptions import laid_over
from mem3d.data.images.framing import frame_photo, shrunk
from mem3d.data.images.io import list_images, read_image
from mem3d.data.images.masks import outline
from mem3d.data.images.segmentation import Cutout, _cut_by_color, _cut_by_network, cut_out
from mem3d.data.open import open_dataset
from mem3d.inference.reconstruct import reconstruct
from mem3d.metrics import FIXED_THRESHOLD, iou
from mem3d.network.checkpoint import load

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

DRAWN = Path(__file__).with_name("photos.json")
WAYS: dict[str, Callable[[Picture, Box | None], Cutout | None]] = {
    "colors": _cut_by_color,
    "network": _cut_by_network,
    "ours": cut_out,
}
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


def box_of(mask: Mask, room: int) -> Box:
    """Around the object, with so many pixels to spare."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return (
        max(1, int(columns[0]) - room),
        max(1, int(rows[0]) - room),
        min(width - 1, int(columns[-1]) + 1 + room),
        min(height - 1, int(rows[-1]) + 1 + room),
    )


def overlap(mask: Mask | None, true: Mask) -> float:
    """IoU; what finds nothing takes everything for the object, as framing does."""
    mask = np.ones_like(true) if mask is None else mask
    return float((mask & true).sum() / (mask | true).sum())


def drawn_photos(folders: list[Path]) -> dict[str, tuple[Picture, Mask]]:
    """Pictures and masks by name; those that no folder has are named on stdout."""
    import skimage

    folders = [*folders, Path(skimage.__file__).parent / "data"]
    photos = {}
    for name, entry in json.loads(DRAWN.read_text()).items():
        paths = [path for folder in folders for path in folder.rglob(name)]
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        if entry["sha256"] not in digests:
            print(f"({name}: in no folder; left out)")
            continue
        path = paths[digests.index(entry["sha256"])]
        photo = read_image(path)
        rgb, _ = shrunk(photo)
        mask = _drawn_mask(path, entry, photo.shape[1::-1]).resize(rgb.shape[1::-1])
        photos[name] = rgb[..., :3], np.asarray(mask) > 127
    return photos


def _drawn_mask(path: Path, entry: dict, size: tuple[int, int]) -> Image.Image:
    """In gray; the object is white."""
    if "mask" in entry:
        return Image.fromarray(read_image(path.with_name(entry["mask"]))[..., 3])
    mask = Image.new("L", size)
    for key, fill in (("object", 255), ("holes", 0)):
        for polygon in entry.get(key, []):
            ImageDraw.Draw(mask).polygon(polygon, fill=fill)
    return mask


def real_masks(folders: list[Path]) -> None:
    """Print the first table: IoU (with a box), what is doubted, CPU seconds."""
    scores: dict[str, list[float]] = {}
    print("\nIoU with masks drawn by hand | " + " | ".join(f"{name} | box" for name in WAYS))
    for photo, (rgb, true) in drawn_photos(folders).items():
        cells, seconds = [], {}
        for name, way in WAYS.items():
            for box in (None, box_of(true, 2)):
                start = time.process_time()
                cutout = way(rgb, box)
                seconds.setdefault(name, time.process_time() - start)
                score = overlap(None if cutout is None else cutout.mask, true)
                scores.setdefault(f"{name} {box is None}", []).append(score)
                doubts = "" if cutout is None else ", ".join(cutout.doubts)
                cells.append(f"{score:.3f}{doubts and f' ({doubts})'}")
        taken = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        print(photo, *cells, taken, sep=" | ", flush=True)
    for name, mean in (("median", np.median), ("mean", np.mean)):
        print(name, *(f"{mean(row):.3f}" for row in scores.values()), sep=" | ")


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


def masks(data: ShapeDataset, photos: list[Picture], every: int) -> None:
    """Print the second table, over some of the models in a random view."""
    try:
        import cv2  # noqa: F401

        has_opencv = True
    except ImportError:
        has_opencv = False
        print("(no OpenCV: GrabCut is left out)")
    rng = np.random.default_rng(5)
    scores: dict[tuple[str, str], list[float]] = {}
    for i in range(0, len(data), every):
        rgba = data.image(i, int(rng.integers(data.views(i))))
        true = rgba[..., 3] > 127
        for kind in KINDS:
            rgb = noisy(rgba, ground(kind, len(rgba), photos, rng), rng)
            results = {"everything": overlap(None, true)}
            for suffix, box in (("", None), (", with a box", box_of(true, 2))):
                for name, way in WAYS.items():
                    cutout = way(rgb, box)
                    score = overlap(None if cutout is None else cutout.mask, true)
                    results[name + suffix] = score
                    if name == "ours" and box is None:
                        sure = "doubted" if _is_doubted(cutout) else "not doubted"
                        results[f"ours, {sure}"] = score
                if has_opencv:
                    results["GrabCut" + suffix] = overlap(grab_cut(rgb, box), true)
            for name, score in results.items():
                scores.setdefault((name, kind), []).append(score)
    print("\nIoU of masks, mean (median) | " + " | ".join(KINDS))
    for name in dict.fromkeys(name for name, _ in scores):
        cells = [scores.get((name, kind), [np.nan]) for kind in KINDS]
        texts = (f"{np.mean(c):.3f} ({np.median(c):.3f}) of {len(c)}" for c in cells)
        print(name, *texts, sep=" | ")


def _is_doubted(cutout: Cutout | None) -> bool:
    """By itself, or by what its mask shows."""
    if cutout is None or cutout.doubts:
        return True
    return bool(outline(cutout.mask.astype(np.uint8) * 255).doubts)


def shapes(run: Path, data: ShapeDataset, photos: list[Picture]) -> None:
    """Print the third table, over view 00 of all models."""
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
    boxes = [box_of(view[..., 3] > 127, 0) for view in views]
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
    parser.add_argument("photos", type=Path, nargs="+", help="folders")
    parser.add_argument("--data", type=Path, help="a data folder, for renders laid over grounds")
    parser.add_argument("--every", type=int, default=2, help="so many-th of its test models")
    parser.add_argument("--run", type=Path, help="a run, for shapes of such pictures")
    options = parser.parse_args()
    real_masks(options.photos)
    if options.data is None:
        return
    data = open_dataset(options.data, "test")
    files = [path for folder in options.photos for path in list_images(folder)[0]]
    photos = [read_image(path)[..., :3] for path in files]
    masks(data, photos, options.every)
    if options.run is not None:
        shapes(options.run, data, photos)


if __name__ == "__main__":
    main()
