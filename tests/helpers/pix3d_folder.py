"""A small folder in Pix3D's layout: its photos are ray-traced by mem3d's renderer.

That is a path of its own: the reader projects with Pix3D's camera, the renderer with R2N2's, and
`pose` turns one into the other from their two descriptions.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from mem3d.data.rendering.renderer import Scene, camera
from memstore.voxels.mesh import blocky

SIZE = 160  # pixels per side of a render
FOCAL = 35.0  # mm, R2N2's lens; both sensors are 32 mm wide


def chair(back=100, legs=8, side=128):
    """An armchair without a symmetry: seat, back, four legs, one arm; (128,) * 3, front +x."""
    grid = np.zeros((side,) * 3, bool)
    grid[20:100, 40:50, 24:104] = True  # seat
    grid[20:30, 50:back, 24:104] = True  # back
    for x in (20, 100 - legs):
        for z in (24, 104 - legs):
            grid[x : x + legs, 0:40, z : z + legs] = True
    grid[30:90, 62:68, 96:104] = True  # arm at +z: on the left, seen from the front
    grid[84:90, 50:62, 96:104] = True
    return grid


def to_pix3d(grid):
    """Our [x, y, z] to Pix3D's [left, outward, up]."""
    return np.ascontiguousarray(grid.transpose(2, 0, 1))


def pose(grid, azimuth, elevation, ratio):
    """rot_mat and trans_mat under which Pix3D's camera sees what `Scene.render` draws.

    A render is of the object with a bounding box of diagonal 1, a Pix3D model has its farthest
    point .5 away: `scale` is the one over the other.
    """
    corners = blocky(grid).vertices.astype(float)
    low, high = corners.min(0), corners.max(0)
    farthest = np.linalg.norm(corners - (low + high) / 2, axis=1).max()
    scale = 2 * farthest / np.linalg.norm(high - low)
    eye, (right, up, back) = camera(azimuth, elevation, ratio)
    left_up_away = np.stack([-right, up, -back])  # Pix3D's camera
    across, outward = np.array([0, 0, 1]), np.array([1, 0, 0])
    model_axes = np.stack([across, [0, 1, 0], -outward])  # left, up, inward in our frame
    return left_up_away @ model_axes.T, -(left_up_away @ eye) / scale


def entry(name, voxel, size, category="chair", **fields):
    """One entry as pix3d.json has it."""
    width, height = size
    return {
        "img": f"img/{category}/{name}",
        "category": category,
        "img_size": [width, height],
        "2d_keypoints": [[[1.0, 2.0], [-1.0, -1.0]]],
        "mask": f"mask/{category}/{Path(name).stem}.png",
        "img_source": "ikea",
        "model": str(Path(voxel).with_name("model.obj")),
        "model_raw": "",
        "model_source": "ikea",
        "3d_keypoints": str(Path(voxel).with_name("3d_keypoints.txt")),
        "voxel": voxel,
        "rot_mat": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        "trans_mat": [0, 0, 2],
        "focal_length": FOCAL,
        "cam_position": [0, 0, -2],
        "inplane_rotation": 0,
        "truncated": False,
        "occluded": False,
        "slightly_occluded": False,
        "bbox": [-3, 0, width + 7, height],
        **fields,
    }


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def save_voxels(root, voxel, grid, kind=np.uint8, **options):
    """Write a grid of ours as a voxel.mat of Pix3D."""
    (root / voxel).parent.mkdir(parents=True, exist_ok=True)
    savemat(root / voxel, {"voxel": to_pix3d(grid).astype(kind)}, **options)


def add_photo(root, name, voxel, grid, view=(40, 25, 0.9), crop=None, category="chair", **fields):
    """Render a photo and its mask; `crop` (left, top, right, bottom) keeps the center on axis."""
    rgba = Scene(blocky(grid)).render(
        azimuth=view[0], elevation=view[1], ratio=view[2], size=SIZE, shadows=False
    )
    picture = Image.new("RGBA", (SIZE, SIZE), (200, 180, 140, 255))
    picture.alpha_composite(Image.fromarray(rgba))
    mask = Image.fromarray(rgba[..., 3])
    focal = FOCAL
    if crop is not None:
        picture, mask = picture.crop(crop), mask.crop(crop)
        focal = FOCAL * SIZE / picture.width  # mm of a sensor that the narrower photo fills
    save(root / "img" / category / name, picture.convert("RGB"))
    save(root / "mask" / category / f"{Path(name).stem}.png", mask)
    rotation, translation = pose(grid, *view)
    camera = {
        "rot_mat": rotation.tolist(),
        "trans_mat": translation.tolist(),
        "focal_length": focal,
        **fields,
    }
    return entry(name, voxel, picture.size, category, **camera)


def write_list(root, entries):
    (root / "pix3d.json").write_text(json.dumps(entries))
    return root


def make_pix3d(root: Path) -> Path:
    """Two chairs, one of them on two photos, and a table; JPEG and PNG mixed."""
    first, second = chair(), chair(back=80, legs=14)
    table = chair(back=51)
    save_voxels(root, "model/chair/IKEA_A/voxel.mat", first)
    save_voxels(root, "model/chair/IKEA_B 2/voxel.mat", second, np.float64, do_compression=True)
    save_voxels(root, "model/table/IKEA_T/voxel.mat", table, np.bool_)
    a, b = "model/chair/IKEA_A/voxel.mat", "model/chair/IKEA_B 2/voxel.mat"
    return write_list(
        root,
        [
            add_photo(root, "0001.jpg", a, first),
            add_photo(root, "0002.png", b, second, (300, 10, 0.8), (0, 20, 160, 140)),
            add_photo(root, "0003.jpg", a, first, (110, 40, 0.8), (10, 0, 150, 160)),
            add_photo(root, "0004.jpg", b, second, slightly_occluded=True),
            add_photo(root, "0005.jpg", b, second, truncated="true"),
            add_photo(root, "0001.png", "model/table/IKEA_T/voxel.mat", table, category="table"),
        ],
    )
