"""How ways to voxelize stand damage: python -m benchmarks.data.voxelization [FOLDER] [--count N].

Each row is a way, each column a kind of damage; numbers are mean IoU with the truth, and the
median time. Procedural shapes: the truth is the voxels that their parts fill, exactly, and those
that their undamaged surface touches. With a FOLDER of .npz meshes that hold `vox` (packed bits,
32^3): the truth is `vox`, and how well the undamaged meshes agree with it is printed one by one.
libigl's winding number joins in if it is installed (pip install libigl).
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy import ndimage

from mem3d.data.meshes import voxelize
from mem3d.data.meshes.voxelize import inside_votes, surface, voxelize_mesh
from mem3d.data.procedural.shape import CATEGORIES, Shape, make_shape
from memstore.voxels.mesh import Mesh

R = 32
DAMAGE = ("none", "5% missing", "flipped", "soup", "open below", "doubled", "all")


def flood(mesh: Mesh) -> np.ndarray:
    """The surface, and what cannot be reached from outside."""
    return ndimage.binary_fill_holes(surface(voxelize._placed(mesh, R), R))


def parity(mesh: Mesh) -> np.ndarray:
    """The surface, and what two of three axes find inside by the whole mesh's parity."""
    corners = voxelize._placed(mesh, R)
    votes = np.zeros((R,) * 3, np.uint8)
    for axis in range(3):
        line, depth, _ = voxelize._crossings(corners, axis, R)
        inside = voxelize._between(line, depth, np.zeros(len(line), np.int64), R)
        votes += np.moveaxis(inside, 2, axis)
    return surface(corners, R) | (votes >= 2)


def all_agree(mesh: Mesh) -> np.ndarray:
    """As ours, but all three axes must agree."""
    corners = voxelize._placed(mesh, R)
    return ndimage.binary_fill_holes(surface(corners, R) | (inside_votes(corners, R) >= 3))


def winding(mesh: Mesh) -> np.ndarray:
    """The surface, and where libigl's fast winding number is above one half."""
    import igl

    corners = voxelize._placed(mesh, R)
    middles = np.indices((R,) * 3).reshape(3, -1).T + 0.5
    faces = np.arange(3 * len(corners)).reshape(-1, 3)
    number = igl.fast_winding_number(corners.reshape(-1, 3), faces, middles).reshape((R,) * 3)
    return ndimage.binary_fill_holes(surface(corners, R) | (number > 0.5))


WAYS: dict[str, Callable[[Mesh], np.ndarray]] = {
    "surface alone": lambda mesh: surface(voxelize._placed(mesh, R), R),
    "surface + flood": flood,
    "surface + parity of the whole": parity,
    "ours, all three axes": all_agree,
    "ours": voxelize_mesh,
}


def damaged(mesh: Mesh, kind: str, rng: np.random.Generator) -> Mesh:
    """A copy with one kind of damage; "all" is missing, flipped and soup at once."""
    vertices, faces = mesh.vertices, mesh.faces
    if kind in ("5% missing", "all"):
        faces = faces[rng.random(len(faces)) >= 0.05]
    if kind in ("flipped", "all"):
        turned = rng.random(len(faces)) < 0.5
        faces = np.where(turned[:, None], faces[:, ::-1], faces)
    if kind in ("soup", "all"):  # no corner is shared, or quite in its place
        corners = vertices[faces][rng.permutation(len(faces))]
        vertices = (corners + rng.normal(0, 1e-4, corners.shape)).reshape(-1, 3)
        faces = np.arange(len(vertices)).reshape(-1, 3)
    if kind == "open below":
        corners = vertices[faces].astype(np.float64)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flat = np.abs(normals[:, 1]) > 0.9 * np.linalg.norm(normals, axis=1)
        low = corners[:, :, 1].mean(1) < vertices[:, 1].min() + 0.03 * np.ptp(vertices[:, 1])
        faces = faces[~(flat & low)]
    if kind == "doubled":
        faces = np.concatenate([faces, faces[:, ::-1]])
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def exact(shape: Shape) -> np.ndarray:
    """Voxels whose middle is in a part, and those that the surface touches."""
    mesh = shape.mesh()
    points = np.concatenate([part.mesh()[0] for part in shape.parts])
    low, high = points.min(0), points.max(0)
    middles = np.indices((R,) * 3).reshape(3, -1).T + 0.5
    places = (low + high) / 2 + (middles - R / 2) * ((high - low).max() / R)
    inside = np.any([part.inside(places) for part in shape.parts], axis=0)
    return inside.reshape((R,) * 3) | surface(voxelize._placed(mesh, R), R)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def table(title: str, items: list[tuple[Mesh, np.ndarray]]) -> None:
    """Print one table."""
    print(f"\n{title}: {len(items)} meshes\n{'':31}" + "".join(f"{kind:>12}" for kind in DAMAGE))
    for name, way in WAYS.items():
        scores, times = defaultdict(list), []
        for number, (mesh, truth) in enumerate(items):
            for kind in DAMAGE:
                hurt = damaged(mesh, kind, np.random.default_rng(number))
                start = perf_counter()
                grid = way(hurt)
                times.append(perf_counter() - start)
                scores[kind].append(iou(grid, truth))
        row = "".join(f"{np.mean(scores[kind]):12.3f}" for kind in DAMAGE)
        print(f"{name:31}{row}{1e3 * np.median(times):9.1f} ms", flush=True)


def agreement(paths: list[Path]) -> None:
    """Print how the undamaged meshes agree with their own grids."""
    scores = []
    for path in paths:
        mesh, truth = load(path)
        scores.append((iou(voxelize_mesh(mesh), truth), f"{path.parent.name}/{path.stem}"))
    values = np.array([score for score, _ in scores])
    print(
        f"\nours against vox, {len(values)} meshes: mean {values.mean():.4f}, "
        f"median {np.median(values):.4f}, worst {values.min():.3f}, "
        f"below 0.9: {(values < 0.9).sum()}"
    )
    for score, name in sorted(scores)[:20]:
        print(f"  {score:.3f} {name}")


def load(path: Path) -> tuple[Mesh, np.ndarray]:
    """A mesh and its grid."""
    with np.load(path) as data:
        grid = np.unpackbits(data["vox"]).reshape((R,) * 3).astype(bool)
        return Mesh(data["v"], data["f"]), grid


def main() -> None:
    """Print the tables."""
    words = sys.argv[1:]
    count = int(words.pop(words.index("--count") + 1)) if "--count" in words else 60
    folders = [Path(word) for word in words if word != "--count"]
    try:
        import igl  # noqa: F401

        WAYS["surface + winding number"] = winding
    except ImportError:
        print("no libigl: no winding number")
    shapes = [make_shape(category, seed) for seed in range(4) for category in sorted(CATEGORIES)]
    table("procedural shapes", [(shape.mesh(), exact(shape)) for shape in shapes[:count]])
    for folder in folders:
        paths = sorted(folder.rglob("*.npz"))
        order = np.random.default_rng(0).permutation(len(paths))[:count]
        table(str(folder.name), [load(paths[i]) for i in order])
        agreement(paths)


if __name__ == "__main__":
    main()
