"""Pictures of any kind become upright RGBA; photos by name, folder and pattern."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mem3d.data.images.io import MAX_NAME, distinct_names, find_photos, list_images, read_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(path, image, **options):
    image.save(path, **options)
    return read_image(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.JPG", "notes.txt", "in/c.png", "in/deep/d.png", "odd[1].png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()


def test_rgba_is_kept(tmp_path):
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert (saved(tmp_path / "a.png", Image.fromarray(pixels)) == pixels).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK"])
def test_a_picture_without_alpha_is_opaque(mode, tmp_path):
    name = "a.tif" if mode == "CMYK" else "a.png"
    pixels = saved(tmp_path / name, Image.new("RGB", (3, 2), "white").convert(mode))
    assert pixels.shape == (2, 3, 4)
    assert (pixels >= 254).all()


def test_gray_with_alpha(tmp_path):
    pixels = saved(tmp_path / "a.png", Image.new("LA", (1, 1), (100, 7)))
    assert pixels[0, 0].tolist() == [100, 100, 100, 7]


def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path):
    deep = Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16))
    assert saved(tmp_path / "a.png", deep)[0, :, 0].tolist() == [0, 128, 255]


def test_a_float_picture_in_0_to_1(tmp_path):
    real = Image.fromarray(np.array([[0.0, 1.0, np.nan]], np.float32))
    assert saved(tmp_path / "a.tif", real)[0, :, 0].tolist() == [0, 255, 0]


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (32, 16), RED)
    image.paste(BLUE, (16, 0, 32, 16))  # red left, blue right
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: turn clockwise to see it upright
    pixels = saved(tmp_path / "a.jpg", image, exif=exif, quality=95, subsampling=0)
    assert pixels.shape == (32, 16, 4)
    assert pixels[4, 8, 0] > 200 > 100 > pixels[4, 8, 2]  # red is now on top
    assert pixels[28, 8, 2] > 200 > 100 > pixels[28, 8, 0]


def test_a_large_picture_is_refused_before_decoding(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: got 10x10 pixels, want at most 99"):
        Image.new("L", (10, 10)).save(tmp_path / "a.png")
        read_image(tmp_path / "a.png", max_pixels=99)


def test_a_picture_beyond_pils_own_limit_is_a_valueerror(tmp_path):
    (tmp_path / "bomb.ppm").write_bytes(b"P6\n60000 60000\n255\n")
    with pytest.raises(ValueError, match=r"bomb\.ppm"):
        read_image(tmp_path / "bomb.ppm")


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match="known kind"):
        read_image(tmp_path / "a.eps")


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 3), color) for color in (RED, BLUE)]
    for name in ("a.gif", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        pixels = read_image(tmp_path / name)
        assert pixels.shape == (3, 4, 4)
        assert pixels[0, 0, 0] > 240 > 15 > pixels[0, 0, 2]


def test_a_palettes_transparent_color_is_a_mask(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    pixels = saved(tmp_path / "a.png", image, transparency=1)
    assert pixels[0].tolist() == [[255, 0, 0, 255], [0, 0, 255, 0]]


def test_print_colors(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # no cyan, all magenta, all yellow: red
    pixels = saved(tmp_path / "a.jpg", image, quality=95)
    assert pixels[0, 0, 0] > 240 > 15 > pixels[0, 0, 1]


def test_a_single_pixel(tmp_path):
    assert saved(tmp_path / "a.bmp", Image.new("RGB", (1, 1), RED)).tolist() == [[[*RED, 255]]]


def test_a_folders_pictures_are_told_from_its_other_files(tmp_path):
    for name in ("b.JPG", "a.png", ".hidden.png", "notes.txt", "model.glb"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    pictures, others = list_images(tmp_path)
    assert [path.name for path in pictures] == ["a.png", "b.JPG"]
    assert [path.name for path in others] == ["model.glb", "notes.txt"]
    with pytest.raises(ValueError, match="absent"):
        list_images(tmp_path / "absent")


@pytest.mark.filterwarnings("ignore")  # PIL's own, about damaged metadata
@given(st.data())
def test_a_damaged_picture_gives_pixels_or_a_valueerror(tmp_path_factory, data):
    buffer = io.BytesIO()
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
    Image.new("RGB", (8, 8), RED).save(buffer, kind)
    whole = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    try:
        assert read_image(path, max_pixels=10_000).shape[2] == 4
    except ValueError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize(
    ("wanted", "photos"),
    [
        (["b.JPG", "a.png"], ["b.JPG", "a.png"]),
        (["in"], ["in/c.png"]),
        (["*.png"], ["a.png", "odd[1].png"]),
        (["**/*.png"], ["a.png", "in/c.png", "in/deep/d.png", "odd[1].png"]),
        (["?.*", "a.png", "in"], ["a.png", "b.JPG", "in/c.png"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["absent.png"], ["absent.png"]),  # opening it tells what is wrong
    ],
)
def test_what_words_stand_for(wanted, photos, here):
    found = find_photos(wanted)
    assert [str(path) for path in found.photos] == photos
    assert {str(path) for path in found.named} == {w for w in wanted if w in photos}


def test_other_files_are_told_apart(here):
    assert [path.name for path in find_photos(["*"]).other_files] == ["notes.txt"]


@pytest.mark.parametrize("wanted", ["*.webp", "*.txt", "in/deep/*/*"])
def test_a_pattern_that_fits_no_picture_is_an_error(wanted, here):
    with pytest.raises(ValueError, match="no picture that fits"):
        find_photos([wanted])


@pytest.mark.parametrize(
    ("photos", "names"),
    [
        (["a.png", "in/b.png"], ["a", "b"]),
        (["x/m1/r/00.png", "x/m2/r/00.png", "x/01.png"], ["m1_r_00", "m2_r_00", "01"]),
        (["x/1/00.png", "x/2/00.png", "y/1/00.png"], ["x_1_00", "x_2_00", "y_1_00"]),
        (["a.jpg", "a.png", "a-2.png"], ["a", "a-2", "a-2-2"]),
        (["in/a.jpg", "in/a.png", "on/a.png"], ["in_a", "in_a-2", "on_a"]),
        (["a/b.png", "c/b.png", "a_b.png"], ["a_b", "c_b", "a_b-2"]),
        (["/a.png", "/in/a.png"], ["a", "in_a"]),
        (["/in/../on/a.png", "/in/a.png"], ["on_a", "in_a"]),
        (["/.in/a.png", "/on/a.png"], ["in_a", "on_a"]),
    ],
)
def test_names_tell_photos_apart(photos, names):
    assert distinct_names([Path(photo) for photo in photos]) == names


def test_folders_as_long_as_they_may_be():
    """A name and its ending have to fit 255 bytes, of which a letter takes up to four."""
    photos = [Path("/", first, "ü" * 120, "a.png") for first in "xy"]
    names = distinct_names(photos)
    assert names[1] == f"{names[0]}-2"
    assert len(os.fsencode(names[0])) <= MAX_NAME and names[0].endswith("ü_a")
    long = "b" * 200
    assert distinct_names([Path("x", f"{long}.png"), Path("y", f"{long}.png")])[0] == long


words = st.text("ab_-2", min_size=1, max_size=3)


@given(st.lists(st.lists(words, min_size=1, max_size=4), unique_by=tuple))
def test_no_two_names_are_alike(places):
    names = distinct_names([Path("/", *parts[:-1], f"{parts[-1]}.png") for parts in places])
    assert len(set(names)) == len(places)
    assert not any("/" in name for name in names)
    stems = [parts[-1] for parts in places]
    for stem, name in zip(stems, names, strict=True):
        assert stem in name and (stems.count(stem) > 1 or name.startswith(stem))
