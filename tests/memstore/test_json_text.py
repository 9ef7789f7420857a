"""JSON of others: its size, its depth and its values are bounded; what it says is json's."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstore import FormatError
from memstore.json_text import MAX_BYTES, MAX_DEPTH, parse_json, read_json

ROOT = Path(__file__).parents[2]
LEAVES = st.none() | st.booleans() | st.integers() | st.text('[]{}",:\\aü😀')
TREES = st.recursive(LEAVES, lambda t: st.lists(t) | st.dictionaries(st.text(), t), max_leaves=20)


@given(TREES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_json_reads_is_read(tree, encoding):
    text = json.dumps(tree, ensure_ascii=False)
    assert parse_json(text) == tree
    assert parse_json(text.encode(encoding)) == tree


@given(st.text('[]{}",:\\a1 '))
def test_no_json_is_no_crash(text):
    try:
        tree = json.loads(text)
    except ValueError:
        with pytest.raises(FormatError):
            parse_json(text)
    else:
        assert parse_json(text) == tree


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"{MAX_DEPTH + 1} deep, want at most"),
        ('{"a":' * 100_000, "100000 deep"),
        ("[" + "[]," * 3_000_000 + "1]", "values in JSON, want at most"),
        ("[1", "no readable JSON"),
        ("", "no readable JSON"),
        (b"\xff\xfe\x00", "no readable JSON"),
        ("1" * 5000, "no readable JSON"),
        ('"' + "a" * MAX_BYTES, f"over {MAX_BYTES} bytes of JSON"),
    ],
    ids=["deep", "unclosed", "many", "cut short", "empty", "bytes", "a long number", "long"],
)
def test_what_would_take_too_much_is_refused(text, says, tmp_path):
    with pytest.raises(FormatError, match=f"^got .*{says}"):
        parse_json(text)
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(FormatError, match=rf"a\.json: got .*{says}"):
        read_json(tmp_path / "a.json")


def test_depth_is_that_outside_of_strings():
    text = json.dumps(["[" * 1000, '\\"' + "{" * 1000])
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize("name", ["absent.json", "folder", "a.json/b.json"])
def test_what_is_no_file_is_named(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.json").touch()
    with pytest.raises(FormatError, match=re.escape(f"{tmp_path / name}: got no")):
        read_json(tmp_path / name)


PEAK = """
import re
from pathlib import Path
from memstore.json_text import MAX_BYTES, parse_json
data = b"[" + b"{}," * 1_000_000 + b'"\\xf0\\x9f\\x98\\x80'  # of objects and of wide letters
data += b"a" * (MAX_BYTES - len(data) - 2) + b'"]'
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
assert len(parse_json(data)) == 1_000_001
print((peak() - before) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_worst_that_is_read_takes_some_hundred_megabytes():
    words = [sys.executable, "-c", PEAK]
    assert int(subprocess.run(words, check=True, capture_output=True, timeout=120).stdout) < 400


def test_all_json_of_others_is_read_here():
    files = [file for room in ("memstore", "mem3d", "cli") for file in (ROOT / room).rglob("*.py")]
    readers = {
        str(file.relative_to(ROOT))
        for file in files
        if re.search(r"json\.loads?\(", file.read_text())
    }
    assert readers == {"memstore/json_text.py"}
