"""What the demo page's controls call, without a browser."""

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from mem3d.demo.reconstruct_view import CANVAS, PAINT, editor_value
from mem3d.demo.sessions import VisitorMemories
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import save_photo

pytestmark = pytest.mark.skipif(
    find_spec("gradio") is None, reason="not installed: gradio (the extra 'demo')"
)
VISIT, STATUS, SEEN, GALLERY, NAME, EDITOR, VIEWER, NOTE, PRINTED, GLB = range(10)


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
    answer = page.photo(
        str(save_photo(uploads / "a.png")), 0.3, "smooth", 100, "longest side", visit
    )
    assert (answer[VISIT], answer[NAME]) == (visit, "a")
    assert len(answer[GALLERY]) == len(visit.photo.result.priors) > 0
    most = float(visit.photo.result.occupancy.max())
    for threshold, says in ((0.05, "voxels are full"), (most, "No voxel is above")):
        _, note, _, glb, *_ = page.shape(threshold, "blocky", 100, "longest side", visit)
        assert says in note
        assert glb.interactive == (threshold == 0.05)
    assert [line.split(":")[0] for line in told] == ["a"]


def test_a_bad_photo_takes_the_old_shape_away(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", 100, "longest side", visit)
    (uploads / "bad.png").write_bytes(b"nothing")
    answer = page.photo(str(uploads / "bad.png"), 0.3, "smooth", 100, "longest side", visit)
    assert "bad.png: got no picture" in answer[STATUS]
    assert (visit.photo, answer[SEEN], answer[GALLERY], answer[NOTE]) == (None, None, [], "")
    assert page.memorize("a", None, 0.3, visit)[1].endswith("There is no photo yet.")


def test_an_uploaded_shape_is_remembered_and_found(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png", 9)), 0.3, "smooth", 100, "longest side", visit)
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
    page.photo(str(save_photo(uploads / "a.png")), 0.05, "smooth", 100, "longest side", visit)
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
    assert (
        "was not uploaded"
        in page.photo(path.format(uploads), 0.3, "smooth", 100, "longest side", visit)[STATUS]
    )
    page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", 100, "longest side", visit)
    assert "was not uploaded" in page.memorize("a", path.format(uploads), 0.3, visit)[1]


def painted(uploads, where, name="layer.png"):
    """What the page's editor sends: the path of a layer with paint at (H, H) bool."""
    layer = np.zeros((*where.shape, 4), np.uint8)
    layer[where] = (*PAINT, 153)
    Image.fromarray(layer).resize((CANVAS, CANVAS), 0).save(uploads / name)
    return {"background": None, "layers": [{"path": str(uploads / name)}], "composite": None}


def iou(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def test_a_corrected_mask_is_what_the_network_sees(demo, visit, uploads):
    page, told = demo
    before = page.photo(
        str(save_photo(uploads / "a.png")), 0.3, "smooth", 100, "longest side", visit
    )
    where = np.zeros((137, 137), np.bool_)
    where[40:60, 30:100] = True
    answer = page.corrected(
        painted(uploads, where), False, 0.3, "smooth", 100, "longest side", visit
    )
    assert "A mask told the object" in answer[STATUS]
    assert iou(visit.photo.mask, where) > 0.95
    assert (answer[SEEN] != before[SEEN]).any()
    layer = Image.fromarray(answer[EDITOR]["layers"][0]).resize((137, 137))
    assert iou(np.asarray(layer)[..., 3] > 76, where) > 0.95
    assert (visit.photo.name, len(told)) == ("a", 2)
    empty = page.emptied(visit)
    assert not empty["layers"][0].any() and empty["background"].shape == (CANVAS, CANVAS, 3)
    assert iou(visit.photo.mask, where) > 0.95  # until another is used


def test_a_mask_that_cannot_be_used_leaves_the_shape(demo, visit, uploads):
    page, _ = demo
    answer = page.corrected(None, False, 0.3, "smooth", 100, "longest side", visit)
    assert answer[STATUS] == "⚠️ There is no photo yet."
    assert page.emptied(visit) is None
    page.photo(str(save_photo(uploads / "a.png")), 0.3, "smooth", 100, "longest side", visit)
    before = visit.photo
    nothing = np.zeros((137, 137), np.bool_)
    (uploads / "bad.png").write_bytes(b"nothing")
    bad = {"layers": [{"path": str(uploads / "bad.png")}]}
    foreign = {"layers": [{"path": "/etc/passwd"}]}
    for editor, says in (
        (painted(uploads, nothing), "got no paint"),
        (None, "got no paint"),
        ({"layers": []}, "got no paint"),
        ({"layers": "x"}, "got no paint"),
        (bad, "bad.png: got no picture"),
        (foreign, "was not uploaded"),
    ):
        answer = page.corrected(editor, False, 0.3, "smooth", 100, "longest side", visit)
        assert "The mask was not used" in answer[STATUS] and says in answer[STATUS]
        assert visit.photo is before


def test_a_size_makes_files_to_print(demo, visit, uploads):
    page, _ = demo
    page.photo(str(save_photo(uploads / "a.png")), 0.05, "smooth", 100, "longest side", visit)
    for size, says in (
        (50, "To print: "),
        (None, "print size: got none"),
        (5, "print size: got 5 mm, want 10 to 2000"),
        ("50", "print size: got '50'"),
    ):
        answer = page.shape(0.05, "smooth", size, "longest side", visit)
        assert says in answer[1]
        is_printed = [button.interactive for button in answer[3:]]
        assert is_printed == [True, True, True, size == 50, size == 50]
    assert editor_value(visit.photo)["background"].dtype == np.uint8
    lines = {
        side: page.shape(0.05, "smooth", 60, side, visit) for side in ("longest side", "height")
    }
    assert "60 x" in lines["longest side"][1] or "x 60" in lines["longest side"][1]
    assert " x 60 mm (deep x wide x high)" in lines["height"][1]
    assert lines["height"][2].shape[2] == 3  # the picture of what will be printed
