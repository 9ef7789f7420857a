"""A split file from a data set: near-duplicates on one side, nothing overwritten."""

import json

import pytest

from mem3d.data.curation.near_duplicates import split_dataset
from mem3d.data.readers.r2n2 import R2N2
from memstore.voxels.binvox import write_binvox
from tests.helpers.r2n2_folder import blob, make_r2n2


@pytest.fixture
def data(tmp_path):
    return make_r2n2(tmp_path / "data", train=4, val=2, test=2, views=1)


def test_every_model_is_dealt_out_once_and_copies_together(data, tmp_path):
    copies = [f"ShapeNetVox32/03001627/{name}/model.binvox" for name in ("train0", "test1")]
    for copy in copies:
        write_binvox(data / copy, blob(5))
    made = split_dataset(data, tmp_path / "new.json", (0.5, 0.25, 0.25))
    parts = {
        name: R2N2.open(data, name, tmp_path / "new.json") for name in ("train", "val", "test")
    }
    sources = {name: {one.shape_id(i) for i in range(len(one))} for name, one in parts.items()}
    assert sum(len(one) for one in sources.values()) == made.shapes == 16
    pair = {"03001627/train0", "03001627/test1"}
    assert sum(bool(pair & one) for one in sources.values()) == 1
    assert made.near_duplicates >= 2
    assert {name: len(one) for name, one in sources.items()} == {
        name: sum(row[name] for row in made.counts.values()) for name in sources
    }


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(data, tmp_path):
    out = tmp_path / "mine.json"
    out.write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.json"):
        split_dataset(data, out, (0.7, 0.1, 0.2))
    assert out.read_text() == "mine"
    split_dataset(data, out, (0.7, 0.1, 0.2), replace=True)
    assert json.loads(out.read_text())[0]["taxonomy_id"] == "02691156"
