"""A power cut at any point: nothing acknowledged is lost, nothing is torn.

Needs `strace` (Debian: apt install strace). MEM3D_CUTS=1000 tries more cuts than the suite does.
"""

import os
import random
import shutil
import sqlite3
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import memstore
from memstore import PAPER, Memory
from tests.helpers import power_cut

CUTS = int(os.environ.get("MEM3D_CUTS", 30))
CONFIG = replace(PAPER, capacity=24, key_dim=8, resolution=4)
STEPS = ("c0", "c1", "tag", "c2", "c3", "expire", "c4", "untag", "c5", "copy")

# What runs where power is cut; `work` is also what says how a memory must look after each step.
WORK = """
import numpy as np

def work(memory, step, folder):
    rng = np.random.default_rng(STEPS.index(step))
    if step[0] == "c" and step != "copy":
        memory.write(rng.standard_normal((6, 8)), rng.random((6, 4, 4, 4)) < 0.5)
        memory.commit(step)
    elif step == "tag":
        memory.tag("first")
    elif step == "expire":
        memory.expire(2)
    elif step == "untag":
        memory.untag("first")
    elif step == "copy":
        memory.copy_to(folder + "/deep/copy")
"""
MEMORY = f"""
STEPS = {STEPS!r}
{WORK}
import os, sys
from dataclasses import replace
from memstore import Memory, PAPER
folder = sys.argv[1]
with Memory.create(folder + "/memory", replace(PAPER, capacity=24, key_dim=8, resolution=4),
                   durability=DURABILITY) as memory:
    os.access("told:create", 0)
    for step in STEPS:
        work(memory, step, folder)
        os.access("told:" + step, 0)
"""
SQLITE = """
import os, sqlite3, sys
base = sqlite3.connect(sys.argv[1] + "/base.db", isolation_level=None)
base.execute("PRAGMA journal_mode=WAL")
base.execute("PRAGMA synchronous=MODE")
base.execute("CREATE TABLE pairs (step INTEGER, data BLOB)")
os.access("told:create", 0)
for step in range(10):
    base.execute("INSERT INTO pairs VALUES (?, ?)", (step, bytes([step]) * 3000))
    if step == 6:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.access("told:" + str(step), 0)
"""

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="no strace to record calls with"),
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """What a memory holds after each step: that of a process that ran to its end."""
    folder, scope = tmp_path_factory.mktemp("looks"), {"STEPS": STEPS}
    exec(WORK, scope)
    with Memory.create(folder / "memory", CONFIG) as memory:
        looks = {"create": look(memory)}
        for step in STEPS:
            scope["work"](memory, step, str(folder))
            looks[step] = look(memory)
    return looks


def look(memory):
    """Contents of a memory, to be compared."""
    slots = memory.slots
    return memory.clock, memory.keys(slots).tobytes(), memory.values(slots).tobytes()


def faults_of_memory(folder, told, looks):
    """What is wrong with a memory after a cut."""
    path = folder / "memory"
    if not path.exists():
        return ["lost"] if told else []
    steps = ["create", *STEPS]
    done = steps[: max(1, len(told))]
    under_way = steps[len(done)] if told and len(done) < len(steps) else done[-1]
    try:
        with Memory.open(path, "r+") as memory:
            if look(memory) not in (looks[done[-1]], looks[under_way]):
                return ["lost"]
            if "tag" in done and "untag" not in (*done, under_way) and not memory.tags():
                return ["lost"]
            problems = [f"torn: {line}" for line in memory.verify(every=True).problems]
            memory.write(np.eye(1, 8), np.ones((1, 4, 4, 4), bool))
            memory.commit("goes on")
            memory.expire(1)
        problems += memory.open(path).verify(every=True).problems
        copy = folder / "deep" / "copy"
        if copy.exists():
            problems += Memory.open(copy).verify().problems
            problems += ["torn: copy"] * (look(Memory.open(copy)) != looks["copy"])
        elif "copy" in told:
            problems.append("lost: copy")
    except memstore.MemstoreError as error:
        return [f"torn: {error}"]
    return problems


def faults_of_sqlite(folder, told, _):
    """What is wrong with a database after a cut."""
    if "create" not in told:
        return []
    try:
        base = sqlite3.connect(folder / "base.db")
        if base.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return ["torn"]
        rows = base.execute("SELECT step, data FROM pairs ORDER BY step").fetchall()
        base.close()
    except sqlite3.Error as error:
        return [f"torn: {error}"]
    steps = [step for step, data in rows if data == bytes([step]) * 3000]
    return [] if steps == list(range(len(rows))) and len(rows) >= len(told) - 1 else ["lost"]


def outcome(code, faults, looks, tmp_path, cuts):
    """(cuts, faulty ones): a program is recorded once, and its power cut at random points."""
    (tmp_path / "disk").mkdir()
    calls = power_cut.record(code, tmp_path / "disk", tmp_path / "trace")
    rng, faulty = random.Random(0), []
    for number in range(cuts):
        disk = power_cut.Disk(tmp_path / "disk")
        for call in calls[: rng.randrange(1, len(calls) + 1)]:
            disk.apply(call)
        disk.cut(rng, tmp_path / "left")
        if problems := faults(tmp_path / "left", disk.told, looks):
            faulty.append((number, disk.told[-1:], problems))
        shutil.rmtree(tmp_path / "left")
    return faulty


def test_a_memory_outlives_power_cuts(looks, tmp_path):
    code = MEMORY.replace("DURABILITY", "'full'")
    assert outcome(code, faults_of_memory, looks, tmp_path, CUTS) == []


def test_sqlite_does_in_the_same_harness(tmp_path):
    code = SQLITE.replace("MODE", "FULL")
    assert outcome(code, faults_of_sqlite, None, tmp_path, CUTS) == []


@pytest.mark.parametrize(
    ("code", "faults"),
    [
        (MEMORY.replace("DURABILITY", "'process'"), faults_of_memory),
        (SQLITE.replace("MODE", "OFF"), faults_of_sqlite),
    ],
    ids=["memory", "sqlite"],
)
def test_the_harness_tells_what_is_not_synced(code, faults, looks, tmp_path):
    assert len(outcome(code, faults, looks, tmp_path, 20)) > 5


def test_the_recorded_calls_are_all(tmp_path):
    """Without a cut the replay is the folder that the program has left."""
    (tmp_path / "disk").mkdir()
    code = MEMORY.replace("DURABILITY", "'full'")
    disk = power_cut.Disk(tmp_path / "disk")
    for call in power_cut.record(code, tmp_path / "disk", tmp_path / "trace"):
        disk.apply(call)
    disk.write(tmp_path / "copy")
    subprocess.run(["diff", "-r", tmp_path / "disk", tmp_path / "copy"], check=True)
