"""Meshes as a viewer in the browser shows them best: one GLB, one colour, normals that shade it."""

from pathlib import Path
from typing import Any

import numpy as np

from memstore.files import write_atomic
from memstore.meshes import Mesh

COLOR = (0.09, 0.22, 0.48, 1.0)  # linear RGBA, a clear blue
ROUGHNESS = 0.75  # 1 is chalk


def write_glb(path: Path, mesh: Mesh, *, is_rounded: bool) -> None:
    """Write a mesh with a material and normals; `path` never holds half a file.

    Args:
        path: file to make or replace.
        mesh: at least one face; its colours are not used.
        is_rounded: shade it as one smooth skin, else every face as the plane that it is.

    Raises:
        ValueError: the mesh has no face.
    """
    if not len(mesh.faces):
        raise ValueError(f"{path}: got a mesh without faces, want at least one")
    import trimesh  # imported late: about a second, and only exporting needs it

    vertices, faces = mesh.vertices, mesh.faces
    if not is_rounded:  # corners that are shared would share a normal
        vertices = vertices[faces].reshape(-1, 3)
        faces = np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
    visual: Any = trimesh.visual  # typed in part only
    material = visual.material.PBRMaterial(
        name="shape", baseColorFactor=COLOR, metallicFactor=0.0, roughnessFactor=ROUGHNESS
    )
    look = visual.TextureVisuals(material=material)
    solid = trimesh.Trimesh(vertices, faces, visual=look, process=False)
    data: Any = solid.export(file_type="glb", include_normals=True)
    write_atomic(path, data)
