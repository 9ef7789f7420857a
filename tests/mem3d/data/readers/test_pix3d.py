"""The Pix3D reader on a rendered folder, its frame against ray-traced photos, its voxels."""

import json
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.io import savemat

from mem3d.data.open import open_dataset
from mem3d.data.readers.pix3d import Pix3D, fitted, read_voxels
from tests.helpers.pix3d_folder import (
    add_photo,
    chair,
    entry,
    make_pix3d,
    save,
    save_voxels,
    write_list,
)

A, B = "model/chair/IKEA_A/voxel.mat", "model/chair/IKEA_B 2/voxel.mat"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_pix3d(tmp_path_factory.mktemp("pix3d"))


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def one_photo(root, picture, mask, **fields):
    """A folder of one photo, whose picture and mask are given."""
    save(root / "img" / "chair" / "1.png", picture)
    save(root / "mask" / "chair" / "1.png", mask)
    save_voxels(root, A, chair())
    return Pix3D.open(write_list(root, [entry("1.png", A, picture.size, **fields)]))


def disc(width=60, height=40, mode="L"):
    """A mask with a full rectangle, 10 high and 20 wide, off the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[5:15, 30:50] = 255
    return Image.fromarray(mask).convert(mode)


def test_everything_about_a_photo(folder):
    data = open_dataset(folder).check()
    assert isinstance(data, Pix3D)
    assert (len(data), data.skipped) == (6, ())
    names = ["A", "B 2", "A", "B 2", "B 2"]
    assert [data.shape_id(i) for i in range(5)] == [f"pix3d/chair/IKEA_{n}/voxel" for n in names]
    assert (data.category(5), data.views(5)) == ("table", 1)
    assert data.image(0, 0).shape == (240, 240, 4)
    assert data.grid(0).shape == data.pooled(0).shape == (32, 32, 32)
    with pytest.raises(ValueError, match="view: got 1"):
        data.image(0, 1)


def test_the_test_set_is_whole_unoccluded_chairs(folder):
    data = open_dataset(folder, "test")
    assert [one.image[-8:] for one in data.photos] == ["0001.jpg", "0002.png", "0003.jpg"]
    assert len(open_dataset(folder, "test", categories=["table"])) == 1
    assert len(open_dataset(folder, categories=["chair"])) == 5
    with pytest.raises(ValueError, match=r"categories: got \['sofa'\]"):
        open_dataset(folder, categories=["sofa"])
    with pytest.raises(ValueError, match="no training list"):
        open_dataset(folder, "train")


def test_a_split_file(folder, tmp_path):
    split = tmp_path / "split.json"
    split.write_text(
        json.dumps({"train": ["table/0001", "lost/1"], "test": ["img/chair/0005.jpg"]})
    )
    data = Pix3D.open(folder, "train", split)
    assert ([data.category(0)], data.split) == (["table"], split)
    assert [one.shape_id for one in data.skipped] == ["lost/1"]
    assert len(Pix3D.open(folder, "test", split)) == 1  # truncated, but asked for by name


def test_voxels_fall_on_the_ray_traced_photo_and_in_no_other_frame(folder):
    """JPEG and PNG, photos wide, high and square, five poses."""
    data = open_dataset(folder)
    for i, one in enumerate(data.photos):
        mask, grid = data.image(i, 0)[..., 3] > 127, data.grid(i)
        fine = read_voxels(folder / one.voxel)
        assert iou(data.projection(i, 0, fine), mask) > 0.95
        right = iou(data.projection(i, 0, grid), mask)
        assert right > 0.86  # 32^3 makes legs thicker
        for wrong in (grid[::-1], grid[:, ::-1], grid[:, :, ::-1], grid.transpose(2, 1, 0)):
            if one.category == "chair":  # the table has little that tells its sides apart
                assert iou(data.projection(i, 0, wrong), mask) < right - 0.01


def test_without_a_pose_there_is_no_projection(folder, tmp_path):
    data = one_photo(tmp_path, Image.new("RGB", (60, 40)), disc(), rot_mat=None)
    assert data.projection(0, 0, data.grid(0)) is None


def test_the_arm_is_on_the_left_and_the_back_behind(folder):
    grid = open_dataset(folder).grid(0)  # the chair of pix3d_folder.py
    assert grid[:, 24:].any()
    assert grid[:16, 24:].sum() > 0.9 * grid[:, 24:].sum()  # the back, at low x
    assert grid[24:, 18:22, 16:].any()
    assert not grid[24:, 18:22, :16].any()  # the arm, at high z


def test_framing_by_hand(tmp_path):
    """A mask 20 x 10 around (40, 10): a square of round(20 / (.68 * 128 / 137)) = 31 pixels."""
    picture = Image.new("RGB", (60, 40), (10, 200, 30))
    data = one_photo(tmp_path, picture, disc())
    image = data.image(0, 0)
    alpha = image[..., 3] > 127
    columns, rows = np.flatnonzero(alpha.any(0)), np.flatnonzero(alpha.any(1))
    assert abs(len(columns) - 240 * 20 / 31) <= 2
    assert abs(len(rows) - 240 * 10 / 31) <= 2
    assert_allclose(image[alpha][:, :3].astype(int), [[10, 200, 30]] * alpha.sum(), atol=2)
    background = data.unmasked().image(0, 0)[..., 3]
    assert (background[50:] == 255).all()  # the photo goes on below
    assert (background[:30] == 0).all()  # the square begins above it


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "LA"])
def test_masks_of_any_kind(mode, tmp_path):
    want = one_photo(tmp_path / "a", Image.new("RGB", (60, 40)), disc()).image(0, 0)
    got = one_photo(tmp_path / "b", Image.new("RGB", (60, 40)), disc(mode=mode)).image(0, 0)
    assert_array_equal(got, want)


def test_a_mask_of_zeros_and_ones(tmp_path):
    dim = disc().point(lambda value: value // 255)
    assert one_photo(tmp_path, Image.new("L", (60, 40)), dim).image(0, 0)[..., 3].any()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_photos_of_any_kind(mode, tmp_path):
    picture = Image.new("RGB", (60, 40), "white").convert(mode)
    save(tmp_path / "img" / "chair" / "1.jpg", picture.convert("RGB" if mode != "CMYK" else mode))
    if mode != "CMYK":
        save(tmp_path / "img" / "chair" / "1.png", picture)
    else:
        picture.convert("RGB").save(tmp_path / "img" / "chair" / "1.png")
    save(tmp_path / "mask" / "chair" / "1.png", disc())
    save_voxels(tmp_path, A, chair())
    both = [entry(name, A, (60, 40)) for name in ("1.png", "1.jpg")]
    data = Pix3D.open(write_list(tmp_path, both)).check()
    assert len(data) == 2
    assert (data.image(0, 0)[data.image(0, 0)[..., 3] > 0][:, :3] > 250).all()


def test_pixels_are_taken_as_stored(tmp_path):
    """EXIF says "turn me"; masks and poses do not know."""
    picture = Image.new("RGB", (60, 40), "blue")
    picture.paste("red", (30, 5, 50, 15))
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "img" / "chair" / "1.jpg", picture, exif=exif, quality=95, subsampling=0)
    save(tmp_path / "mask" / "chair" / "1.png", disc())
    save_voxels(tmp_path, A, chair())
    data = Pix3D.open(write_list(tmp_path, [entry("1.jpg", A, (60, 40))]))
    image = data.image(0, 0)
    inside = image[image[..., 3] == 255]
    assert (inside[:, 0] > 150).mean() > 0.9


def test_sizes_that_differ(tmp_path):
    """The mask of a photo may be smaller; what is framed stays the same."""
    mask = disc().resize((600, 400))
    sizes = {"a": (600, 400), "b": (1200, 800), "c": (3000, 2000)}
    sets = [one_photo(tmp_path / n, Image.new("L", size), mask) for n, size in sizes.items()]
    alphas = [data.image(0, 0)[..., 3] > 127 for data in sets]
    shadows = [data.projection(0, 0, data.grid(0)) for data in sets]
    for other in (1, 2):
        assert iou(alphas[0], alphas[other]) > 0.97
        assert iou(shadows[0], shadows[other]) > 0.97


def test_a_mask_of_other_proportions_is_named(tmp_path):
    turned = one_photo(tmp_path, Image.new("RGB", (40, 60)), disc())
    with pytest.raises(ValueError, match=r"1\.png: got 60x40 pixels, want the proportions"):
        turned.image(0, 0)


def test_what_is_missing_or_broken_is_skipped_and_named(tmp_path):
    entries = [add_photo(tmp_path, f"{n}.png", A, chair()) for n in range(7)]
    save_voxels(tmp_path, A, chair())
    (tmp_path / "img" / "chair" / "0.png").unlink()
    (tmp_path / "mask" / "chair" / "1.png").unlink()
    entries[2]["voxel"] = "model/lost.mat"
    Image.new("L", (160, 160)).save(tmp_path / "mask" / "chair" / "3.png")
    (tmp_path / "img" / "chair" / "4.png").write_bytes(b"\x89PNG")
    entries[5]["voxel"] = "pix3d.json"
    del entries[6]["category"]
    calls = []
    data = Pix3D.open(write_list(tmp_path, entries))
    assert [one.reason for one in data.skipped] == [
        "got category None, want a word",
        "no img/chair/0.png",
        "no mask/chair/1.png",
        "no model/lost.mat",
    ]
    checked = data.check(progress=lambda count, total: calls.append((count, total)))
    assert len(checked) == 0
    reasons = [one.reason for one in checked.skipped[4:]]
    for reason, says in zip(reasons, ["empty mask", "4.png", "no MATLAB file"], strict=True):
        assert says in reason
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_grids_are_read_once_and_shared_by_the_photos_of_a_shape(tmp_path):
    folder = make_pix3d(tmp_path)
    data = open_dataset(folder)
    want = data.grid(0)
    data.grid(0)[:] = True
    (folder / A).unlink()
    assert_array_equal(data.grid(2), want)
    assert data.check().skipped == ()


def test_axes_by_name(tmp_path):
    """One voxel far to the left, outward and up, and one at the other end."""
    left_outward_up = np.zeros((128,) * 3, np.uint8)
    left_outward_up[100, 20, 60] = left_outward_up[1, 2, 3] = 1
    savemat(tmp_path / "voxel.mat", {"voxel": left_outward_up})
    assert np.argwhere(read_voxels(tmp_path / "voxel.mat")).tolist() == [[2, 3, 1], [20, 60, 100]]


def test_the_longest_side_spans_the_grid_and_the_others_are_centered():
    """By hand: 100 long, 32/100 a cell; 50 high -> 16 cells; 30 wide -> 9.6, centered, so 10."""
    full = np.zeros((128,) * 3, bool)
    full[3:103, 70:120, 11:41] = True
    want = np.zeros((32,) * 3, bool)
    want[:, 8:24, 11:21] = True
    assert_array_equal(fitted(full), want)


def test_fitting_keeps_mirror_symmetry_and_fills_cavities():
    rng = np.random.default_rng(0)
    full = np.zeros((128,) * 3, bool)
    full[10:110, 20:90, 30:95] = rng.random((100, 70, 65)) < 0.01
    full |= full[:, :, ::-1]
    assert_array_equal(fitted(full), fitted(full)[:, :, ::-1])
    shell = np.zeros((128,) * 3, bool)
    shell[:] = True
    shell[8:-8, 8:-8, 8:-8] = False
    assert fitted(shell).all()


def test_fitting_equals_the_loops():
    rng = np.random.default_rng(1)
    full = np.zeros((128,) * 3, bool)
    full[10:109, 20:87, 30:94] = rng.random((99, 67, 64)) < 0.0005
    full[[10, 108], 50, 60] = True
    places = np.argwhere(full)
    middle = (places.min(0) + places.max(0) + 1) / 2
    want = np.zeros((32,) * 3, bool)
    for place in places:
        for nudge in product((-1e-6, 1e-6), repeat=3):  # on a border: both cells
            want[tuple(np.floor((place + 0.5 - middle) * 32 / 99 + 16 + nudge).astype(int))] = True
    assert want.sum() > 100
    assert_array_equal(fitted(full), want)


@pytest.mark.parametrize(
    ("voxel", "says"),
    [
        (np.zeros((128,) * 3, np.uint8), "an empty grid"),
        (np.full((128,) * 3, 2, np.uint8), "other than 0 and 1"),
        (np.full((128,) * 3, np.nan, np.float32), "other than 0 and 1"),
        (np.ones((64,) * 3, np.uint8), r"got voxels \(64, 64, 64\)"),
        (np.ones((128, 128), np.uint8), r"got voxels \(128, 128\)"),
    ],
)
def test_voxels_that_are_none(voxel, says, tmp_path):
    savemat(tmp_path / "voxel.mat", {"voxel": voxel}, do_compression=True)
    with pytest.raises(ValueError, match=rf"voxel\.mat: .*{says}"):
        read_voxels(tmp_path / "voxel.mat")
