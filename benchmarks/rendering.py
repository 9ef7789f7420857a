"""How fast meshes are drawn: python -m benchmarks.rendering FOLDER [--count N].

Pictures of 137 x 137 with shadows and 2 x 2 rays a pixel, one core, over meshes of FOLDER spread
evenly by number of faces. Baseline: trimesh casts as many rays at the same mesh with the same
library (Embree), without light, shadows or a picture. CPU time, as machines are shared.
"""

import sys
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from mem3d.data.meshes.reader import MESH_TYPES, PaintedMesh, read_mesh
from mem3d.data.meshes.voxelize import voxelize_mesh
from mem3d.data.readers.r2n2_writer import draw_cameras
from mem3d.data.rendering.renderer import SIZE, Scene, camera

VIEWS = 12


def measured(found: PaintedMesh) -> tuple[float, float, float, float]:
    """Seconds of CPU time: to make ready, per picture, per picture of the baseline, to voxelize."""
    cameras = draw_cameras(VIEWS, np.random.default_rng(0))
    start = process_time()
    scene = Scene(found.mesh, paint=found.paint)
    ready = process_time() - start
    solid = trimesh.Trimesh(found.mesh.vertices, found.mesh.faces, process=False)
    caster = RayMeshIntersector(solid)
    ours, baseline = [], []
    for azimuth, elevation, _, ratio, _ in cameras:
        start = process_time()
        picture = scene.render(azimuth=azimuth, elevation=elevation, ratio=ratio)
        ours.append(process_time() - start)
        eye, axes = camera(azimuth, elevation, ratio)
        _, rays = scene._rays(eye, axes, SIZE, 2)
        starts = np.broadcast_to(eye, rays.shape)
        start = process_time()
        caster.intersects_first(starts, rays)
        baseline.append(process_time() - start)
        assert picture.any()
    start = process_time()
    voxelize_mesh(found.mesh)
    return ready, median(ours), median(baseline), process_time() - start


def main() -> None:
    """Print a table."""
    words = sys.argv[1:]
    count = int(words.pop(words.index("--count") + 1)) if "--count" in words else 20
    (folder,) = (Path(word) for word in words if word != "--count")
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower()[1:] in MESH_TYPES]
    paths.sort(key=lambda path: path.stat().st_size)
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, count).astype(int)]
    print(f"{'faces':>9}{'ready ms':>10}{'pictures/s':>12}{'ratio':>7}{'voxels ms':>11}  mesh")
    rates = []
    for path in chosen:
        found = read_mesh(path)
        ready, ours, baseline, voxels = measured(found)
        rates.append(1 / ours)
        row = f"{len(found.mesh.faces):9}{1e3 * ready:10.1f}{1 / ours:12.0f}"
        print(f"{row}{ours / baseline:7.2f}{1e3 * voxels:11.1f}  {path.stem}", flush=True)
    print(f"pictures per second: median {median(rates):.0f}, lowest {min(rates):.0f}")


if __name__ == "__main__":
    main()
