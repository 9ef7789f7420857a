"""mem3d-cli data check, show and split, as a user calls them."""

import json

import pytest
from typer.testing import CliRunner

from mem3d.data.readers.r2n2 import R2N2
from mem3d_cli.mem3d.app import app
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.helpers.pix3d_folder import make_pix3d
from tests.helpers.r2n2_folder import make_r2n2


def call(*arguments):
    return CliRunner().invoke(app, ["data", *(str(argument) for argument in arguments)])


@pytest.fixture
def root(tmp_path):
    return make_r2n2(tmp_path / "data")


def test_check_prints_what_is_there_and_writes_a_report(root, tmp_path):
    for number in range(3):
        (root / "ShapeNetVox32" / "03001627" / f"train{number}" / "model.binvox").write_bytes(b"")
    result = call("check", root, "--sample", 0, "--out", tmp_path / "report.json", "--quiet")
    assert result.exit_code == 0, result.output
    assert "13 shapes, 2 views each; pictures: 26 of 137x137" in result.stdout
    assert "warning: 3 shapes: missing or broken" in result.stdout
    assert "03001627/train2: " in result.stdout
    assert f"{root}: usable, " in result.stdout.splitlines()[-1]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [skip["source"][-6:] for skip in report["skipped"]] == ["train0", "train1", "train2"]


def test_only_ten_models_are_named_on_the_screen(tmp_path):
    root = make_r2n2(tmp_path / "data", train=12, val=0, test=0, views=1)
    for grid in (root / "ShapeNetVox32" / "03001627").glob("*/model.binvox"):
        grid.write_bytes(b"")
    lines = call("check", root, "--sample", 0, "--quiet").stdout.splitlines()
    assert sum(": " in line and line.startswith("  03001627") for line in lines) == 10
    assert "  ... and 2 more (--out)" in lines
    found = json.loads(call("check", root, "--sample", 0, "--quiet", "--json").stdout)
    assert len(found["findings"][0]["sources"]) == 12


def test_check_of_a_wrong_frame_has_exit_status_1(real_data, tmp_path):
    copy = tmp_path / "turned"
    copy.mkdir()
    (copy / "ShapeNetRendering").symlink_to(real_data / "r2n2_real" / "ShapeNetRendering")
    for path in (real_data / "r2n2_real" / "ShapeNetVox32").glob("*/*/model.binvox"):
        place = copy / path.relative_to(real_data / "r2n2_real")
        place.parent.mkdir(parents=True)
        write_binvox(place, read_binvox(path).transpose(0, 2, 1))
    result = call("check", copy, "--views", 1, "--sample", 4, "--quiet")
    assert result.exit_code == 1
    assert "PROBLEM: axes: the voxels look y and z swapped" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("not usable as it is")


def test_show_draws_the_models_that_are_named(root, tmp_path):
    sheet = tmp_path / "sheet.png"
    result = call("show", root, "--out", sheet, "--models", "02691156/test0", "--views", 2)
    assert result.exit_code == 0, result.output
    assert sheet.read_bytes().startswith(b"\x89PNG")
    chosen = ("--category", "airplane", "--subset", "val", "--count", 1)
    assert call("show", root, "--out", sheet, *chosen).exit_code == 0
    assert "'absent', the name of 0 shapes" in str(
        call("show", root, "--models", "absent").exception
    )
    assert "--view: got 2, want less than 2" in str(call("show", root, "--view", 2).exception)


@pytest.mark.parametrize("options", [(), ("--augmented",)])
def test_pictures_are_told_as_json(options, root, tmp_path):
    result = call(
        "show", root, *options, "--out", tmp_path / "x.png", "--count", 2, "--json", "--quiet"
    )
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert json.loads(result.stdout) == {"path": str(tmp_path / "x.png"), "models": 2}


@pytest.mark.parametrize(
    "arguments",
    [("show", "--out"), ("split", "--out"), ("check", "--out")],
)
def test_a_missing_folder_is_told_before_the_work(arguments, tmp_path):
    command, option = arguments
    result = call(command, tmp_path / "no-data", option, tmp_path / "none" / "x.png")
    assert f"there is no folder {tmp_path / 'none'}" in str(result.exception)


def test_split_keeps_copies_together_and_is_read_again(root, tmp_path):
    (root / "split.json").unlink()
    vox = root / "ShapeNetVox32" / "03001627"
    for number in (1, 2, 3):  # four copies of one chair
        (vox / f"train{number}" / "model.binvox").write_bytes(
            (vox / "train0" / "model.binvox").read_bytes()
        )
    out = root / "split.json"
    result = call("split", root, "--out", out, "--share", ".5,.25,.25", "--json", "--quiet")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["models"] == 16
    copies = {f"03001627/train{number}" for number in range(4)}
    assert copies <= set(made["largest"])
    subsets = {name: R2N2.open(root, name) for name in ("train", "val", "test")}
    assert sum(map(len, subsets.values())) == 16
    for data in subsets.values():
        assert len(copies & {data.shape_id(i) for i in range(len(data))}) in (0, 4)

    kept = out.read_bytes()
    assert isinstance(call("split", root, "--out", out).exception, ValueError)
    assert out.read_bytes() == kept
    again = call("split", root, "--out", out, "--share", ".5,.25,.25", "--force", "--mirrored")
    assert "shapes in" in again.stdout
    assert isinstance(
        call("split", root, "--out", tmp_path / "a", "--share", "1").exception, ValueError
    )


@pytest.mark.parametrize("share", [".9,.9,.2", "1,1,1", "1.2,-.2,0", "nan,0,1", "inf,0,0"])
def test_shares_sum_to_1(share, root, tmp_path):
    result = call("split", root, "--out", tmp_path / "a.json", "--share", share)
    assert f"--share: got '{share}' with sum" in str(result.exception)
    assert not (tmp_path / "a.json").exists()


def test_pix3d_is_split_otherwise(tmp_path):
    data = make_pix3d(tmp_path / "pix3d")
    result = call("split", data, "--out", tmp_path / "a.json")
    assert f"{data}: got Pix3D, " in str(result.exception)
    assert "docs/guide/formats.md" in str(result.exception)


def test_what_is_out_of_range_is_named_as_it_was_given(root, tmp_path):
    result = call("split", root, "--out", tmp_path / "a.json", "--iou", "1")
    assert result.exit_code == 2
    assert "--iou" in result.stderr


def test_a_picture_of_another_kind_is_refused(root, tmp_path):
    result = call("show", root, "--out", tmp_path / "x.jpg")
    assert result.exit_code == 2
    assert "--out" in result.stderr
    assert not (tmp_path / "x.jpg").exists()


@pytest.mark.parametrize(
    ("call_of", "arguments"),
    [
        ("mem3d.data.zarr_pack.writer.pack", ("pack", "DATA", "-o", "OUT")),
        ("mem3d.data.meshes.dataset.render_meshes", ("render", "DATA", "-o", "OUT")),
        ("mem3d.data.procedural.writer.synthesize", ("synth", "OUT")),
    ],
)
def test_ctrl_c_is_one_line(call_of, arguments, root, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(call_of, stopped)
    known = {"DATA": root, "OUT": tmp_path / "out"}
    result = call(*(known.get(word, word) for word in arguments))
    assert (result.exit_code, result.stdout) == (130, "")
    told = f"{tmp_path / 'out'}: interrupted; the same command goes on from there\n"
    assert result.stderr == told
