"""mem3d-cli reconstruct, and pictures of augmentation, as a user calls them."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from typer.testing import CliRunner

import mem3d
from mem3d.bundled import example_files
from mem3d_cli.mem3d.app import app
from tests.helpers.r2n2_folder import picture
from tests.helpers.untrained_run import SOURCES, make_run


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def save(path, rgba, ground=None):
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(rgba)
    if ground is not None:
        canvas = Image.new("RGBA", image.size, ground)
        image = Image.alpha_composite(canvas, image).convert("RGB")
    image.save(path)
    return path


@pytest.fixture(scope="module")
def run(made_up_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = call("train", folder, "--data", made_up_data, "--preset", "tiny", "--quiet")
    assert done.exit_code == 0, done.output
    return folder


def rows_of(run, tmp_path, *arguments):
    done = call("reconstruct", run, *arguments, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["photos"], done.stderr


def test_without_a_run_the_bundled_model_answers(tmp_path):
    photos = example_files()[:2]
    done = call("reconstruct", photos[0], "-o", tmp_path / "shape.glb", "--quiet")
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "shape.glb").read_bytes()[:4] == b"glTF"
    done = call("reconstruct", *photos, "-o", tmp_path / "shapes", "--json", "--quiet")
    assert [row["photo"] for row in json.loads(done.stdout)["photos"]] == [*map(str, photos)]
    with mem3d.load() as bundled:
        sources = set(bundled.memory.sources)
    for row in json.loads(done.stdout)["photos"]:
        assert {prior["source"] for prior in row["recalled"]} <= sources


def test_a_folder_is_gone_through_in_order(run, tmp_path):
    photos = tmp_path / "photos"
    for name in ("b.png", "a.png"):
        save(photos / name, picture(1))
    (photos / "notes.txt").write_text("no picture")
    (photos / "broken.png").write_bytes(b"no picture")
    rows, told = rows_of(run, tmp_path, photos)
    assert [row["photo"] for row in rows] == [str(photos / "a.png"), str(photos / "b.png")]
    assert "notes.txt" in told
    assert "broken.png" in told


def test_patterns_batches_and_formats(run, tmp_path):
    for number in range(3):
        save(tmp_path / "photos" / f"{number}.png", picture(number))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    options = (
        "--batch",
        "2",
        "-f",
        "ply",
        "-f",
        "npz",
        "--threshold",
        "0.4",
        "--surface",
        "blocky",
    )
    pattern = tmp_path / "photos" / "*.png"
    done = call("reconstruct", run, pattern, *options, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["photo"][-5:] for row in told["photos"]] == ["0.png", "1.png", "2.png"]
    [skipped] = told["skipped"]
    assert skipped["photo"].endswith("broken.png") and "no picture" in skipped["reason"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{n}.{kind}" for n in range(3) for kind in ("ply", "npz", "png")}
    with np.load(tmp_path / "out" / "2.npz") as alone:
        assert alone["grid"].sum() == told["photos"][2]["voxels"]


def test_several_runs_answer_together(run, made_up_data, tmp_path):
    save(tmp_path / "a.png", picture(1))
    other = tmp_path / "other"
    settings = ("--preset", "tiny", "--seed", "1", "--set", "model.refiner=4", "--quiet")
    assert call("train", other, "--data", made_up_data, *settings).exit_code == 0
    found = []
    for options in ((run,), (other,), (run, "--ensemble", other)):
        first, *rest = options
        rows, _ = rows_of(first, tmp_path, tmp_path / "a.png", *rest, "--format", "npz")
        with np.load(tmp_path / "out" / "a.npz") as file:
            found.append((rows[0]["recalled"], file["occupancy"].astype(np.float32)))
    assert found[2][0] == found[0][0]
    low, high = np.minimum(found[0][1], found[1][1]), np.maximum(found[0][1], found[1][1])
    assert (low < found[2][1]).all() and (found[2][1] < high).all()
    twice = call(
        "reconstruct", run, tmp_path / "a.png", "--ensemble", run, "--out", tmp_path / "out"
    )
    assert "twice, want each run once" in str(twice.exception)
    missing = ("--ensemble", tmp_path / "none")
    done = call("reconstruct", run, tmp_path / "a.png", *missing, "--out", tmp_path / "out")
    assert "none: got nothing there" in str(done.exception)


def test_recalled_shapes_are_told_by_their_category(tmp_path):
    known = make_run(tmp_path / "known")
    photo = save(tmp_path / "a.png", picture(1))
    [row], _ = rows_of(known, tmp_path, photo)
    told = {one["source"]: one["category"] for one in row["recalled"]}
    assert told == dict(zip(SOURCES, ["chair", "aeroplane", None], strict=True))
    lines = call("reconstruct", known, photo, "--out", tmp_path / "out").stdout
    assert "chair long-mode…ame-0 (" in lines and "no source (" in lines


def test_nothing_readable_is_an_error_and_an_empty_shape_is_told(run, tmp_path):
    save(tmp_path / "photos" / "a.png", picture(0)).write_bytes(b"no picture")
    done = call("reconstruct", run, tmp_path / "photos", "--out", tmp_path / "out")
    assert "want at least one" in str(done.exception)
    photo = save(tmp_path / "photos" / "a.png", picture(0))
    [row], told = rows_of(run, tmp_path, photo, "--threshold", "0.999")
    assert row["voxels"] == 0 and "try a lower --threshold" in told
    assert row["files"] == [str(tmp_path / "out" / "a.png")]


def test_an_interrupt_leaves_whole_files_and_one_line(run, tmp_path, monkeypatch):
    from mem3d.inference import reconstruct

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(reconstruct, "save_png", interrupted)
    photo = save(tmp_path / "a.png", picture(0))
    done = call("reconstruct", run, photo, "--out", tmp_path / "out", "-f", "npz")
    assert done.exit_code == 130
    assert "interrupted; 0 photos done" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.npz"]


@pytest.mark.parametrize(("option", "want"), [("auto", "cut"), ("cut", "cut"), ("keep", "kept")])
def test_what_became_of_the_background_is_told(option, want, run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1), ground="white")
    [row], told = rows_of(run, tmp_path, photo, "--background", option, "-q")
    assert row["background"] == want
    assert "no mask" in told


def test_a_mask_file_or_a_folder_of_them(run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1), ground="white")
    mask = save(tmp_path / "masks" / "a.gif", picture(1)[..., 3])
    for given in (mask, tmp_path / "masks"):
        [row], told = rows_of(run, tmp_path, photo, "--mask", given)
        assert row["background"] == "masked"
        assert not told


def test_photos_are_never_written_over(run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1))
    done = call("reconstruct", run, tmp_path, "--out", tmp_path)
    assert "want another folder" in str(done.exception)
    np.testing.assert_array_equal(np.asarray(Image.open(photo)), picture(1))


@pytest.mark.parametrize("name", ["a.png", "a.input.png"])
def test_other_pictures_are_never_written_over(name, run, tmp_path, monkeypatch):
    """Neither those beside the photo, nor any elsewhere; it is said before the network is read."""

    def loaded(*arguments, **options):
        raise AssertionError("it read the network")

    monkeypatch.setattr("mem3d.inference.reconstructor.load", loaded)
    photo = save(tmp_path / "a.bmp", picture(1), ground="white")
    other = save(tmp_path / "out" / name, picture(2))
    before = other.read_bytes()
    done = call("reconstruct", run, photo, "--inputs", "--out", tmp_path / "out")
    assert f"{other}: got a picture there that this command did not make" in str(done.exception)
    assert other.read_bytes() == before


def test_the_same_command_replaces_its_own_pictures(run, tmp_path):
    """In the photo's own folder; a picture that it would not write is not in its way."""
    photo = save(tmp_path / "out" / "a.bmp", picture(1), ground="white")
    save(tmp_path / "out" / "b.png", picture(2))
    [first], _ = rows_of(run, tmp_path, photo, "--inputs")
    Image.open(tmp_path / "out" / "a.png").verify()
    again, _ = rows_of(run, tmp_path, photo, "--inputs", "--threshold", "0.4")
    assert again[0]["files"] == first["files"]
    save(tmp_path / "out" / "a.input.png", picture(2))
    rows_of(run, tmp_path, photo)  # inputs are not asked for


