"""Sources in words."""

import pytest

from mem3d.data.taxonomy import LONGEST, category_of, titled


@pytest.mark.parametrize(
    ("source", "category", "title"),
    [
        ("03001627/1a6f615e8b1b5ae4dbbc9440457e303e", "chair", "chair\n1a6f615e8…e303e"),
        ("02691156/b", "aeroplane", "aeroplane\nb"),
        ("02818832/b", "bed", "bed\nb"),
        ("mine/chair", None, "mine/chair"),
        ("99999999/1a6f615e8b1b5ae4", None, "99999999/…b5ae4"),
        ("03001627", None, "03001627"),
        ("", None, "no source"),
    ],
)
def test_a_source_has_a_title(source, category, title):
    assert (category_of(source), titled(source)) == (category, title)
    assert max(map(len, title.split("\n"))) <= LONGEST
