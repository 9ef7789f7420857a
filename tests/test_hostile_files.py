"""Spoiled files are refused by name: no crash, no hang, no gigabytes."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile_files import FORMATS, attempt

# What headers lie with: zero, all ones, the largest of each width, a billion.
LIES = [
    struct.pack(order + kind, value)
    for order in "<>"
    for kind, value in (
        *(("B", v) for v in (0, 127, 255)),
        *(("H", v) for v in (0, 0x7FFF, 0xFFFF)),
        *(("I", v) for v in (0, 10**9, 0x7FFFFFFF, 0xFFFFFFFF)),
        *(("Q", v) for v in (10**9, 2**63 - 1, 2**64 - 1)),
    )
] + [b"1000000000", b"99999999999999999999", b"-1", b"nan", b"1e999", b"{" * 2000, b"\x00" * 64]

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "insert", "cut", "end"]),
        st.floats(0, 1),
        st.one_of(st.sampled_from(LIES), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=6,
)


def spoil(data, edits):
    """Overwrite, insert, cut out or cut off bytes, each at a share of the length."""
    for kind, share, piece in edits:
        at = int(share * len(data))
        if kind == "end":
            data = data[:at]
        else:
            kept = at if kind == "insert" else at + len(piece)
            data = data[:at] + (b"" if kind == "cut" else piece) + data[kept:]
    return data


@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL's, of files cut short
@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_spoiled_files_are_refused_or_read(one, tmp_path):
    examples = one.examples(tmp_path)
    for whole in examples:
        assert attempt(one, whole, tmp_path)

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(examples), EDITS)
    def check(whole, edits):
        attempt(one, spoil(whole, edits), tmp_path)

    check()


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 4096], ids=["empty", "nul", "ones"])
def test_files_of_something_else_are_refused(one, data, tmp_path):
    assert not attempt(one, data, tmp_path)
