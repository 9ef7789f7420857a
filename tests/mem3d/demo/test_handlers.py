"""What the demo page's controls call, without a browser."""

from importlib.util import find_spec

import numpy as np
import pytest

from mem3d.demo.sessions import VisitorMemories
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import save_photo

pytestmark = pytest.mark.skipif(
    find_spec("gradio") is None, reason="not installed: gradio (the extra 'demo')"
)
VISIT, STATUS, SEEN, GALLERY, NAME, VIEWER, NOTE, GLB = range(8)


@pytest.fixture
def uploads(tmp_path):
    """Where gradio puts them."""
    (tmp_path / "gradio").mkdir()
    return tmp_path / "gradio"


@pytest.fixture
def demo(trained, tmp_path, uploads):
    from mem3d.demo.handlers import DemoPage

    told = []
    page = DemoPage(
        model=trained[1],
        name="run",
        memories=VisitorMemories(*trained),
        background=None,
        device="cpu",
        folder=tmp_path,
        examples=[],
        tell=told.append,
    )
    yield page, told
    page.memories.close()


@pytest.fixture
def visit():
    from mem3d.demo.handlers import Visit

    return Visit()


def test_a_photo_is_answered_and_another_threshold_runs_no_network(demo, visit, uploads):
    page, told = demo
    answer = page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", visit)
    assert (answer[VISIT], answer[NAME]) == (visit, "a")
    assert len(answer[GALLERY]) == len(visit.photo.result.priors) > 0
    most = float(visit.photo.result.occupancy.max())
    for threshold, says in ((0.05, "voxels are full"), (most, "No voxel is above")):
        _, note, glb, *_ = page.shape(threshold, "blocky", visit)
        assert says in note
        assert glb.interactive == (threshold == 0.05)
    assert [line.split(":")[0] for line in told] == ["a"]


def test_a_bad_photo_takes_the_old_shape_away(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", visit)
    (uploads / "bad.png").write_bytes(b"nothing")
    answer = page.photo(str(uploads / "bad.png"), 0.3, "smooth", visit)
    assert "bad.png: got no picture" in answer[STATUS]
    assert (visit.photo, answer[SEEN], answer[GALLERY], answer[NOTE]) == (None, None, [], "")
    assert page.memorize("a", None, 0.3, visit)[1].endswith("There is no photo yet.")


def test_an_uploaded_shape_is_remembered_and_found(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png", 9)), 0.3, "smooth", visit)
    write_binvox(uploads / "true.binvox", blob(9))
    _, told = page.memorize("mine", str(uploads / "true.binvox"), 0.3, visit)
    assert "'mine' in slot 3" in told
    found, tiles, number, where = page.browse("newest", 1, 0.3, visit)
    assert (len(tiles), number, where) == (4, 1, "page 1 of 1")
    assert found.slots[0] == 3
    np.testing.assert_array_equal(visit.own.values([3])[0], blob(9))
    (uploads / "bad.binvox").write_bytes(b"nothing")
    _, told = page.memorize("mine", str(uploads / "bad.binvox"), 0.3, visit)
    assert "Not remembered.** bad.binvox: got a file" in told


def test_a_visitor_who_leaves_leaves_no_file(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png")), 0.05, "smooth", visit)
    page.memorize("mine", None, 0.05, visit)
    own, folder = visit.own, visit.folder(uploads)
    page.forget(visit)
    assert (own.mode, folder.exists(), visit.photo) == ("closed", False, None)


@pytest.mark.parametrize("path", ["{}/../secret.png", "{}/../gradio-2/secret.png", "/etc/passwd"])
def test_only_uploads_are_read(path, demo, visit, uploads):
    page, _ = demo
    for folder in (uploads.parent, uploads.parent / "gradio-2"):
        folder.mkdir(exist_ok=True)
        save_photo(folder / "secret.png")
    assert "was not uploaded" in page.photo(path.format(uploads), 0.3, "smooth", visit)[STATUS]
    page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", visit)
    assert "was not uploaded" in page.memorize("a", path.format(uploads), 0.3, visit)[1]
