"""A solid with concave sides, rightly read whatever its file's form."""

import numpy as np

from mem3d.data.meshes.reader import read_mesh
from mem3d.data.meshes.voxelize import voxelize_mesh
from memstore.voxels.mesh import Mesh

# The outline of a U, so that a fan from any one corner of its ends would fill what is open.
OUTLINE = [(0, 0), (0.4, 0), (0.4, 2), (3.6, 2), (3.6, 0), (4, 0), (4, 2.4), (0, 2.4)]
VERTICES = [(*point, z) for z in (0, 1.5) for point in OUTLINE]
ENDS = [list(range(7, -1, -1)), list(range(8, 16))]
SIDES = [[i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i] for i in range(8)]
POLYGONS = ENDS + SIDES
# Cut by hand: two posts and a bar.
_HALF = [(0, 1, 2), (0, 2, 7), (7, 2, 3), (7, 3, 6), (3, 4, 5), (3, 5, 6)]
TRIANGLES = (
    [(a, b, c) for c, b, a in _HALF]
    + [(a + 8, b + 8, c + 8) for a, b, c in _HALF]
    + [t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))]
)


def grid_of(faces=TRIANGLES):
    """Voxels (32, 32, 32) of triangles of VERTICES."""
    return voxelize_mesh(Mesh(np.array(VERTICES, np.float32), np.array(faces, np.int32), None))


def read_whole(path, **options):
    """Read a file of the solid: its voxels and all its triangles are there."""
    painted = read_mesh(path, **options)
    assert len(painted.mesh.faces) == len(TRIANGLES)
    assert (voxelize_mesh(painted.mesh) == grid_of()).all()
    return painted


def obj_text(vertex="v {} {} {}", face="f {}", end="\n", polygons=POLYGONS):
    """The solid as lines of an OBJ file."""
    lines = [vertex.format(*point) for point in VERTICES]
    lines += [face.format(" ".join(str(i + 1) for i in polygon)) for polygon in polygons]
    return "".join(line + end for line in lines)
