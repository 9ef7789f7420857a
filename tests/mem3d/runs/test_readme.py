"""What a run says of itself that was made from another one."""

import pytest

from mem3d.runs.readme import copy_page

REKEYED = {"kind": "rekeyed", "data": "/home/me/shapes", "slots": 1416}
MORE = {
    "kind": "memorised",
    "data": "/home/me/new",
    "pictures": 1200,
    "inserted": 1000,
    "merged": 200,
}


def test_the_first_page_comes_first_and_changes_follow(tmp_path):
    (tmp_path / "README.md").write_text(
        "# A trained Mem3D\n\nTrained on 4 models.\n\n## Files\n\nx"
    )
    text = copy_page(tmp_path, [MORE], 1030, 4000)
    assert text.startswith("# A trained Mem3D\n\nTrained on 4 models.\n\nSince then:\n")
    assert "- memorized 1,200 pictures of `/home/me/new`: 1,000 inserted, 200 merged\n" in text
    assert "Files" not in text
    (tmp_path / "README.md").write_text(text)  # a copy of the copy
    again = copy_page(tmp_path, [MORE, REKEYED], 1031, 4000)
    assert again.count("Since then:") == again.count("memorized 1,200") == 1
    assert "- keys computed anew for 1,416 slots of `/home/me/shapes`\n" in again
    assert "1,030" not in again and "The memory has 1,031 of 4,000 slots in use now.\n" in again


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (
            "Grids of 32^3 voxels; the memory has 30 of 4,000 slots in use.\nBest epoch: 2.",
            "Grids of 32^3 voxels.\nBest epoch: 2.",
        ),
        ("A 32^3 voxel shape out, with a memory of 6,925 shapes.", "A 32^3 voxel shape out."),
    ],
    ids=["training", "published"],
)
def test_the_first_memory_s_count_is_not_repeated(first, rest, tmp_path):
    (tmp_path / "README.md").write_text(f"# A trained Mem3D\n\n{first}\n\n## Files\n\nx")
    text = copy_page(tmp_path, [MORE], 1030, 4000)
    assert text.startswith(f"# A trained Mem3D\n\n{rest}\n\nSince then:\n")
    assert text.count("slots in use") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "rekeyed", "data": "d", "slots": 30}, "- keys computed anew for 30 slots of `d`"),
        ({"kind": "averaged", "checkpoints": ["a", "b"]}, "- weights averaged with 2 other"),
        (
            {"kind": "memorised", "photo": "p.png", "pictures": 1},
            "- memorized 1 picture of `p.png`\n",
        ),
        (
            {"kind": "averaged", "checkpoints": ["a"]},
            "- weights averaged with 1 other checkpoint\n",
        ),
        ({"kind": "something new"}, "- something new\n"),
    ],
)
def test_each_kind_is_told(change, said, tmp_path):
    assert said in copy_page(tmp_path, [change], 3, 4)


def test_a_run_without_a_page_is_named(tmp_path):
    assert f"Made from `{tmp_path}`." in copy_page(tmp_path, [REKEYED], 3, 4)
