"""A process that is killed at each request of a commit to an object store, and what opens then.

`python -m tests.helpers.object_kills` prints the table: each request in turn is the last that the
process sends, and is carried out or not. `... work WHAT URL` is that process.
"""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np

import memstore
from memstore import PAPER, Memory

CONFIG = replace(PAPER, capacity=40, key_dim=6, resolution=4, delta=None)
WORKS = ("commit", "rewind", "create", "tag", "expire")


def rows(seed, n=3):
    """Features and grids."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6)), rng.random((n, 4, 4, 4)) < 0.4


def prepare(url, options, work):
    """A memory of three commits, the second of which has a tag; nothing for "create"."""
    if work == "create":
        return
    with Memory.create(url, CONFIG, storage_options=options) as memory:
        for seed in (1, 2):
            memory.write(*rows(seed, 12))
            memory.commit(f"commit {seed}")
            if seed == 1:
                memory.tag("first")


def do(work, url, options=None):
    """The work whose process is killed; it begins with the line "ready", once all is open."""
    if work == "create":
        print("ready", flush=True)
        input()
        Memory.create(url, CONFIG, storage_options=options)
        return
    at = "first" if work == "rewind" else None
    memory = Memory.open(url, "r+", at=at, storage_options=options)
    memory.write(*rows(3))
    print("ready", flush=True)
    input()
    if work in ("commit", "rewind"):
        memory.commit("commit 3")
    elif work == "tag":
        memory.tag("second")
    else:
        memory.expire(1)


def start(work, url, server):
    """A process that has come to the line "ready"; the server forgets what it has asked till then.

    It waits for a line before it goes on.
    """
    command = [sys.executable, "-m", "tests.helpers.object_kills", "work", work, url]
    process = subprocess.Popen(
        command,
        env=os.environ | server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    server.forget()
    return process


def killed_at(number, before, work, url, server):
    """Have the process of a work die at a request of a number; whether it came to send it."""
    process = start(work, url, server)

    def kill(count, *_):
        if count < number:
            return None
        process.kill()
        process.wait()
        return ("lose", before)

    server.on_request = kill
    process.stdin.write("go\n")
    process.stdin.close()
    process.wait()
    process.stdout.close()
    sent = len(server.requests) > number
    what = server.requests[number] if sent else None
    server.forget()
    return what


def outcome(url, options, work):
    """What opens after it, in words; it is whole, and can be gone on with."""
    try:
        memory = Memory.open(url, "r+", storage_options=options)
    except (memstore.PathMissingError, memstore.NotAMemoryError) as error:
        assert work == "create", error
        names = {memstore.PathMissingError: "nothing there", memstore.NotAMemoryError: "half made"}
        if isinstance(error, memstore.NotAMemoryError):
            try:
                Memory.create(url, CONFIG, storage_options=options)
                raise AssertionError("made over a half made one")
            except memstore.PathExistsError:
                pass
        return names[type(error)]
    with memory:
        messages = [entry.message for entry in memory.history()]
        assert memory.verify(every=True).problems == ()
        if work == "create":
            assert messages == ["create"] and len(memory) == 0
            state = "made"
        else:
            state = check_rows(memory, messages, work)
        memory.write(*rows(4, 1))
        memory.commit("goes on")
    reopened = Memory.open(url, storage_options=options)
    assert reopened.history()[0].message == "goes on"
    assert reopened.verify(every=True).problems == ()
    return state


def check_rows(memory, messages, work):
    """The memory is that of one of two commits, row for row; in words."""
    seeds = {"commit 3": [1, 3] if work == "rewind" else [1, 2, 3], "commit 2": [1, 2]}[messages[0]]
    expected = Memory(CONFIG)
    for seed in seeds:
        expected.write(*rows(seed, 3 if seed == 3 else 12))
    assert memory.slots.tolist() == expected.slots.tolist()
    np.testing.assert_array_equal(memory.keys(memory.slots), expected.keys(expected.slots))
    np.testing.assert_array_equal(memory.values(memory.slots), expected.values(expected.slots))
    assert "first" in memory.tags()
    if work == "tag":
        return "tag there" if "second" in memory.tags() else "no tag"
    if work == "expire":
        return f"{len(messages)} commits in the history"
    return "the new commit" if messages[0] == "commit 3" else "the one before"


def table(server, works=WORKS):
    """Rows (work, request, before or after, what opens)."""
    from tests.helpers.object_server import BUCKET

    for work in works:
        for number in range(99):
            for before in (True, False):
                url = f"s3://{BUCKET}/kills-{work}-{number}-{before}"
                prepare(url, server.options, work)
                sent = killed_at(number, before, work, url, server)
                if sent is None:
                    break
                yield work, sent, before, outcome(url, server.options, work)
            else:
                continue
            break


def main():
    """Print the table, requests of a kind together."""
    from tests.helpers.object_server import ObjectServer, kind_of

    server, counts = ObjectServer(), Counter()
    for work, request, before, state in table(server, sys.argv[1:] or WORKS):
        counts[work, kind_of(*request), "before" if before else "after", state] += 1
    for (work, request, when, state), count in counts.items():
        print(f"{work:<8}{request:<20}{when:<8}{count:>3}  {state}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        do(*sys.argv[2:])
    else:
        main()
