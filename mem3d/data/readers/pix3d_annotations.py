"""What pix3d.json says about each photo, and which photos a split file names.

    [{"img": "img/chair/0001.png", "mask": "mask/...", "voxel": "model/.../voxel.mat",
      "category": "chair", "truncated": false, "occluded": false, "slightly_occluded": false,
      "rot_mat": 3x3, "trans_mat": [3], "focal_length": mm, ...}, ...]

The camera is at the origin, looking along +z, +x to the left of the photo, +y up. A point p of the
model is at (X, Y, Z) = rot_mat @ p + trans_mat, and in pixels at
center - focal_length / 32 * width * (X, Y) / Z.

Split files come in three forms:

    [{"taxonomy_id": "chair", "test": ["0001", ...]}]                     Pix2Vox's Pix3D.json
    {"images": [{"file_name": "img/chair/0001.png", ...}, ...], ...}      Mesh R-CNN's S1 and S2
    {"train": ["img/chair/0001.png", ...], "val": [...], "test": [...]}   ours

Source: README of Pix3D (Sun et al., CVPR 2018); Pix2Vox; Mesh R-CNN (Gkioxari et al., ICCV 2019).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mem3d.data.dataset import Skipped
from mem3d.data.splits import SplitName, read_split
from memstore.json_text import read_json
from memstore.voxels.mesh import blocky

SENSOR = 32.0  # mm; focal lengths are given for a sensor of this width
_SAMPLES = 4  # a silhouette is drawn so many times larger
_LONGEST_PATH = 120  # characters; the shape's name, made of it, has to fit a memory's 128 bytes
_FLAGS = ("truncated", "occluded", "slightly_occluded")
_TO_MODEL = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # our (x, y, z) is a model's (z, y, -x)

Box = tuple[int, int, int]  # left, top, side of a square in a photo


@dataclass(frozen=True, eq=False)
class Pose:
    """Where an object stands before the camera."""

    rotation: NDArray[np.float64]  # (3, 3)
    translation: NDArray[np.float64]  # (3,)
    focal: float  # focal length over the photo's width


def silhouette(
    grid: NDArray[np.bool_], pose: Pose, size: tuple[int, int], box: Box, side: int
) -> NDArray[np.bool_]:
    """Which pixels of a square in a photo a grid covers.

    Args:
        grid: (R, R, R), placed as the photo's own shape is: its bounding box centered, its farthest
            voxel .5 away.
        pose: of the object.
        size: width and height of the photo in pixels.
        box: the square: left, top and side.
        side: pixels of the result.

    Returns:
        (side, side).
    """
    corners, length = _placed(grid), side * _SAMPLES
    turned = corners @ pose.rotation.T + pose.translation  # (F, 3, 3): left, up, away
    turned = turned[(turned[..., 2] > 1e-6).all(axis=1)]  # what is behind the camera is left out
    place = -turned[..., :2] / turned[..., 2:] * (pose.focal * size[0]) + np.array(size) / 2
    place = (place - box[:2]) * (length / box[2])
    # Triangles that miss the square; far corners of others would only cost time.
    hits = (place.max(1) > 0).all(1) & (place.min(1) < length).all(1)
    canvas = Image.new("1", (length, length))
    draw = ImageDraw.Draw(canvas)
    for triangle in place[hits].clip(-4 * length, 5 * length):
        draw.polygon(triangle.ravel().tolist(), fill=1)
    cells = np.asarray(canvas).reshape(side, _SAMPLES, side, _SAMPLES)
    return np.asarray(cells.mean(axis=(1, 3)) > 0.5)


def _placed(grid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(F, 3, 3) corners of the triangles around a grid's voxels, in the frame of Pix3D's models."""
    if not grid.any():
        return np.zeros((0, 3, 3))
    mesh = blocky(grid)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    places = (np.argwhere(grid) + 0.5) / len(grid) - 0.5  # blocky's frame
    middle = (places.min(0) + places.max(0)) / 2
    farthest = np.linalg.norm(places - middle, axis=1).max() or 0.5 / len(grid)
    return np.asarray((corners - middle) @ _TO_MODEL.T * (0.5 / farthest))


@dataclass(frozen=True, eq=False)
class Photo:
    """One entry of pix3d.json; paths are relative to its folder and stay inside."""

    image: str
    mask: str
    voxel: str
    category: str
    is_clear: bool  # whole and in full view: neither truncated nor occluded, not even slightly
    pose: Pose | None

    @property
    def shape_id(self) -> str:
        """Name of the shape: "pix3d/chair/IKEA_BERNHARD/voxel"."""
        return "pix3d/" + self.voxel.removeprefix("model/").removesuffix(".mat")

    @property
    def short(self) -> str:
        """As Pix2Vox names it: "chair/0001"."""
        return f"{self.category}/{Path(self.image).stem}"


def read_photos(path: Path) -> tuple[list[Photo], list[Skipped]]:
    """Read pix3d.json.

    Returns:
        Photos in the order of the file, and the entries that say too little or what is not so.

    Raises:
        ValueError: the file is missing, damaged or no list.
    """
    listed = read_json(path)
    if not isinstance(listed, list):
        raise ValueError(f"{path}: got {type(listed).__name__}, want a list of photos")
    photos, skipped = [], []
    for number, entry in enumerate(listed):
        try:
            photos.append(_photo(entry))
        except ValueError as error:
            skipped.append(Skipped(f"{path.name} entry {number}", str(error)))
    return photos, skipped


