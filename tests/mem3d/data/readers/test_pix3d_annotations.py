"""What pix3d.json and split files say, whole and damaged; the camera by hand."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mem3d.data.readers.pix3d_annotations import Pose, choose_photos, read_photos, silhouette
from mem3d.data.splits import read_split
from tests.helpers.pix3d_folder import entry

VOXEL = "model/chair/IKEA_A/voxel.mat"
AHEAD = Pose(np.eye(3), np.array([0.0, 0.0, 2.0]), 1.0)  # front turned to the camera


def write(path, found):
    path.write_text(json.dumps(found))
    return path


@pytest.fixture
def photos(tmp_path):
    entries = [
        entry("0001.png", VOXEL, (5, 4)),
        entry("0002.jpg", VOXEL, (5, 4), occluded="true"),
        entry("0001.jpg", "model/sofa/S/voxel.mat", (5, 4), "sofa"),
    ]
    found, skipped = read_photos(write(tmp_path / "pix3d.json", entries))
    assert not skipped
    return found


def images(found):
    return [one.image for one in found[0]]


def block(where, side=8):
    """A full 2 x 2 x 2 corner of a grid and a dot in the opposite one, which fixes the scale."""
    grid = np.zeros((side,) * 3, bool)
    grid[-1, -1, -1] = grid[0, 0, 0] = True
    grid[where] = True
    return grid


def share(mask):
    """Part of a picture's full pixels in its left half, and in its upper half."""
    total, half = mask.sum(), len(mask) // 2
    return mask[:, :half].sum() / total, mask[:half].sum() / total


def test_an_entry(photos):
    first, second, third = photos
    assert (first.image, first.mask) == ("img/chair/0001.png", "mask/chair/0001.png")
    assert (first.shape_id, third.shape_id) == ("pix3d/chair/IKEA_A/voxel", "pix3d/sofa/S/voxel")
    assert (first.short, first.is_clear, second.is_clear) == ("chair/0001", True, False)
    assert first.pose.focal == 35 / 32
    assert first.pose.translation.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"voxel": None}, "voxel None"),
        ({"img": 7}, "img 7"),
        ({"mask": "../../etc/passwd"}, "inside the folder"),
        ({"mask": "/etc/passwd"}, "inside the folder"),
        ({"img": "img\\chair.png"}, "inside the folder"),
        ({"img": "C:/chair.png"}, "inside the folder"),
        ({"voxel": "a/" * 90 + "v.mat"}, "inside the folder"),
        ({"voxel": "model/\x00.mat"}, "want a path"),
        ({"category": ""}, "category"),
        ({"occluded": "maybe"}, "occluded 'maybe'"),
        ({"truncated": []}, "truncated"),
    ],
)
def test_a_bad_entry_is_skipped_and_named(change, says, tmp_path):
    entries = [entry("0.png", VOXEL, (5, 4)), entry("1.png", VOXEL, (5, 4)) | change, "text"]
    found, skipped = read_photos(write(tmp_path / "pix3d.json", entries))
    assert len(found) == 1
    assert [one.shape_id for one in skipped] == ["pix3d.json entry 1", "pix3d.json entry 2"]
    assert says in skipped[0].reason


