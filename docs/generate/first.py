"""The README's picture, `python -m docs.generate.first`: photos, their shapes, what was recalled.

The photos are some of the bundled model's examples. All shapes of a row are drawn from where the
network takes its photo to have been taken.
"""

from io import BytesIO
from math import degrees
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import mem3d
from mem3d.bundled import example_files
from mem3d.data.images.io import read_image
from mem3d.data.rendering.figures import grid_picture
from mem3d.data.taxonomy import titled
from memstore.files import write_atomic
from memstore.voxels.contact_sheet import on_white

FILE = Path(__file__).parents[1] / "first.png"
SHOWN = ("office-chair", "sofa", "car", "bed")
HEADS = ("one photo", "the shape", "recalled first", "recalled next")
TILE, LINE, GAP = 192, 24, 8  # pixels
INK, FAINT = (30, 30, 30), (110, 110, 110)


def trimmed(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Pictures (S, S, 3) of shapes on white, cut to one square that shows all of each."""
    inked = np.any([(picture < 250).any(axis=2) for picture in pictures], axis=0)
    rows, columns = np.nonzero(inked)
    middle = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    half = int(0.53 * max(np.ptp(rows), np.ptp(columns)))
    return [
        np.pad(picture, ((half, half), (half, half), (0, 0)), constant_values=255)[
            middle[0] : middle[0] + 2 * half, middle[1] : middle[1] + 2 * half
        ]
        for picture in pictures
    ]


def main() -> None:
    """Reconstruct and draw."""
    torch.set_num_threads(1)
    width, step = 4 * (TILE + GAP) + GAP, TILE + LINE + GAP
    canvas = Image.new("RGB", (width, LINE + 2 * GAP + len(SHOWN) * step), "white")
    draw = ImageDraw.Draw(canvas)
    head, caption = (ImageFont.load_default(size=size) for size in (18, 16))
    for column, text in enumerate(HEADS):
        x = GAP + column * (TILE + GAP) + (TILE - head.getlength(text)) / 2
        draw.text((x, GAP), text, INK, head)
    photos = {path.stem: path for path in example_files()}
    with mem3d.load() as reconstructor:
        for row, name in enumerate(SHOWN):
            result = reconstructor.reconstruct(photos[name])
            top = LINE + 2 * GAP + row * step
            grids = [result.grid, *(prior.grid for prior in result.priors[:2])]
            side = {
                "azimuth": degrees(result.viewpoint.azimuth),
                "elevation": degrees(result.viewpoint.elevation),
            }
            shapes = trimmed([grid_picture(grid, 4 * TILE, **side) for grid in grids])
            pictures = [on_white(read_image(photos[name])), *shapes]
            named = [titled(prior.source).split()[0] for prior in result.priors[:2]]
            captions = [name.replace("-", " "), "", *named]
            for column, (picture, text) in enumerate(zip(pictures, captions, strict=True)):
                x = GAP + column * (TILE + GAP)
                tile = Image.fromarray(picture)
                tile.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
                place = x + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2
                canvas.paste(tile, place)
                left = x + (TILE - caption.getlength(text)) / 2
                draw.text((left, top + TILE), text, FAINT, caption)
    small = BytesIO()
    canvas.quantize(128).save(small, "png", optimize=True)
    write_atomic(FILE, small.getvalue())
    print(FILE.name, np.array(canvas).shape)


if __name__ == "__main__":
    main()