def choose_photos(
    photos: list[Photo], subset: SplitName | None, split: Path | None
) -> tuple[list[Photo], list[Skipped]]:
    """Choose the photos of a subset.

    Args:
        photos: of pix3d.json.
        subset: None takes all photos, or all that the split file names.
        split: a split file; None knows but one subset, "test": chairs whole and in full view.

    Returns:
        The photos, in the order of the split file, and names that pix3d.json does not have.

    Raises:
        ValueError: a damaged split file, or a subset that is nowhere listed.
    """
    if split is None:
        if subset in ("train", "val"):
            raise ValueError(
                f"Pix3D: got subset {subset!r} without a split file, want one that lists it; "
                "Pix3D has no training list of its own"
            )
        return [photo for photo in photos if subset is None or photo.is_clear], []
    by_name: dict[str, list[Photo]] = {}
    for photo in photos:
        for name in (photo.image, photo.short):
            by_name.setdefault(name, []).append(photo)
    names = _listed(split, subset)
    missing = [Skipped(name, "not in pix3d.json") for name in names if name not in by_name]
    return [photo for name in names for photo in by_name.get(name, [])], missing


def _listed(split: Path, subset: SplitName | None) -> list[str]:
    """Names in a split file: paths of images, or "chair/0001"."""
    content = read_json(split)
    if isinstance(content, list):
        return [f"{entry.synset}/{entry.name}" for entry in read_split(split, subset)]
    if isinstance(content, dict) and "images" in content:
        lists = _mesh_rcnn(split)
    elif isinstance(content, dict):
        lists = {part: content.get(part, []) for part in get_args(SplitName)}
    else:
        raise ValueError(f"{split}: got {type(content).__name__}, want a split file")
    names: dict[str, str] = {}
    for part, images in lists.items():
        if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
            raise ValueError(f"{split}: got {part!r} that is no list of paths, want one")
        for name in images:
            if name in names:
                raise ValueError(f"{split}: got {name[:80]!r} twice, want it once")
            names[name] = part
    return [name for name, part in names.items() if subset in (None, part)]


def _mesh_rcnn(split: Path) -> dict[str, list[Any]]:
    """Lists of ..._train.json and ..._test.json, where `split` is one of the two."""
    lists: dict[str, list[Any]] = {}
    for part in ("train", "test"):
        for other in ("train", "test"):
            if split.stem.endswith(f"_{other}"):
                path = split.with_name(f"{split.stem.removesuffix(other)}{part}{split.suffix}")
                content = read_json(path)
                images = content.get("images") if isinstance(content, dict) else None
                if not isinstance(images, list):
                    raise ValueError(f"{path}: got no list 'images', want Mesh R-CNN's layout")
                lists[part] = [
                    isinstance(image, dict) and image.get("file_name") for image in images
                ]
    if not lists:
        raise ValueError(f"{split}: want a name that ends in _train.json or _test.json")
    return lists


def _photo(entry: Any) -> Photo:
    """One entry; ValueError says what is missing or wrong."""
    if not isinstance(entry, dict):
        raise ValueError(f"got {type(entry).__name__}, want an object")
    image, mask, voxel = (_path(entry, field) for field in ("img", "mask", "voxel"))
    category = entry.get("category")
    if not isinstance(category, str) or not 0 < len(category) <= 40 or not category.isprintable():
        raise ValueError(f"got category {category!r:.60}, want a word")
    return Photo(
        image, mask, voxel, category, not any(_flag(entry, f) for f in _FLAGS), _pose(entry)
    )


def _path(entry: dict[str, Any], field: str) -> str:
    """A path that stays inside the folder."""
    path = entry.get(field)
    if not isinstance(path, str) or not path.isascii() or not path.isprintable():
        raise ValueError(f"got {field} {path!r:.60}, want a path")
    parts = path.split("/")
    if len(path) > _LONGEST_PATH or "\\" in path or {"", ".", ".."} & set(parts) or ":" in parts[0]:
        raise ValueError(f"got {field} {path!r:.60}, want a short path inside the folder")
    return path


def _flag(entry: dict[str, Any], field: str) -> bool:
    """Pix3D's README writes "true" and its file true; both are read."""
    value = entry.get(field)
    if value not in (True, False, "true", "false"):
        raise ValueError(f"got {field} {value!r:.60}, want true or false")
    return value in (True, "true")


def _pose(entry: dict[str, Any]) -> Pose | None:
    """None unless all of it is there and finite."""
    try:
        rotation = np.array(entry.get("rot_mat"), np.float64)
        translation = np.array(entry.get("trans_mat"), np.float64)
        focal = float(entry.get("focal_length", np.nan)) / SENSOR
    except (TypeError, ValueError, OverflowError):
        return None
    parts = (rotation, translation, np.array(focal))
    if rotation.shape != (3, 3) or translation.shape != (3,) or focal <= 0:
        return None
    return Pose(rotation, translation, focal) if all(np.isfinite(p).all() for p in parts) else None
