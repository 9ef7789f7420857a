"""Sources as people read them."""

import pytest

from memstore.voxels.names import short_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("03001627/1a74", "chair\n1a74"),
        ("03001627/1a74/07", "chair\n1a74/07"),
        ("mugs/17", "mugs\n17"),
        ("mug-17", "mug-17"),
        ("/data/mug.npz", "/data/mug.npz"),
        ("mugs/", "mugs/"),
        ("s3://bucket/mug", "s3://bucket/mug"),
        ("a\nb", "a b"),
        ("", "no source"),
    ],
)
def test_sources_as_people_read_them(source, name):
    assert short_name(source) == name
