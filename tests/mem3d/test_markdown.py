"""Markdown that is written, and read back."""

from mem3d.markdown import bullets, code, page, sections, table


def test_a_table_by_hand():
    rows = [["name", "n"], [code("a|`b"), 3]]
    assert table(rows) == "| name | n |\n|---|---|\n| `a??b` | 3 |"
    assert table(rows, align="lr").splitlines()[1] == "|---|---:|"


def test_a_page_is_read_back_by_its_sections(tmp_path):
    text = page("# Title", "First.", "", "## One", bullets(["a", "b"]), "## Two", "x\ny\n\n")
    assert text == "# Title\n\nFirst.\n\n## One\n\n- a\n- b\n\n## Two\n\nx\ny\n"
    (tmp_path / "README.md").write_text(text)
    assert sections(tmp_path / "README.md") == {"": "First.", "One": "- a\n- b", "Two": "x\ny"}
    assert sections(tmp_path / "absent.md") == {}


def test_what_the_hub_wants_before_a_page_is_no_part_of_it(tmp_path):
    (tmp_path / "a.md").write_text(
        "---\ntags:\n- a\n---\n\n# Title\n\nText\n\n## Use\n\n---\nline\n"
    )
    assert sections(tmp_path / "a.md") == {"": "Text", "Use": "---\nline"}
