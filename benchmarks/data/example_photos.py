"""Make the bundled example photos: renders of free meshes, over a plain or a busy ground.

    python -m benchmarks.data.example_photos DATA mem3d/pretrained/examples

DATA holds `meshes`, a folder of .npz files with vertices `v` (y up, front +x), faces `f` and their
colors `c`, and `r2n2_like/models.json`, which tells their licenses: CC0, see CREDITS.md, which is
written beside the pictures. All are validation shapes: the bundled model has not learned from them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mem3d.data.rendering.renderer import Scene
from memstore.voxels.mesh import Mesh

SIDE = 400  # pixels
QUALITY = 88  # of JPEG
# name of the picture: mesh, azimuth, elevation, ground
PHOTOS = {
    "bed": ("bed/quaternius__house_interior_pack-Bed_Single", 40, 24, "plain"),
    "bench": ("bench/kenney__bench", 40, 22, "busy"),
    "bathroom-cabinet": ("cabinet/kenney__bathroomCabinet", 30, 16, "plain"),
    "car": ("car/quaternius_fbx__Realistic_Car_Pack-2018-NormalCar2", 50, 18, "plain"),
    "closet": ("cabinet/quaternius_fbx__Furniture_Pack-2017-Closet2", 30, 15, "busy"),
    "coffee-table": ("table/quaternius_fbx__Furniture_Pack-2017-CoffeeTable2", 40, 25, "busy"),
    "floor-lamp": ("lamp/kenney__lampRoundFloor", 50, 18, "plain"),
    "office-chair": ("chair/quaternius_fbx__Furniture_Pack-2019-OfficeChair", 35, 22, "plain"),
    "police-car": ("car/quaternius_fbx__Realistic_Car_Pack-2018-Cop_SUV", 320, 20, "busy"),
    "rifle": ("rifle/quaternius__modular_sci_fi_guns_pack-AR_2", 80, 15, "plain"),
    "sofa": ("sofa/quaternius__house_interior_pack-Couch_Large1", 35, 20, "busy"),
    "table": ("table/kenney__tableCross", 325, 22, "busy"),
}
Picture = NDArray[np.float32]  # (SIDE, SIDE, 3) sRGB in [0, 255]


def photo(mesh: Mesh, azimuth: float, elevation: float, ground: str, seed: int) -> Image.Image:
    """A mesh on a ground, with a shadow, some noise and the blur of a lens."""
    rng = np.random.default_rng(seed)
    rgba = Scene(mesh).render(azimuth=azimuth, elevation=elevation, ratio=0.85, size=SIDE)
    behind = plain(rng) if ground == "plain" else busy(rng)
    alpha = rgba[..., 3:] / np.float32(255)
    picture = (behind * shadow(rgba[..., 3])) * (1 - alpha) + rgba[..., :3] * alpha
    picture += rng.normal(0, 2.5, picture.shape)
    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(0.6))


def plain(rng: np.random.Generator) -> Picture:
    """A sheet of paper that bends upward: one color, a little darker to one side."""
    color = np.array([205, 208, 212]) + rng.normal(0, 6, 3)
    down, right = np.mgrid[0:SIDE, 0:SIDE] / np.float32(SIDE)
    light = 1.04 - 0.14 * down - 0.05 * right
    return (color * light[..., None]).astype(np.float32)


def busy(rng: np.random.Generator) -> Picture:
    """A room: planks that run away from the camera, a skirting, a wall with stripes and frames."""
    down, right = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    horizon = 0.4
    depth = 0.12 / np.maximum(down - horizon, 0.004)
    plank = np.floor((right - 0.5) * depth * 22 + 40).astype(int)
    tones = rng.uniform(0.75, 1.1, 4_000)
    grain = 1 + 0.06 * np.sin(90 * depth + 7 * tones[plank % 4_000])
    floor = np.array([142, 98, 62]) * (tones[plank % 4_000] * grain)[..., None]
    stripe = (np.floor(right * 14) % 2)[..., None]
    wall = np.array([128, 146, 132]) * (0.95 + 0.1 * stripe)
    picture = np.where((down < horizon)[..., None], wall, floor)
    picture = np.where((abs(down - horizon) < 0.012)[..., None], [225, 222, 214], picture)
    for _ in range(3):
        x, y = rng.uniform(0.02, 0.8), rng.uniform(0.02, 0.12)
        inside = (right > x) & (right < x + 0.16) & (down > y) & (down < y + 0.2)
        picture[inside] = rng.uniform(40, 200, 3)
    return picture.astype(np.float32)


def shadow(alpha: NDArray[np.uint8]) -> Picture:
    """What is left of the ground's light, (SIDE, SIDE, 1): less beneath the object."""
    rows, columns = np.nonzero(alpha > 127)
    width, low = np.ptp(columns) / 2, rows.max()
    down, right = np.mgrid[0:SIDE, 0:SIDE]
    across = (right - columns.mean()) / (1.05 * width)
    along = (down - low + 0.1 * width) / (0.3 * width)
    return (1 - 0.35 * np.exp(-2 * (across**2 + along**2)))[..., None].astype(np.float32)


def main() -> None:
    """Write all pictures, and where their meshes come from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    folders = parser.parse_args()
    models = json.loads((folders.data / "r2n2_like" / "models.json").read_text())
    origins = {f"{row['category']}/{row['source']}__{row['name']}": row for row in models}
    lines = ["# Example photos", "", "Rendered by mem3d (Apache-2.0) from these meshes:", ""]
    for seed, (name, (path, azimuth, elevation, ground)) in enumerate(PHOTOS.items()):
        with np.load(folders.data / "meshes" / f"{path}.npz") as arrays:
            mesh = Mesh(arrays["v"], arrays["f"], arrays["c"])
        image = photo(mesh, azimuth, elevation, ground, seed)
        image.save(folders.out / f"{name}.jpg", quality=QUALITY, optimize=True)
        row = origins[path]
        lines.append(f"- `{name}.jpg`: {row['source']}, {row['name']}, {row['licence']}")
    (folders.out / "CREDITS.md").write_text("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
