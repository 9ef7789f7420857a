"""Pictures of any kind become upright RGBA; photos by name, folder and pattern."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mem3d.data.images.io as io_module
from mem3d.data.images.io import (
    MAX_NAME,
    MAX_RAM,
    distinct_names,
    find_photos,
    list_images,
    most_pixels,
    read_image,
    to_rgba,
)

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


def png(depth, color, pixels, transparent):
    """One row of pixels, as bytes, and the color that is transparent, by hand."""

    def chunk(kind, data):
        length, check = (struct.pack(">I", n) for n in (len(data), zlib.crc32(kind + data)))
        return length + kind + data + check

    channels = 3 if color == 2 else 1
    width = len(pixels) * 8 // (depth * channels)
    head = struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0)
    data = zlib.compress(b"\0" + pixels)
    chunks = ((b"IHDR", head), (b"tRNS", transparent), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks)


@pytest.mark.parametrize(
    ("depth", "color", "pixels", "transparent", "alpha"),
    [
        (1, 0, b"\xf0", b"\0\1", [0] * 4 + [255] * 4),
        (2, 0, b"\xe4", b"\0\3", [0, 255, 255, 255]),  # levels 3, 2, 1, 0
        (4, 0, b"\xf3", b"\0\x0f", [0, 255]),
        (8, 0, b"\xff\3", b"\0\xff", [0, 255]),
        (16, 0, b"\xff\xff\3\0", b"\xff\xff", [0, 255]),
        (16, 0, b"\xff\xff\3\0", b"\3\0", [255, 0]),
        (8, 2, b"\xff\xff\xff\3\0\3", b"\0\xff" * 3, [0, 255]),
        (16, 2, b"\xff\xff" * 3 + b"\3\0" * 3, b"\3\0" * 3, [255, 0]),
    ],
)
def test_a_transparent_color_of_any_depth(depth, color, pixels, transparent, alpha, tmp_path):
    (tmp_path / "a.png").write_bytes(png(depth, color, pixels, transparent))
    assert read_image(tmp_path / "a.png")[0, :, 3].tolist() == alpha


def test_a_deep_picture_with_a_transparent_ground(real_data):
    pixels = read_image(real_data / "odd_files" / "photos" / "grey16_trns.png")
    same = read_image(real_data / "odd_files" / "photos" / "ref_rgba.png")
    np.testing.assert_array_equal(pixels[..., 3], same[..., 3])


# 8900 x 8900 pixels of one color.
FLAT_WEBP = "524946461e000000574542505650384c110000002fc3e2b0080750e42ad4a3ff8188e87f0000"


def test_what_reading_would_take_is_bounded_in_bytes(tmp_path):
    """Two formats of as many pixels; WebP's decoder takes twice as much for each."""
    (tmp_path / "a.webp").write_bytes(bytes.fromhex(FLAT_WEBP))
    with pytest.raises(ValueError, match=r"a\.webp: got 8900x8900 pixels, want at most 30504"):
        read_image(tmp_path / "a.webp")


