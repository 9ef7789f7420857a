"""Tensors come back as they were, and others' libraries read them too."""

import json
import struct
from hashlib import blake2b

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mem3d.tensor_files import opened, save_tensors
from memstore import PathError

TENSORS = {
    "odd": torch.tensor([True, False, True]),
    "none": torch.zeros(0, 3),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "turned": torch.arange(6.0).reshape(2, 3).T,
    "short": torch.arange(3).to(torch.bfloat16),
    "half": torch.arange(3).half(),
    "long": torch.arange(5),
    "bytes": torch.arange(7, dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    save_tensors(tmp_path / "a.safetensors", TENSORS, {"mine": "ä \N{SNOWMAN}"})
    return tmp_path / "a.safetensors"


def test_what_is_written_is_read(path):
    with opened(path, "tensors") as file:
        assert sorted(file.names) == sorted(TENSORS) and file.metadata["mine"] == "ä \N{SNOWMAN}"
        assert file.shape("turned") == [3, 2]
        own = {name: tensor.clone() for name, tensor in file.tensors().items()}
        assert file.tensors("sc").keys() == {"alar"}
    for tensors in (own, load_file(path)):
        assert all(torch.equal(tensors[name], want) for name, want in TENSORS.items())
        assert all(tensors[name].dtype == want.dtype for name, want in TENSORS.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_checks_are_those_of_every_later_version(path):
    """By hand: name, type, shape and bytes; of the other entries, their JSON with sorted keys."""
    entries = load_metadata(path)
    place = 32 * sorted(TENSORS).index("long")
    data = b"long I64 [5] " + struct.pack("<5q", *range(5))
    assert entries["checks"][place : place + 32] == blake2b(data, digest_size=16).hexdigest()
    text = f'{{"checks":"{entries["checks"]}","mine":"\\u00e4 \\u2603"}}'
    assert entries["check"] == blake2b(text.encode(), digest_size=16).hexdigest()


def load_metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_files_without_checks_are_read(path):
    plain = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    save_file(plain, path, {"format": "pt"})
    with opened(path, "tensors") as file:
        assert torch.equal(file.tensor("turned"), TENSORS["turned"])


def rewritten(path, change):
    """The same bytes after a header that `change` has changed."""
    data = path.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["__metadata__"].pop("check"),
        lambda header: header["__metadata__"].pop("checks"),
        lambda header: header["__metadata__"].update(mine="other"),
        lambda header: header["__metadata__"].update(more="other"),
        lambda header: header.update({"other": header.pop("long")}),
        lambda header: header["long"].update(dtype="F64"),
        lambda header: header["turned"].update(shape=[2, 3]),
        lambda header: header["short"].update(dtype="F16"),
    ],
    ids=["no check", "no checks", "entry", "one more", "name", "dtype", "shape", "like dtype"],
)
def test_a_header_that_was_changed_is_told(path, change):
    rewritten(path, change)
    with (
        pytest.raises(ValueError, match=r"a\.safetensors: got a damaged"),
        opened(path, "x") as file,
    ):
        file.tensors()


def test_tensors_that_change_places_are_told(path):
    def swap(header):
        header["half"]["data_offsets"], header["short"]["data_offsets"] = (
            header["short"]["data_offsets"],
            header["half"]["data_offsets"],
        )

    rewritten(path, swap)
    with opened(path, "tensors") as file:
        assert torch.equal(file.tensor("long"), TENSORS["long"])  # others may be whole
        with pytest.raises(ValueError, match="damaged tensor half"):
            file.tensor("half")


def test_a_folder_that_is_not_there_is_a_line(tmp_path):
    with pytest.raises(PathError, match=r"a\.safetensors: cannot be written: No such file"):
        save_tensors(tmp_path / "no" / "a.safetensors", {}, {})
