"""Faults: killed writers, flipped bits, full disks, folders that may not be written."""

import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import memstore
from memstore import PAPER, Memory
from tests.helpers import fault_injection

CONFIG = replace(PAPER, capacity=64, key_dim=256, resolution=8, delta=1)


@pytest.fixture(autouse=True)
def short_log(monkeypatch):
    fault_injection.make_smaller(monkeypatch.setattr)


def test_a_flipped_bit_is_reported_or_harmless():
    found = fault_injection.flips(80, seed=1)
    assert sum(found.values()) == 80
    assert not [part for part, outcome in found if outcome == "silent"]


def test_a_killed_writer_loses_nothing_that_was_told():
    found = fault_injection.kills(6, seed=1)
    assert found["last told"] + found["in flight"] == 6
    assert found["commits"] > 6


def run(code, *arguments, **options):
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


FULL_DISK = """
import resource, signal, sys
import numpy as np
import memstore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
memory = memstore.Memory.open(sys.argv[1], "r+")
rng = np.random.default_rng(0)
tip = memory.snapshot
memory.write(rng.standard_normal((64, 256)), rng.random((64, 8, 8, 8)) < .5)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
try:
    memory.commit("no room")
except memstore.PathError as error:
    print("refused:", error)
assert memory.snapshot == tip and len(memory) == 64
with memstore.Memory.open(sys.argv[1]) as reader:
    assert len(reader) == 0 and reader.verify(every=True).problems == ()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
memory.commit("room again")
with memstore.Memory.open(sys.argv[1]) as reader:
    assert len(reader) == 64 and reader.verify(every=True).problems == ()
"""


@pytest.mark.parametrize("largest_file", [0, 100, 1000, 3000])
def test_a_full_disk(tmp_path, largest_file):
    """No file may grow past a size, as on a disk without room: the commit is refused, whole."""
    Memory.create(tmp_path / "memory", CONFIG).close()
    done = run(FULL_DISK, tmp_path / "memory", largest_file)
    assert done.returncode == 0, done.stderr
    assert "refused: " in done.stdout
    assert "cannot write" in done.stdout


def test_the_limit_of_the_test_above_is_real():
    assert resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_FSIZE)


COPY = """
import os, sys
import memstore
from memstore.storage import schema
write = schema.write
def write_and_die(*args):
    write(*args)
    os._exit(9)
if sys.argv[3:]:
    schema.write = write_and_die
memstore.Memory.open(sys.argv[1]).copy_to(sys.argv[2])
"""


def test_a_copy_that_was_broken_off_leaves_no_memory_and_is_made_anew(tmp_path):
    path, copy = tmp_path / "memory", tmp_path / "copy"
    with Memory.create(path, CONFIG) as memory:
        memory.write(np.ones((1, 256)), np.ones((1, 8, 8, 8), bool))
    assert run(COPY, path, copy, "die").returncode == 9
    [partial] = [entry for entry in tmp_path.iterdir() if entry != path]
    assert partial.name.startswith(".copy.")
    with pytest.raises(memstore.NotAMemoryError):
        Memory.open(partial)
    assert run(COPY, path, copy).returncode == 0
    assert len(Memory.open(copy)) == 1 and not partial.exists()


READ_ONLY = """
import os, sys
import numpy as np
import memstore, memstore.memory, memstore.storage.repository  # before others may not read them
if os.getuid() == 0:
    os.setuid(65534)
path = sys.argv[1]
with memstore.Memory.open(path) as memory:
    assert memory.read(np.ones((1, 256)), 1, beta=-1).counts == [1]
    assert memory.verify(every=True).problems == ()
for call in (
    lambda: memstore.Memory.open(path, "r+"),
    lambda: memstore.Memory.create(path + "-deeper", memory.config),
    lambda: memory.copy_to(os.path.dirname(path) + "/copy"),
):
    try:
        call()
    except memstore.PathError as error:
        print(error)
"""


def test_a_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to others
        os.chmod(root, 0o755)
        path = Path(root) / "memory"
        with Memory.create(path, CONFIG) as memory:
            memory.write(np.ones((1, 256)), np.ones((1, 8, 8, 8), bool))
            memory.commit("one")
        for folder in [path, *(p for p in path.rglob("*") if p.is_dir())]:
            os.chmod(folder, 0o555)
        done = run(READ_ONLY, path)
        for folder in [path, *(p for p in path.rglob("*") if p.is_dir())]:
            os.chmod(folder, 0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Permission denied") == 3


READER = """
import sys
import numpy as np
import memstore
seen = []
while True:
    with memstore.Memory.open(sys.argv[1]) as memory:
        step = memory.clock
        values, ages = memory.values(memory.slots), memory.ages
        assert (values.reshape(len(values), -1).sum(1) == (step - ages)).all(), (step, ages)
        seen.append(step)
    if step >= 40:
        break
print(len(set(seen)), seen == sorted(seen))
"""


def test_readers_see_whole_snapshots_while_a_writer_commits_and_expires(tmp_path):
    """The value of a slot holds as many voxels as the clock told when it was written."""
    path = tmp_path / "memory"
    counts = np.arange(512).reshape(1, 8, 8, 8)
    with Memory.create(path, CONFIG) as memory:
        command = [sys.executable, "-c", READER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
            rng = np.random.default_rng(0)
            for step in range(1, 41):
                memory.write(rng.standard_normal((1, 256)), counts < step)
                memory.commit(str(step))
                memory.expire(1)
                if step == 1:
                    with Memory.open(path) as first:
                        assert first.clock == 1
            assert reader.stdout is not None
            seen, ordered = reader.stdout.read().split()
    assert (int(seen) >= 1, ordered) == (True, "True")


def test_a_memory_is_not_pickled():
    import pickle

    with pytest.raises(TypeError, match="open it in each process"):
        pickle.dumps(Memory(CONFIG))


def test_paths_that_are_no_memory(tmp_path):
    (tmp_path / "file").write_text("no memory")
    for path in (tmp_path / "file", tmp_path):
        with pytest.raises(memstore.NotAMemoryError):
            Memory.open(path)
    with pytest.raises(memstore.PathError):
        Memory.create(tmp_path / "file" / "below", CONFIG)
