"""Faults on purpose: flipped bits and killed writers, counted.

`python -m tests.helpers.fault_injection --flips 5000 --kills 200` runs them in bulk and prints a
table; the tests run a few of each.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from memstore import PAPER, Memory, MemstoreError
from memstore.storage import fold, schema

SMALLER = {  # than usual: the log fills every few commits, and is folded a few chunks a commit
    schema: {"LOG_LEAST": 128, "CHUNK_BYTES": 2 * 4 * 16, "SMALL_CHUNK": 4},
    fold: {"AT_ONCE": 0},
}
COLUMNS = {"kind": str, "mass": float, "ok": bool, "view": int}
SMALL = replace(PAPER, capacity=12, key_dim=16, resolution=8, beta=0.5, delta=0.95, columns=COLUMNS)


def make_smaller(set_number=setattr):
    """Set the numbers of SMALLER."""
    for module, numbers in SMALLER.items():
        for name, number in numbers.items():
            set_number(module, name, number)


def pairs(rng, n):
    """Features, grids, sources and columns."""
    numbers = rng.integers(0, 9, n)
    columns = {"kind": [f"k{i}" for i in numbers], "mass": numbers / 7, "view": numbers}
    return (
        rng.standard_normal((n, 16)),
        rng.random((n, 8, 8, 8)) < 0.3,
        [f"model {i}" for i in range(n)],
        {**columns, "ok": numbers > 4},
    )


def content(memory):
    """All that a memory holds, to compare."""
    state = memory._state
    rows = state.rows(state.used)
    arrays = [np.ascontiguousarray(part).tobytes() for part in (*rows[:-1], *rows.columns.values())]
    return asdict(memory.config), memory.clock, dict(state.counts), arrays


def described(path):
    """Content of every snapshot that can be named, the history and the tags."""
    with Memory.open(path) as memory:
        history, tags = memory.history(), memory.tags()
    names = {entry.id for entry in history} | set(tags.values())
    contents = {}
    for name in sorted(names):
        with Memory.open(path, at=name) as memory:
            contents[name] = content(memory), [entry.message for entry in memory.history()]
    return contents, tags


def make_sample(path):
    """A small memory with a base, a log, a tag, an expired history and a rewound one."""
    rng = np.random.default_rng(0)
    with Memory.create(path, SMALL) as memory:
        for step in range(6):
            memory.write(*pairs(rng, 8 if step == 0 else 1))
            memory.read(rng.standard_normal((2, 16)), 3, beta=-1)
            memory.commit(f"step {step}")
            if step == 1:
                memory.tag("early")
        memory.remove(memory.slots[:1])
        memory.commit("removed")
        memory.expire(3)


def flip(path, where):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[where // 8] ^= 1 << where % 8
    path.write_bytes(data)


def outcome_of_flip(folder, truth):
    """ "reported", "harmless" or "silent"; the last must not be."""
    try:
        with Memory.open(folder) as memory:
            if memory.verify(every=True).problems:
                return "reported"
        return "harmless" if described(folder) == truth else "silent"
    except MemstoreError:
        return "reported"


def flips(trials, seed):
    """Flip random bits of random files, one at a time; counts (part, outcome)."""
    rng, counts = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "memory"
        make_sample(folder)
        truth = described(folder)
        files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size)
        for _ in range(trials):
            file = rng.choice(files)
            bit = rng.randrange(file.stat().st_size * 8)
            flip(file, bit)
            outcome = outcome_of_flip(folder, truth)
            part = file.relative_to(folder).parts[0]
            counts[part, outcome] += 1
            if outcome == "silent":
                print("silent:", file.relative_to(folder), bit, file=sys.stderr)
            flip(file, bit)
        assert described(folder) == truth
    return counts


def step_of_writer(memory, step):
    """What the writer does between two commits: the same for a step, whoever does it."""
    rng = np.random.default_rng(step)
    memory.write(*pairs(rng, int(rng.integers(1, 9))))
    memory.read(rng.standard_normal((3, 16)), 2, beta=-1)
    if step % 4 == 0:
        memory.remove(memory.slots[: rng.integers(1, 3)])


def writer(folder):
    """Write, commit, tag and expire for ever; tell each commit that is done."""
    make_smaller()
    with Memory.open(folder, "r+") as memory:
        step = int(memory.history()[0].message)
        print("ready", flush=True)
        while True:
            step += 1
            step_of_writer(memory, step)
            memory.commit(str(step))
            print(step, flush=True)
            if step % 5 == 0:
                memory.tag(f"tag-{step}")
                for tag in sorted(memory.tags())[:-3]:
                    memory.untag(tag)
            if step % 3 == 0:
                memory.expire(3)


def killed_writer(folder, steps, delay):
    """Start a writer, kill it `delay` seconds after so many steps; the last one that it told."""
    command = [sys.executable, "-m", "tests.helpers.fault_injection", "--writer", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(steps)]
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    return int(whole[-1]) if whole else None


def kills(trials, seed):
    """Kill a writer again and again; counts what the memory was found to hold."""
    rng, counts = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "memory"
        with Memory.create(folder, SMALL) as memory:
            memory.write(*pairs(np.random.default_rng(0), 1))
            memory.commit("0")
        oracle, step = Memory(SMALL), 0
        oracle.write(*pairs(np.random.default_rng(0), 1))
        for _ in range(trials):
            last = killed_writer(folder, rng.randrange(5), rng.uniform(0, 0.1)) or step
            with Memory.open(folder) as memory:
                reached = int(memory.history()[0].message)
                while step < reached:
                    step += 1
                    step_of_writer(oracle, step)
                whole = content(memory) == content(oracle)
                sound = not memory.verify(every=True).problems
            kind = {last: "last told", last + 1: "in flight"}.get(reached, "lost")
            counts[kind if whole and sound else "torn"] += 1
    counts["commits"] = step
    return counts


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--writer", type=Path)
    args = parser.parse_args()
    if args.writer:
        writer(args.writer)
    make_smaller()
    if args.flips:
        for (part, outcome), count in sorted(flips(args.flips, args.seed).items()):
            print(f"flip in {part:<14}{outcome:<10}{count:>6}")
    if args.kills:
        for kind, count in sorted(kills(args.kills, args.seed).items()):
            print(f"killed writer: {kind:<12}{count:>6}")


if __name__ == "__main__":
    main()
