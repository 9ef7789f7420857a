"""Example photos for the demo page."""

import json

import numpy as np
import pytest

from mem3d.bundled import example_files
from mem3d.data.images.io import read_image
from mem3d.demo.examples import example_photos
from tests.helpers.r2n2_folder import make_r2n2


def describe(folder, data, split=None):
    (folder / "run.json").write_text(json.dumps({"data": str(data), "split": split}))


def test_validation_models_of_each_category_are_taken(tmp_path):
    data = make_r2n2(tmp_path / "data", train=1, val=3, test=1, views=1)
    describe(tmp_path, data)
    files = example_photos(tmp_path, tmp_path, count=4)
    names = [path.name for path in files]
    assert len(set(names)) == 4
    assert {name.split("-")[0] for name in names[:2]} == {"aeroplane", "chair"}
    shown = [read_image(path) for path in files]
    models = [
        read_image(path) for path in (data / "ShapeNetRendering").rglob("val*/rendering/00.png")
    ]
    assert all(any(np.array_equal(one, other) for other in models) for one in shown)


@pytest.mark.parametrize("data", ["absent", "empty"])
def test_without_the_data_the_bundled_photos_are_shown(data, tmp_path):
    (tmp_path / "empty").mkdir()
    describe(tmp_path, tmp_path / data)
    files = example_photos(tmp_path, tmp_path, count=3)
    assert [path.stem.rpartition("-")[0] for path in files] == [
        path.stem for path in example_files()[:3]
    ]
    for path, photo in zip(files, example_files(), strict=False):
        np.testing.assert_array_equal(read_image(path), read_image(photo))
