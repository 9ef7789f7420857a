"""What a check of a data set finds."""

import numpy as np
import pytest

from mem3d.data.curation.findings import as_dict, findings, table
from mem3d.data.curation.report import enclosed_share, examine, open_subsets
from tests.helpers.memory_dataset import MemoryDataset, lopsided
from tests.helpers.r2n2_folder import box, make_r2n2


def texts(report):
    return [finding.text for finding in findings(report)]


def by_text(report, words):
    [found] = [finding for finding in findings(report) if words in finding.text]
    return found


@pytest.fixture
def good():
    """Four models of two categories in two subsets; nothing is wrong with them."""
    names = ["chair", "chair", "car", "car"]
    train = MemoryDataset([lopsided(seed) for seed in range(4)], names)
    return {"train": train, "test": MemoryDataset([lopsided(9)], ["car"], views=1)}


def test_good_data_give_no_finding(good):
    calls = []
    report = examine(good, progress=lambda *call: calls.append(call))
    assert findings(report) == []
    found = as_dict(report)
    assert (found["usable"], found["models"], found["views"]) == (True, 5, [1, 2])
    assert found["pictures"] == {"48x48": 9}
    assert found["axes"]["shapes"] == 5
    assert found["axes"]["iou"] > 0.95
    assert calls[-1] == (5, 5, "axes")


def test_the_table_counts_by_hand():
    """Boxes of 4, 16 and 36 voxels in 8^3 = 512."""
    grids = [box((0, 0, 0), (1, side, side), 8) for side in (2, 4, 6)]
    [row] = table(examine({"all": MemoryDataset(grids)}, sample=0))
    assert row["models"] == {"all": 3}
    assert row["occupancy"] == [4 / 512, 16 / 512, 36 / 512]
    assert (row["hollow"], row["iou"]) == (0, None)


def test_a_wrong_frame_is_unusable(good):
    for data in good.values():
        data.grids = [grid.transpose(0, 2, 1) for grid in data.grids]
    report = examine(good)
    finding = findings(report)[0]
    assert finding.bad
    assert "y and z swapped (z up" in finding.text
    assert "store grid.transpose(0, 2, 1)" in finding.text


def test_one_category_in_another_frame_is_named(good):
    train = MemoryDataset([lopsided(s) for s in range(8)], ["chair"] * 5 + ["car"] * 3)
    train.grids[5:] = [grid[::-1, :, ::-1] for grid in train.grids[5:]]
    finding = findings(examine({"train": train}))[0]
    assert finding.bad
    assert finding.text.startswith("axes of car: the voxels look turned by half around y")


def test_pictures_of_other_models_match_poorly():
    data = MemoryDataset([box((0, 5, 5), (12, 7, 7), 12), box((5, 0, 5), (7, 12, 7), 12)] * 2)
    data.images = data.images[1:] + data.images[:1]
    finding = by_text(examine({"all": data}), "match poorly")
    assert finding.bad


def test_shells_empty_full_and_short_grids_are_named(good):
    grids = good["train"].grids
    shell = np.ones((12, 12, 12), np.bool_)
    shell[1:-1, 1:-1, 1:-1] = False
    grids[0], grids[1] = shell, np.zeros_like(shell)
    grids[2], grids[3] = np.ones_like(shell), box((1, 1, 1), (11, 3, 3), 12)
    report = examine(good, sample=0)
    assert by_text(report, "shell").sources == ("chair/0",)
    assert by_text(report, "grid is empty").sources == ("chair/1",)
    assert by_text(report, "grid is full").sources == ("car/2",)
    assert by_text(report, "span").sources == ("car/3",)
    assert not any(finding.bad for finding in findings(report))


def test_enclosed_share_by_hand():
    """A shell of 3^3 holds 1 empty voxel beside 26 full ones; with a hole it encloses none."""
    grid = np.pad(np.ones((3, 3, 3), np.bool_), 2)
    assert enclosed_share(grid) == 0
    grid[3, 3, 3] = False
    assert enclosed_share(grid) == 1 / 27
    grid[3, 3, 4] = False
    assert enclosed_share(grid) == 0
    assert enclosed_share(np.zeros_like(grid)) == 0


def test_a_model_in_train_and_test_is_named(good):
    good["test"].grids[0] = good["train"].grids[1]
    finding = by_text(examine(good, sample=0), "equal grids in different subsets")
    assert finding.sources == ("chair/1", "car/0")
    assert "1 in test and train" in finding.text
    assert not finding.bad


def test_pictures_without_mask_are_named(good):
    good["train"].images[2][1][..., 3] = 255
    good["train"].images[3][0][..., 3] = 0
    report = examine(good, sample=0)
    assert by_text(report, "no mask").sources == ("car/2",)
    assert by_text(report, "shows nothing").sources == ("car/3",)
    for rgba in (image for data in good.values() for views in data.images for image in views):
        rgba[..., 3] = 255
    assert "not tested" in " ".join(texts(examine(good)))


def test_an_r2n2_folder_with_a_broken_model(tmp_path):
    root = make_r2n2(tmp_path)
    (root / "ShapeNetVox32" / "03001627" / "test1" / "model.binvox").write_bytes(b"torn")
    sets = open_subsets(root)
    assert list(sets) == ["train", "val", "test"]
    found = as_dict(examine(sets, sample=0))
    assert [skip["source"] for skip in found["skipped"]] == ["03001627/test1"]
    assert found["categories"][1]["models"] == {"train": 4, "val": 2, "test": 1}
    (root / "split.json").write_text("[]")
    assert findings(examine(open_subsets(root)))[0].text == "no shape can be used"
    (root / "split.json").unlink()
    assert list(open_subsets(root)) == ["all"]


def test_a_set_without_models_is_unusable():
    report = examine({"all": MemoryDataset([])})
    assert findings(report)[0].bad
    assert as_dict(report)["usable"] is False