@pytest.mark.parametrize("batch", [1, 16])
def test_a_broken_photo_that_was_named_comes_after_what_is_done(batch, run, tmp_path):
    fine, late = (save(tmp_path / f"{name}.png", picture(1)) for name in ("fine", "late"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    photos = (fine, tmp_path / "broken.png", late)
    words = ("reconstruct", run, *photos, "--out", tmp_path / "out", "--batch", batch)
    done = call(*words)
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{fine}: masked; ") and "late" not in done.stdout
    assert "broken.png: got no picture" in str(done.exception)
    told = json.loads(call(*words, "--json").stdout)
    assert [row["photo"] for row in told["photos"]] == [str(fine)]
    assert [one["photo"] for one in told["skipped"]] == [str(tmp_path / "broken.png")]
    assert not (tmp_path / "out" / "late.png").exists()


def test_photos_of_one_name_are_told_apart(run, tmp_path):
    for model in ("m1", "m2"):
        (tmp_path / model / "rendering").mkdir(parents=True)
        save(tmp_path / model / "rendering" / "00.png", picture(1))
    rows, _ = rows_of(run, tmp_path, tmp_path / "**" / "*.png")
    made = tmp_path / "out" / "m2_rendering_00.png"
    assert rows[1]["files"][-1] == str(made) and made.is_file()


def test_what_the_network_was_shown_can_be_kept(run, tmp_path):
    [row], _ = rows_of(run, tmp_path, save(tmp_path / "a.png", picture(1)), "--inputs")
    assert row["files"][-1] == str(tmp_path / "out" / "a.input.png")
    with Image.open(row["files"][-1]) as shown:
        assert shown.size == (64, 64)


def test_a_box_chooses_the_object(run, tmp_path):
    both = np.concatenate([picture(1), picture(2)], axis=1)
    photo = save(tmp_path / "both.png", both)
    [row], _ = rows_of(run, tmp_path, photo, "--box", "137,0,274,137", "--inputs")
    [alone], _ = rows_of(run, tmp_path, save(tmp_path / "one.png", picture(2)), "--inputs")
    with Image.open(row["files"][-1]) as one, Image.open(alone["files"][-1]) as two:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--box", "1,2,3"], "want left,top,right,bottom"),
        (["--box", "9,9,2,2"], "want left < right"),
        (["--box", "500,500,600,600"], "a.png: box: got"),
        (["--box", "10,10,138,90"], "a.png: box: got 10,10,138,90, want left, top, right, bottom"),
        (["--mask", "small.png"], "a.png: mask: got 4x4 pixels, want the photo's 137x137"),
        (["--mask", "dark.png"], "want the object in white (dark.png)"),
        (["--mask", "empty"], "got no mask for a.png"),
        (["--mask", "absent.png"], "absent.png"),
        (["b.png", "--box", "1,1,9,9"], "want one for a box"),
        (["empty"], "got no picture in it"),
        (["clear.png"], "clear.png: photo: got an empty mask"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_name_the_file_and_what_to_do(options, says, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        save(tmp_path / name, picture(1))
    save(tmp_path / "small.png", np.full((4, 4), 255, np.uint8))
    save(tmp_path / "clear.png", np.zeros((9, 9, 4), np.uint8))
    save(tmp_path / "dark.png", np.zeros((137, 137), np.uint8))
    (tmp_path / "empty").mkdir()
    done = call("reconstruct", run, "a.png", *options, "--quiet")
    assert isinstance(done.exception, ValueError | OSError)
    assert says in str(done.exception)
    has_result = options == ["clear.png"]  # a.png comes before it, and is done
    assert (tmp_path / "reconstructions").exists() == has_result


def test_a_white_mask_is_a_mask(run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1), ground="white")
    white = save(tmp_path / "white.png", np.full((137, 137), 255, np.uint8))
    [row], told = rows_of(run, tmp_path, photo, "--mask", white)
    assert row["background"] == "masked"
    assert row["doubts"] == ["touches the border", "nearly all of the picture"]
    assert "no mask" not in told


def test_a_doubtful_cut_out_is_told_everywhere(run, tmp_path):
    """In the list, on stderr, in --json and, as a line on top, in the picture; the status is 0."""
    two = np.concatenate([picture(1), picture(2)[:, 30:]], axis=1)
    whole, pair = save(tmp_path / "whole.png", picture(1)), save(tmp_path / "pair.png", two)
    done = call("reconstruct", run, whole, pair, "--out", tmp_path / "lines")
    assert done.exit_code == 0
    assert f"{pair}: masked, doubtful: several pieces; " in done.stdout
    assert f"{whole}: masked; " in done.stdout
    assert f"{pair}: doubtful cut-out: several pieces; look at it with --inputs" in done.stderr
    assert str(whole) not in done.stderr
    rows, _ = rows_of(run, tmp_path, whole, pair, "--quiet")
    assert [row["doubts"] for row in rows] == [[], ["several pieces"]]


@pytest.mark.parametrize("name", ["chair.stl", "chair.GLB", "new/chair.npz", "chair.png"])
def test_a_file_name_with_a_known_ending_is_a_file(name, run, tmp_path):
    photo = save(tmp_path / "in" / "chair.png", picture(1))
    out = tmp_path / "shapes" / name
    done = call("reconstruct", run, photo, "--out", out, "--inputs", "--json")
    assert done.exit_code == 0, done.output
    [row] = json.loads(done.stdout)["photos"]
    assert row["files"] == [str(out), str(out.with_name("chair.input.png"))]
    assert {path.name for path in out.parent.iterdir()} == {out.name, "chair.input.png"}
    starts = {".glb": b"glTF", ".npz": b"PK", ".png": b"\x89PNG"}
    assert out.read_bytes().startswith(starts.get(out.suffix.lower(), b""))


@pytest.mark.parametrize("name", ["chair.step", "chair.GLTF", "chair.jpg"])
def test_a_file_of_a_kind_that_is_not_written_is_refused(name, run, tmp_path):
    photo = save(tmp_path / "in.png", picture(1))
    done = call("reconstruct", run, photo, "--out", tmp_path / name)
    assert done.exit_code == 1 and "want one of" in str(done.exception)
    assert not (tmp_path / name).exists()


def test_a_body_to_print_is_written_and_what_was_done_to_it_is_told(run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1))
    [row], _ = rows_of(run, tmp_path, photo, "--print-size", "4in", "--threshold", "0.05")
    assert [path[-4:] for path in row["files"]] == [".stl", ".3mf", ".png"]
    assert max(row["to_print"]["size"]) == pytest.approx(101.6)
    assert trimesh.load(row["files"][0]).extents == pytest.approx(row["to_print"]["size"])
    listed = call("reconstruct", run, photo, "--out", tmp_path / "a.3mf", "--threshold", "0.05")
    assert f"to print: {' x '.join(f'{s / 1.016:.0f}' for s in row['to_print']['size'])} mm" in (
        listed.stdout
    )
    [row], told = rows_of(run, tmp_path, photo, "--print-size", "9cm", "--threshold", "0.999")
    assert (row["to_print"], "there is no mesh" in told) == (None, True)
    assert [path[-4:] for path in row["files"]] == [".png"]
    [row], _ = rows_of(run, tmp_path, photo)
    assert row["to_print"] is None
    [row], _ = rows_of(run, tmp_path, photo, "--print-height", "7cm", "--threshold", "0.05")
    assert row["to_print"]["size"][2] == pytest.approx(70)
    assert trimesh.load(row["files"][0]).extents == pytest.approx(row["to_print"]["size"])


def test_a_picture_shows_what_is_printed(run, tmp_path):
    """A row more than without a size, and the printed body's words on top."""
    photo = save(tmp_path / "a.png", picture(1))
    heights = []
    for options in (["--format", "stl"], ["--print-size", "9cm"]):
        [row], _ = rows_of(run, tmp_path, photo, *options, "--threshold", "0.05")
        with Image.open(row["files"][-1]) as drawn:
            heights.append(drawn.height)
    assert heights[1] > heights[0] + 137


def test_an_stl_without_a_size_is_said_to_be_tiny(run, tmp_path):
    photos = [save(tmp_path / "in" / f"{name}.png", picture(1)) for name in "ab"]
    for words, says in (
        ((photos[0], "--format", "stl"), "a.stl: at most 1 mm long in a slicer; --print-size"),
        ((*photos, "--format", "stl"), "2 .stl files: at most 1 mm long in a slicer"),
        ((photos[0], "--format", "stl", "--print-size", "9cm"), None),
        ((photos[0], "--format", "obj"), None),
    ):
        _, stderr = rows_of(run, tmp_path, *words, "--threshold", "0.05")
        assert (says or "in a slicer") in stderr if says else "in a slicer" not in stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--print-size", "100"], "want a number with its unit, such as 100mm, 100cm or 100in"),
        (["--print-size", "3m"], "want a number with its unit, such as 100mm, from 10mm to 2000mm"),
        (["--print-size", "3mm"], "want from 10mm to 2000mm"),
        (["--print-size", "9cm", "--format", "glb"], "got glb to write, want stl or 3mf as well"),
        (["--print-height", "9"], "print height: got '9', want a number with its unit"),
        (["--print-height", "9cm", "--format", "glb"], "print-height: got glb to write"),
        (["--print-height", "9cm", "--print-size", "9cm"], "got --print-height too, want one"),
        (["--print-size", "9cm", "--out", "a.ply"], "got ply to write, want stl or 3mf as well"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_print_size_that_cannot_be_is_refused_at_once(options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mem3d.inference.reconstructor.load", None)
    make_run(tmp_path / "run")
    done = call("reconstruct", "run", save(tmp_path / "a.png", picture(1)), *options)
    assert done.exit_code == 1 and says in str(done.exception)


def test_a_file_is_for_one_photo_and_one_format(run, tmp_path):
    photo = save(tmp_path / "a.png", picture(1))
    stl = tmp_path / "a.stl"
    done = call("reconstruct", run, photo, save(tmp_path / "b.png", picture(2)), "--out", stl)
    assert "a.stl: got one file for 2 photos, want a folder" in str(done.exception)
    done = call("reconstruct", run, photo, "--out", stl, "--format", "obj")
    assert "a.stl: got one file and --format obj, want a folder" in str(done.exception)
    done = call("reconstruct", run, photo, "--out", photo)
    assert "a.png: got a photo there" in str(done.exception)
    done = call("reconstruct", run, photo, "--out", stl, "--threshold", "0.999")
    assert "or there is no shape" in str(done.exception) and not stl.exists()
    assert call("reconstruct", run, photo, "--out", stl, "--format", "stl").exit_code == 0
    assert stl.is_file()
    (tmp_path / "old.glb").mkdir()  # a folder that is there stays one
    assert call("reconstruct", run, photo, "--out", tmp_path / "old.glb").exit_code == 0
    assert (tmp_path / "old.glb" / "a.glb").is_file()


def test_a_photo_with_as_long_a_name_as_may_be(run, tmp_path):
    photo = save(tmp_path / f"{'a' * 251}.png", picture(1))
    formats = ("--format", "binvox", "--format", "glb", "--inputs")
    [row], _ = rows_of(run, tmp_path, photo, *formats)
    assert [path[-9:] for path in row["files"]] == [
        f"{'a' * (9 - len(end))}{end}"[-9:] for end in (".binvox", ".glb", ".png", ".input.png")
    ]


def test_a_network_trained_over_photos_is_shown_backgrounds(made_up_data, tmp_path):
    """And its run goes on with the same photos only, wherever they lie."""
    for folder in ("grounds", "moved", "others"):
        name = "y.png" if folder == "others" else "x.png"
        save(tmp_path / folder / name, np.full((20, 20), 90, np.uint8))
    train = ("train", tmp_path / "run", "--data", made_up_data, "--preset", "tiny", "--quiet")
    train += ("--set", "train.augmentation.max_occlusion=0.4")
    begun = call(*train, "--backgrounds", tmp_path / "grounds")
    assert begun.exit_code == 0, begun.output
    photo = save(tmp_path / "a.png", picture(1), ground="white")
    [row], _ = rows_of(tmp_path / "run", tmp_path, photo)
    assert row["background"] == "kept"

    assert call(*train, "--backgrounds", tmp_path / "moved").exit_code == 0
    other = call(*train, "--backgrounds", tmp_path / "others")
    assert "train.augmentation.backgrounds" in str(other.exception)


def test_augmentation_is_pictured(made_up_data, tmp_path):
    save(tmp_path / "grounds" / "x.png", np.full((20, 20), 90, np.uint8))
    out = tmp_path / "augment.png"
    options = ("--backgrounds", tmp_path / "grounds", "--occluders", "0.5", "--count", "1")
    done = call("data", "show", made_up_data, "--augmented", "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")
    refused = call("data", "show", made_up_data, "--occluders", "2")
    assert refused.exit_code == 2
    assert "--occluders" in refused.stderr
    alone = call("data", "show", made_up_data, "--occluders", "0.5")
    assert "want --augmented with it" in str(alone.exception)
