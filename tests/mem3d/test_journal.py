"""The journal of a long job: what is finished outlives an interruption, half a line does not."""

import json

import pytest

from mem3d.journal import Journal


def test_what_was_added_is_there_again(tmp_path):
    path = tmp_path / "new" / "unfinished.jsonl"
    with Journal(path, "job") as journal:
        assert journal.get("a") is None and not path.parent.exists()
        journal.add("a", {"x": [1, "ö"]})
        journal.add("b", 2)
        assert journal.get("a") == {"x": [1, "ö"]}
    with Journal(path, "job") as again:
        assert (len(again), again.get("a"), again.get("b")) == (2, {"x": [1, "ö"]}, 2)
        again.add("c", 3)
        assert [again.get(key) for key in "abc"] == [{"x": [1, "ö"]}, 2, 3]
        again.remove()
    assert not path.exists()
    assert len(Journal(path, "job")) == 0


def test_another_job_begins_anew(tmp_path):
    path = tmp_path / "unfinished.jsonl"
    with Journal(path, "job") as journal:
        journal.add("a", 1)
    before = path.read_bytes()
    with Journal(path, "another") as other:
        assert len(other) == 0
        other.remove()  # it has nothing there
        assert path.read_bytes() == before
        other.add("b", 2)
    with Journal(path, "another") as other:
        assert (other.get("a"), other.get("b")) == (None, 2)


def test_at_whatever_byte_it_is_cut_off_no_line_is_half(tmp_path):
    path = tmp_path / "unfinished.jsonl"
    with Journal(path, "job") as journal:
        journal.add("a", 1)
        first = path.stat().st_size
        journal.add("b", [2] * 9)
    whole = path.read_bytes()
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path, "job") as cut:
            assert cut.get("a") == 1 and cut.get("b") in (None, [2] * 9)
            cut.add("c", 3)
        with Journal(path, "job") as again:
            assert (again.get("a"), again.get("c")) == (1, 3)


def test_a_flipped_bit_costs_that_line_alone(tmp_path):
    path = tmp_path / "unfinished.jsonl"
    with Journal(path, "job") as journal:
        journal.add("a", 1)
        journal.add("b", "text")
    path.write_bytes(path.read_bytes().replace(b"text", b"tEXt"))
    damaged = Journal(path, "job")
    assert (damaged.get("a"), damaged.get("b")) == (1, None)


@pytest.mark.parametrize("text", ["mine\n", "[]\n", json.dumps({"job": "job"}), "\xff"])
def test_another_file_is_not_written_over(text, tmp_path):
    path = tmp_path / "unfinished.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="no journal"):
        Journal(path, "job")
    assert path.read_text() == text


def test_an_empty_file_is_a_journal_that_was_cut_off(tmp_path):
    path = tmp_path / "unfinished.jsonl"
    path.touch()
    with Journal(path, "job") as journal:
        journal.add("a", 1)
    assert Journal(path, "job").get("a") == 1
