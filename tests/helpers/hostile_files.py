"""Files from strangers: every reader of one, with whole files to spoil.

`tests/test_hostile_files.py` spoils them with Hypothesis, `python -m tests.fuzz` with atheris.
"""

import io
import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.io import savemat

from mem3d.data.images.io import read_image
from mem3d.data.meshes.reader import read_mesh
from mem3d.data.readers.matlab import read_mat
from mem3d.data.readers.pix3d_annotations import read_photos
from mem3d.data.readers.r2n2 import R2N2, ShapeFiles
from mem3d.data.readers.r2n2_index import open_index, write_index
from mem3d.data.splits import read_split
from mem3d.data.zarr_pack.shards import ShardFiles, pack_item, pack_shard
from memstore.exchange.npz import read_features
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.helpers.r2n2_folder import blob, make_r2n2, picture
from tests.helpers.solids import obj_text, off_text, ply_bytes, rich_gltf, stl_bytes, stl_text

ROOM = 1 << 30  # bytes that one file of a few kilobytes may make a reader take
PATIENCE = 30  # seconds until a reader counts as hanging


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file."""

    name: str
    suffix: str
    read: Callable[[Path], object]
    examples: Callable[[Path], list[bytes]]  # whole files; may use an empty folder


def attempt(kind: Format, data: bytes, folder: Path) -> bool:
    """Read a file that holds `data`; True if it was taken, False if refused as it should be.

    Raises:
        AssertionError: the refusal does not name the file.
        Exception: anything but ValueError, also for too much memory or time, is a bug.
    """
    path = folder / f"spoiled{kind.suffix}"
    path.write_bytes(data)
    try:
        with within(ROOM, PATIENCE):
            kind.read(path)
    except ValueError as error:
        assert path.name in str(error), f"{kind.name}: {error!r} does not name the file"
        return False
    return True


@contextmanager
def within(room: int, patience: int) -> Iterator[None]:
    """MemoryError beyond so many more bytes of address space, TimeoutError after the seconds."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, _late)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    signal.alarm(patience)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _late(*_: object) -> None:
    raise TimeoutError("a reader hangs")


def _binvox(folder: Path) -> list[bytes]:
    write_binvox(folder / "whole.binvox", blob(1))
    write_binvox(folder / "small.binvox", np.ones((4, 4, 4), bool))
    return [(folder / name).read_bytes() for name in ("whole.binvox", "small.binvox")]


def _pictures(kind: str, modes: tuple[str, ...]) -> Callable[[Path], list[bytes]]:
    def examples(_: Path) -> list[bytes]:
        files = []
        for mode in modes:
            data = io.BytesIO()
            Image.fromarray(picture(3, 32)).convert("RGB").convert(mode).save(data, kind)
            files.append(data.getvalue())
        return files

    return examples


def _split(_: Path) -> list[bytes]:
    category = {"taxonomy_id": "02691156", "taxonomy_name": "aeroplane"}
    return [json.dumps([category | {"train": ["a", "b"], "val": ["c"], "test": []}]).encode()]


def _npy(_: Path) -> list[bytes]:
    data = io.BytesIO()
    np.save(data, np.eye(3, 4, dtype=np.float32))
    return [data.getvalue()]


def _mat(_: Path) -> list[bytes]:
    files = []
    for compressed in (True, False):
        data = io.BytesIO()
        grid = blob(1)[::4, ::4, ::4]
        savemat(data, {"voxel": grid.astype(np.uint8)}, do_compression=compressed)
        files.append(data.getvalue())
    return files


def _photos(_: Path) -> list[bytes]:
    entry = {
        "img": "img/chair/0001.png", "mask": "mask/chair/0001.png", "category": "chair",
        "model": "model/chair/A/model.obj", "voxel": "model/chair/A/voxel.mat",
        "rot_mat": np.eye(3).tolist(), "trans_mat": [0.0, 0.0, 1.5], "focal_length": 35.0,
        "img_size": [200, 100], "bbox": [10, 10, 90, 90],
        "truncated": False, "occluded": False, "slightly_occluded": False,
    }  # fmt: skip
    return [json.dumps([entry, entry]).encode()]


def _index(folder: Path) -> list[bytes]:
    data = R2N2.open(make_r2n2(folder / "data", train=1, val=1, test=1, views=1))
    write_index(data, folder / "whole.json", occupancy=True)
    return [(folder / "whole.json").read_bytes()]


def _cameras(_: Path) -> list[bytes]:
    return [b"30.0 28.0 0 0.8 25\n" * 3]


def _read_cameras(path: Path) -> object:
    """The text file beside a shape's views."""
    shape = ShapeFiles("03001627", "chair", "a", path.parent, path, 3)
    path.replace(path.with_name("rendering_metadata.txt"))
    try:
        return R2N2(path.parent, (shape,), ()).cameras(0)
    except ValueError as error:
        raise ValueError(str(error).replace("rendering_metadata.txt", path.name)) from error


