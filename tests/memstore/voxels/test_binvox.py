"""The binvox reader and writer."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from memstore import DtypeError, PathError, ShapeError
from memstore.voxels.binvox import read_binvox, write_binvox

HEADER = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n"
# By hand: 2^3 voxels in the order x, z, y; the second is x 0, z 0, y 1, the seventh x 1, z 1, y 0.
RUNS = bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1])


def parse(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.binvox"
        path.write_bytes(data)
        return read_binvox(path)


def test_a_file_written_by_hand():
    grid = parse(HEADER + RUNS)
    assert grid.dtype == np.bool_
    assert np.argwhere(grid).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_the_writer_writes_what_was_written_by_hand(tmp_path):
    grid = np.zeros((2, 2, 2), np.bool_)
    grid[0, 1, 0] = grid[1, 0, 1] = True
    write_binvox(tmp_path / "a.binvox", grid)
    assert (tmp_path / "a.binvox").read_bytes().split(b"data\n")[1] == RUNS


@given(st.integers(1, 9).flatmap(lambda side: arrays(np.bool_, (side,) * 3)))
@example(np.ones((8, 8, 8), np.bool_))  # 512 voxels: runs of 255, 255 and 2
def test_round_trip(grid):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.binvox"
        write_binvox(path, grid, translate=(-0.1, 2, 3e-9), scale=0.7)
        assert_array_equal(read_binvox(path), grid)
        assert b"translate -0.1 2.0 3e-09\nscale 0.7\n" in path.read_bytes()


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda runs: HEADER + runs),
        st.tuples(st.integers(0, len(HEADER + RUNS) - 1), st.integers(0, 255)).map(
            lambda at: (HEADER + RUNS)[: at[0]] + bytes([at[1]]) + (HEADER + RUNS)[at[0] + 1 :]
        ),
    )
)
def test_any_bytes_give_a_grid_or_a_valueerror(data):
    try:
        assert parse(data).dtype == np.bool_
    except ValueError as error:
        assert "a.binvox" in str(error)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "want '#binvox 1'"),
        (HEADER, "got 0 voxels, want 2"),
        (HEADER + RUNS[:-1], "whole"),
        (HEADER + RUNS + b"\0\0\0", "whole"),
        (HEADER + bytes([1, 255]) * 8, "got 2040 voxels"),
        (HEADER + bytes([2, 8]), "value 2"),
        (HEADER.replace(b"2 2 2", b"9999 9999 9999"), "dim"),
        (HEADER.replace(b"2 2 2", b"2 2 3"), "dim"),
        (HEADER.replace(b"2 2 2", b"-2 -2 -2"), "dim"),
        (HEADER.replace(b"dim 2 2 2\n", b"") + RUNS, "without a line 'dim'"),
        (b"#binvox 1\n" + b"translate 0 0 0\n" * 99, "without an end"),
    ],
)
def test_a_broken_file_is_named(data, match):
    with pytest.raises(ValueError, match=match):
        parse(data)


def test_a_run_beyond_the_grid_is_refused_before_it_is_unrolled(tmp_path):
    (tmp_path / "bomb").write_bytes(HEADER + bytes([1, 255]) * 10_000_000)
    with pytest.raises(ValueError, match="want whole"):
        read_binvox(tmp_path / "bomb")


@pytest.mark.parametrize("grid", [np.zeros((2, 2, 3), bool), np.zeros((2, 2, 2)), np.bool_(True)])
def test_only_cubes_of_bool_are_written(grid, tmp_path):
    with pytest.raises((ShapeError, DtypeError), match="grid: got"):
        write_binvox(tmp_path / "a.binvox", np.asarray(grid))


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.binvox")
    with pytest.raises(PathError, match="no regular file"):
        read_binvox(tmp_path / "a.binvox")
