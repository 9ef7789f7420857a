"""Meshes for the viewer."""

import numpy as np
import pytest
import trimesh

from memstore.voxels.mesh import Mesh, blocky, write_glb
from tests.helpers.r2n2_folder import blob


@pytest.mark.parametrize("is_rounded", [True, False])
def test_the_surface_is_kept_and_normals_point_outwards(is_rounded, tmp_path):
    want = blocky(blob(0))
    write_glb(tmp_path / "a.glb", want, is_rounded=is_rounded)
    mesh = trimesh.load(tmp_path / "a.glb", force="mesh", process=False)
    assert mesh.volume == pytest.approx(want.volume(), rel=1e-4)
    assert len(mesh.faces) == len(want.faces)
    stored = mesh.vertex_normals[mesh.faces].mean(axis=1)
    assert ((stored * mesh.face_normals).sum(axis=1) > 0.5).all()
    if not is_rounded:
        np.testing.assert_allclose(stored, mesh.face_normals, atol=1e-5)


def test_a_mesh_without_faces_is_refused(tmp_path):
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    with pytest.raises(ValueError, match="without faces"):
        write_glb(tmp_path / "a.glb", empty, is_rounded=True)
    assert list(tmp_path.iterdir()) == []
