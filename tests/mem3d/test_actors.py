"""A crew without Ray: answers in the order of the tasks, failures that name who and what."""

import random
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mem3d.actors import AHEAD, Crew, Hiring, WorkerError
from memstore.ray_session import RaySession


class TaskError(Exception):
    """As RayTaskError."""

    def __init__(self, cause):
        self.cause = cause


class ActorError(Exception):
    """As RayActorError."""


class FakeRay:
    """What a crew wants of Ray: actors here, whose calls finish in a random order."""

    exceptions = SimpleNamespace(
        RayTaskError=TaskError,
        RayActorError=ActorError,
        RaySystemError=ActorError,
        RayError=TaskError,
    )

    def __init__(self, seed=0):
        self.rng, self.killed, self.begun, self.closed = random.Random(seed), 0, 0, False
        self.ray = self

    def remote(self, kind):
        return SimpleNamespace(
            options=lambda **_: SimpleNamespace(remote=lambda: FakeActor(self, kind()))
        )

    def cluster_resources(self):
        return {"CPU": 6.0}

    def get(self, call):
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer

    def wait(self, calls, num_returns):
        ready = self.rng.choice(calls)
        return [ready], [call for call in calls if call is not ready]

    def kill(self, actor):
        self.killed += 1

    def close(self):
        self.closed = True


class Call:
    """A reference to an answer, hashed by identity."""

    def __init__(self, answer):
        self.answer = answer


class FakeActor:
    """An actor: each call acts at once."""

    def __init__(self, ray, subject):
        self._ray, self._subject = ray, subject

    def __getattr__(self, name):
        def remote(*args):
            self._ray.begun += name == "do"
            try:
                answer = getattr(self._subject, name)(*args)
            except ActorError as error:
                answer = error
            except Exception as error:
                answer = TaskError(error)
            return Call(answer)

        return SimpleNamespace(remote=remote)


class Squares:
    """A worker."""

    identity = "squares"

    def __call__(self, task):
        if isinstance(task, Exception):
            raise task
        return task * task


def crew_of(ray, workers=3, make=Squares):
    return Crew(make, Hiring(workers), 1, session=ray)


def test_answers_are_in_the_order_of_the_tasks():
    for seed in range(30):
        ray = FakeRay(seed)
        crew = crew_of(ray, workers=seed % 4 + 1)
        assert list(crew.map(range(40), str)) == [i * i for i in range(40)]
        crew.close()
        assert (ray.killed, ray.closed) == (seed % 4 + 1, True)
    assert list(crew_of(FakeRay()).map([], str)) == []


def test_no_more_is_begun_than_a_few_ahead():
    ray = FakeRay()
    for number, _ in enumerate(crew_of(ray).map(range(100), str), start=1):
        assert ray.begun <= number + AHEAD * 3


def test_a_failure_names_the_worker_and_the_task_after_what_was_before_it():
    tasks = [1, 2, OSError("the disk is full"), 4, KeyError("late")]
    for seed in range(30):
        answers = []
        with pytest.raises(WorkerError, match=r"^worker \d of 3, at task #: the disk is full$"):
            for answer in crew_of(FakeRay(seed)).map(tasks, lambda task: "task #"):
                answers.append(answer)
        assert answers == [1, 4]
    with pytest.raises(ValueError, match=r"at 0: KeyError: 'late'$"):
        list(crew_of(FakeRay()).map([KeyError("late")], lambda task: "0"))


def test_a_lost_worker_is_named():
    with pytest.raises(
        WorkerError, match=r"^worker 1 of 1, at a to b: the worker is gone \(killed"
    ):
        list(crew_of(FakeRay(), 1).map([ActorError("killed\nlong")], lambda task: "a to b"))


def test_workers_that_opened_different_networks_are_refused():
    identities = iter(["one", "one", "another"])

    def make():
        worker = Squares()
        worker.identity = next(identities)
        return worker

    ray = FakeRay()
    with pytest.raises(WorkerError, match="worker 3 of 3: has opened another network"):
        crew_of(ray, make=make)
    assert (ray.killed, ray.closed) == (3, True)


def test_a_worker_that_cannot_start_is_named():
    def make():
        raise ValueError("run: got nothing there")

    ray = FakeRay()
    with pytest.raises(WorkerError, match="worker 1 of 3, at its start: run: got nothing there"):
        crew_of(ray, make=make)
    assert ray.closed


def test_a_folder_that_a_worker_does_not_see_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("os.getcwd", lambda: str(tmp_path / "elsewhere"))
    with pytest.raises(WorkerError, match=r"worker 1 of 3, at its start: .*elsewhere"):
        crew_of(FakeRay())


def test_by_default_there_are_as_many_as_cpus_by_threads():
    for threads, workers in ((1, 6), (4, 1), (9, 1)):
        ray = FakeRay()
        Crew(Squares, Hiring(), threads, session=ray).close()
        assert ray.killed == workers


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"^--ray: got no ray, want the extra 'ray'"):
        RaySession("--ray")


def test_an_address_where_nobody_listens_is_told_at_once(tmp_path):
    pytest.importorskip("ray")
    code = (
        "import socket\nfrom memstore.ray_session import RaySession\n"
        "with socket.socket() as free:\n"
        "    free.bind(('127.0.0.1', 0))\n"
        "    RaySession('--ray', f'127.0.0.1:{free.getsockname()[1]}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "where no Ray answers" in done.stderr and "refused" in done.stderr


def test_nothing_loads_ray_before_it_is_wanted():
    code = (
        "import sys, mem3d.actors, mem3d.inference.photos, mem3d.runs.encoding\n"
        "import mem3d_cli.mem3d.reconstruct, mem3d_cli.mem3d.memorize\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