PEAK = """
import re, sys
from pathlib import Path
from mem3d.data.images.io import read_image


def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
read_image(sys.argv[1])
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("png", {"compress_level": 1}),
        ("jpg", {"quality": 50}),
        ("jpg", {"quality": 50, "progressive": True, "subsampling": 0}),
        ("webp", {"lossless": True, "method": 0, "quality": 0}),
        ("avif", {"speed": 10, "quality": 20, "subsampling": "4:4:4"}),
        ("tif", {"compression": "tiff_lzw"}),
        ("gif", {}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_reading_takes_no_more_than_is_reckoned_with(ending, options, tmp_path):
    """Noise of 9 million pixels, in a process of its own; 32 MB for what else that does."""
    coarse = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(coarse).resize((3000, 3000)).save(path, **options)
    words = [sys.executable, "-c", PEAK, str(path)]
    peak = int(subprocess.run(words, check=True, capture_output=True, timeout=120).stdout)
    with Image.open(path) as image:
        bytes_a_pixel = MAX_RAM // most_pixels(image)
    assert peak <= bytes_a_pixel * 3000 * 3000 + path.stat().st_size + (32 << 20)


def test_a_tiff_whose_tile_is_larger_than_itself(tmp_path):
    """10 x 10 pixels in a tile of 30000 x 30000: 2.7 GB, of which a file may hold next to none."""
    sides = {256: 10, 257: 10, 322: 30000, 323: 30000}
    tags = sides | {258: 8, 259: 8, 262: 1, 277: 1, 324: 150, 325: 9}
    rows = [struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags)]
    head = b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    (tmp_path / "a.tif").write_bytes(head.ljust(150, b"\0") + zlib.compress(b""))
    with pytest.raises(ValueError, match="got 30000x30000 pixels, want at most"):
        read_image(tmp_path / "a.tif")


def test_a_picture_handed_over_is_bounded_too(tmp_path):
    (tmp_path / "a.webp").write_bytes(bytes.fromhex(FLAT_WEBP))
    with Image.open(tmp_path / "a.webp") as image, pytest.raises(ValueError, match="image: got"):
        to_rgba(image)


def test_bands_are_one_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(io_module, "_BAND", 7)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4), np.uint8)
    np.testing.assert_array_equal(saved(tmp_path / "a.png", Image.fromarray(pixels)), pixels)
    real = Image.fromarray(np.array([[0.5, 1], [2, 0], [255, 3]], np.float32))
    assert saved(tmp_path / "a.tif", real)[..., 0].tolist() == [[0, 1], [2, 0], [255, 3]]


def test_heic_names_the_package_that_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(40))
    with pytest.raises(ValueError, match=r"a\.heic: got a HEIC picture.*pillow-heif.*\.\[heic\]"):
        read_image(tmp_path / "a.heic")
    assert find_photos([tmp_path]).photos == [tmp_path / "a.heic"]


def test_heic_is_read_where_its_package_is(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    red = Image.new("RGB", (64, 32), RED)
    pillow_heif.from_pillow(red).save(tmp_path / "a.heic", quality=90)
    pixels = read_image(tmp_path / "a.heic")
    assert pixels.shape == (32, 64, 4)
    assert pixels[5, 5, 0] > 240 > 15 > pixels[5, 5, 2]
    (tmp_path / "a.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"a\.heic: got a damaged HEIC picture"):
        read_image(tmp_path / "a.heic")


@pytest.mark.parametrize(
    "levels",
    [
        np.array([[True, False]]),
        np.array([[255, 0]], np.uint8),
        np.array([[[255], [0]]], np.uint8),
        np.array([[255, 0]], np.int64),
    ],
    ids=["bool", "bytes", "one channel", "integers"],
)
def test_gray_arrays_are_pictures(levels):
    assert to_rgba(levels).tolist() == [[[255] * 4, [0, 0, 0, 255]]]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((2, 2)), "mask: got float64"),
        (np.full((2, 2), 256), "mask: got int64"),
        (np.full((2, 2), -1, np.int8), "mask: got int8"),
        (np.zeros((2, 2, 2), np.uint8), r"mask: got shape \(2, 2, 2\)"),
        (np.zeros((0, 2), np.uint8), r"mask: got shape \(0, 2\)"),
        ("absent.png", "absent"),
        (7, "mask: got int"),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else None,
)
def test_what_is_no_picture_is_named_as_it_was_called(image, says):
    with pytest.raises((ValueError, OSError), match=says):
        to_rgba(image, "mask")


def test_a_long_name_leaves_room_for_what_is_written():
    """Files' names have at most 255 bytes; what is written beside has 28 more than its stem."""
    photos = [Path("x", f"{'ü' * 124}{end}.png") for end in "ab"]
    names = distinct_names(photos)
    assert names[1] == f"{names[0]}-2"
    assert all(len(os.fsencode(f".{name}.input.png.01234567.partial")) <= 255 for name in names)