def _materials(_: Path) -> list[bytes]:
    return [b"newmtl m\nKd 1 0 0 # c\nmap_Kd -s 1 1 1 -o .5 -mm 0 1 a.png\n", b"newmtl m\nKd 1\n"]


def _read_materials(path: Path) -> object:
    """The materials of a mesh; where its own is missing, it is refused."""
    mesh = path.with_name("a.obj")
    mesh.write_text(
        f"mtllib {path.name}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl m\nf 1/1 2/1 3/1\n"
    )
    painted = read_mesh(mesh)
    if painted.mesh.colors is None:
        raise ValueError(f"{path}: {painted.warnings}")
    return painted


# What trimesh does not write.
_ODD_MESHES = {
    "obj": [obj_text(), obj_text("v\t{}\t{}\t{} 1 0 0", "f {} # c").replace("0.4", "\\\n.4")],
    "off": [off_text(), off_text("OFF{} {} 0\n").replace("0\n0.4", "0 0.4")],
    "ply": [ply_bytes(""), ply_bytes("<"), ply_bytes(">")],
    "stl": [stl_text(), stl_bytes(b"\0\0")],
    "glb": [rich_gltf().glb()],
    "gltf": [rich_gltf().gltf()],
}


def _meshes(kind: str) -> Callable[[Path], list[bytes]]:
    def examples(_: Path) -> list[bytes]:
        plain, painted = trimesh.creation.box(), trimesh.creation.icosahedron()
        painted.visual.vertex_colors = np.arange(48).reshape(12, 4) + 100
        whole = [mesh.export(file_type=kind) for mesh in (plain, painted) if kind != "gltf"]
        whole += _ODD_MESHES.get(kind, [])
        return [data.encode() if isinstance(data, str) else data for data in whole]

    return examples


def _mesh_arrays(_: Path) -> list[bytes]:
    box, files = trimesh.creation.box(), []
    for save in (np.savez, np.savez_compressed):
        data = io.BytesIO()
        save(data, v=box.vertices.astype(np.float32), f=box.faces.astype(np.int32),
             c=np.full((12, 3), 90, np.uint8))  # fmt: skip
        files.append(data.getvalue())
    return files


_ITEM = (16, 16, 4)


def _shard(_: Path) -> list[bytes]:
    items = [pack_item(picture(seed, 16), 3) for seed in range(3)]
    return [pack_shard([*items, None], 4)]


def _read_shard(path: Path) -> object:
    """Every item of a shard, of which the last is none."""
    inside = path.parent / "array" / "c" / "0" / "0" / "0"
    inside.mkdir(parents=True, exist_ok=True)
    path.replace(inside / "0")
    files = ShardFiles(path.parent / "array", _ITEM, 3, 4)
    try:
        return [files.read(i) for i in range(3)]
    except ValueError as error:
        assert "array/c/0/0/0/0" in str(error)
        raise ValueError(f"{path}: {error}") from error


FORMATS = (
    Format(name="binvox", suffix=".binvox", read=read_binvox, examples=_binvox),
    Format(name="png", suffix=".png", read=read_image,
           examples=_pictures("PNG", ("RGB", "RGBA", "P", "1", "L"))),
    Format(name="jpeg", suffix=".jpg", read=read_image,
           examples=_pictures("JPEG", ("RGB", "L", "CMYK"))),
    Format(name="tiff", suffix=".tif", read=read_image,
           examples=_pictures("TIFF", ("RGB", "CMYK", "I", "F", "1"))),
    Format(name="gif", suffix=".gif", read=read_image, examples=_pictures("GIF", ("P",))),
    Format(name="webp", suffix=".webp", read=read_image, examples=_pictures("WEBP", ("RGBA",))),
    Format(name="split", suffix=".json", read=read_split, examples=_split),
    Format(name="npy", suffix=".npy", read=read_features, examples=_npy),
    Format(name="mat", suffix=".mat", read=lambda path: read_mat(path, "voxel"), examples=_mat),
    Format(name="pix3d", suffix=".json", read=read_photos, examples=_photos),
    Format(name="index", suffix=".json", read=open_index, examples=_index),
    Format(name="cameras", suffix=".txt", read=_read_cameras, examples=_cameras),
    Format(name="shard", suffix=".shard", read=_read_shard, examples=_shard),
    Format(name="mtl", suffix=".mtl", read=_read_materials, examples=_materials),
    Format(name="npz", suffix=".npz", read=read_mesh, examples=_mesh_arrays),
    *(Format(name=kind, suffix=f".{kind}", read=read_mesh, examples=_meshes(kind))
      for kind in ("obj", "glb", "gltf", "stl", "ply", "off")),
)  # fmt: skip