@pytest.mark.parametrize(
    "change",
    [
        {"rot_mat": [[1, 0], [0, 1]]},
        {"rot_mat": "none"},
        {"trans_mat": [0, 0, float("nan")]},
        {"trans_mat": None},
        {"focal_length": 0},
        {"focal_length": "long"},
        {"focal_length": None},
        {"focal_length": float("inf")},
    ],
)
def test_a_pose_that_is_none(change, tmp_path):
    given = entry("0.png", VOXEL, (5, 4)) | change
    [photo], skipped = read_photos(write(tmp_path / "pix3d.json", [given]))
    assert photo.pose is None
    assert not skipped


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, "1" * 9999, "\xff"])
def test_no_list_at_all(text, tmp_path):
    (tmp_path / "pix3d.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"pix3d\.json: got"):
        read_photos(tmp_path / "pix3d.json")


def test_without_a_split_file(photos):
    assert images(choose_photos(photos, "test", None)) == [
        "img/chair/0001.png",
        "img/sofa/0001.jpg",
    ]
    assert len(choose_photos(photos, None, None)[0]) == 3
    with pytest.raises(ValueError, match="no training list of its own"):
        choose_photos(photos, "train", None)


def test_pix2vox_names_photos_without_their_ending(photos, tmp_path):
    found = [{"taxonomy_id": "chair", "test": ["0002", "0001", "0009"], "train": []}]
    split = write(tmp_path / "Pix3D.json", found)
    listed, missing = choose_photos(photos, "test", split)
    assert [one.image for one in listed] == ["img/chair/0002.jpg", "img/chair/0001.png"]
    assert [one.shape_id for one in missing] == ["chair/0009"]


def test_mesh_rcnn_has_a_file_for_each_list(photos, tmp_path):
    for part, names in {"train": ["img/chair/0001.png"], "test": ["img/sofa/0001.jpg"]}.items():
        listed = [{"id": 3, "file_name": name, "width": 5, "height": 4} for name in names]
        write(tmp_path / f"pix3d_s1_{part}.json", {"images": listed, "annotations": []})
    for split in (tmp_path / "pix3d_s1_train.json", tmp_path / "pix3d_s1_test.json"):
        assert images(choose_photos(photos, "train", split)) == ["img/chair/0001.png"]
        assert images(choose_photos(photos, "test", split)) == ["img/sofa/0001.jpg"]
        assert images(choose_photos(photos, "val", split)) == []
    (tmp_path / "pix3d_s1_train.json").unlink()
    with pytest.raises(ValueError, match=r"pix3d_s1_train\.json"):
        choose_photos(photos, "test", tmp_path / "pix3d_s1_test.json")


def test_plain_lists(photos, tmp_path):
    split = write(tmp_path / "own.json", {"train": ["chair/0002"], "test": ["img/sofa/0001.jpg"]})
    assert images(choose_photos(photos, "train", split)) == ["img/chair/0002.jpg"]
    assert len(choose_photos(photos, None, split)[0]) == 2


@pytest.mark.parametrize(
    ("name", "found", "says"),
    [
        ("a.json", 7, "want a split file"),
        ("a.json", {"train": "chair"}, "no list of paths"),
        ("a.json", {"train": [7]}, "no list of paths"),
        ("a.json", {"train": ["img/a.png"], "test": ["img/a.png"]}, "twice"),
        ("a.json", {"images": []}, r"_train\.json or _test\.json"),
        ("a.json", [{"taxonomy_id": "../x", "test": []}], "folder's name"),
    ],
)
def test_a_damaged_split_file_is_named(name, found, says, photos, tmp_path):
    with pytest.raises(ValueError, match=rf"{name[:-5]}.*({says})"):
        choose_photos(photos, "test", write(tmp_path / name, found))


@pytest.mark.parametrize("other", [7, [], {"images": 7}, {"images": [7]}])
def test_a_damaged_neighbor_is_named(other, photos, tmp_path):
    write(tmp_path / "a_train.json", other)
    split = write(tmp_path / "a_test.json", {"images": []})
    with pytest.raises(ValueError, match=r"a_(train|test)\.json"):
        choose_photos(photos, "test", split)


def test_pix2voxs_own_list(real_data):
    """2,894 chairs; the number is Pix3D's own, of its README."""
    listed = read_split(real_data / "splits" / "pix2vox_Pix3D.json", "test")
    assert len(listed) == 2894
    assert {entry.synset for entry in listed} == {"chair"}
    assert not read_split(real_data / "splits" / "pix2vox_Pix3D.json", "train")
    assert np.unique([entry.name for entry in listed]).size == 2894


def test_left_up_and_front():
    """Seen from the front, +z is to the left, +y up, and what is at +x is nearer, so larger."""
    high = (slice(None), slice(6, 8), slice(6, 8))  # a bar along x, at high y and z
    left, up = share(silhouette(block(high), AHEAD, (100, 100), (0, 0, 100), 100))
    assert left > 0.8
    assert up > 0.8
    near, far = np.zeros((2, 8, 8, 8), bool)
    for grid, x in ((near, 7), (far, 0)):
        grid[x] = True
        grid[7 - x, 3:5, 3:5] = True  # the same box around both
    areas = [silhouette(g, AHEAD, (100, 100), (0, 0, 100), 100).sum() for g in (near, far)]
    assert areas[0] > 1.3 * areas[1]


def test_size_by_hand():
    """A cube's farthest voxel center is .5 away: its side is 1 / sqrt(3) from center to center.

    Of 64 voxels a side, that is 63 steps; the near face is (1 + 1/63) of it wide, half of that
    nearer than 2, and a photo of 200 pixels with focal length 1 shows it 200 * side / depth wide.
    """
    side = 64 / 63 / np.sqrt(3)
    mask = silhouette(np.ones((64, 64, 64), bool), AHEAD, (200, 100), (50, 0, 100), 100)
    width = 200 * side / (2 - side / 2)
    assert abs(mask.any(axis=0).sum() - width) <= 2
    assert abs(mask.any(axis=1).sum() - width) <= 2
    assert abs(share(mask)[0] - 0.5) < 0.02
    assert abs(share(mask)[1] - 0.5) < 0.02


def test_the_square_may_leave_the_photo_and_be_scaled():
    grid = np.ones((8, 8, 8), bool)
    whole = silhouette(grid, AHEAD, (100, 100), (0, 0, 100), 200)
    wider = silhouette(grid, AHEAD, (100, 100), (-50, -50, 200), 400)
    assert_array_equal(wider[100:300, 100:300], whole)


def test_what_cannot_be_seen_is_empty():
    behind = Pose(np.eye(3), np.array([0.0, 0.0, -2.0]), 1.0)
    within = Pose(np.eye(3) * 1e200, np.array([0.0, 0.0, 1e-3]), 1e30)
    grid = np.ones((4, 4, 4), bool)
    assert not silhouette(grid, behind, (50, 50), (0, 0, 50), 50).any()
    assert not silhouette(np.zeros_like(grid), AHEAD, (50, 50), (0, 0, 50), 50).any()
    assert silhouette(grid, within, (50, 50), (0, 0, 50), 50).shape == (50, 50)
