"""The demo page as it is served: real HTTP requests to the real server, over loopback."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mem3d.demo.guard import MOST_BYTES
from mem3d.demo.reconstruct_view import MAX_BYTES
from memstore import Memory
from tests.helpers.untrained_run import save_photo

pytestmark = pytest.mark.skipif(
    find_spec("gradio") is None, reason="not installed: gradio (the extra 'demo')"
)
PHOTO_ANSWERS = 14  # what the page shows anew for a photo: visit, status, ..., five files
BOUNDARY = "boundary"


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    """(host and port, folder of what visitors leave, memory that is kept) of the command."""
    log, temporary = tmp_path_factory.mktemp("log") / "log", tmp_path_factory.mktemp("temporary")
    run = tmp_path_factory.mktemp("write") / "run"
    code = "from mem3d_cli.mem3d.app import main; main()"
    command = [sys.executable, "-u", "-c", code, "demo", str(trained[0]), "--out", str(run)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process,
    ):
        try:
            while not (address := re.search(r"http://(\S+)/", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            [uploads] = temporary.glob("*/gradio")
            yield address[1], uploads, run / "memory"
        finally:
            process.terminate()
    assert (process.returncode, list(temporary.iterdir())) == (0, []), log.read_text()
    assert "Traceback" not in log.read_text()


def ask(served, path, body=None, **headers):
    """Status and text of an answer; POST if there is a body."""
    connection = HTTPConnection(served[0], timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read().decode()
        except ConnectionResetError:  # what it refuses, it does not read to the end
            return answer.status, ""
    finally:
        connection.close()


def upload(served, content, name="a.png", **headers):
    """Status and paths of an uploaded file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + content
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **headers}
    return ask(served, "/gradio_api/upload", body + f"\r\n--{BOUNDARY}--\r\n".encode(), **kind)


def config(served):
    return json.loads(ask(served, "/config")[1])


def reconstruct(served, path):
    """What the page answers to a photo, as its own script asks it."""
    call = next(  # those of a corrected mask come later
        call["id"]
        for call in config(served)["dependencies"]
        if len(call["outputs"]) == PHOTO_ANSWERS and len(call["inputs"]) == 6
    )
    session = uuid.uuid4().hex
    data = [
        {"path": path, "meta": {"_type": "gradio.FileData"}},
        0.05,
        "smooth",
        100,
        "height",
        None,
    ]
    join = {"data": data, "fn_index": call, "session_hash": session, "trigger_id": 1}
    kind = {"Content-Type": "application/json"}
    assert ask(served, "/gradio_api/queue/join", json.dumps(join), **kind)[0] == 200
    events = ask(served, f"/gradio_api/queue/data?session_hash={session}")[1]
    messages = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data:")]
    [answer] = [message for message in messages if message["msg"] == "process_completed"]
    assert answer["success"], answer
    return answer["output"]["data"]


def sizes(folder):
    """Bytes of each file that visitors left."""
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    return [path.stat().st_size for path in paths]


@pytest.mark.parametrize("path", ["/", "/config"])
def test_nothing_of_the_server_is_told(served, path):
    status, text = ask(served, path)
    assert status == 200 and "Photo of one object" in text
    for secret in (
        "Conv2d",
        "Encoder",
        "PosixPath",
        "DemoPage(",
        str(served[1]),
        "/tmp/",
        "/home/",
    ):
        assert secret not in text
    assert "data:image/png;base64" in text  # the example


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "192.0.2.1"])
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/queue/data?session_hash=a"])
def test_other_hosts_are_refused(served, host, path):
    status, text = ask(served, path, Host=host)
    assert status == 403 and text.startswith(f"Host: got '{host}', want")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1"])
def test_other_sites_neither_upload_nor_change_the_memory(served, origin, tmp_path):
    before, slots = sizes(served[1]), len(Memory.open(served[2]))
    photo = save_photo(tmp_path / "a.png").read_bytes()
    assert upload(served, photo, Origin=origin)[0] == 403
    kind = {"Content-Type": "text/plain", "Origin": origin}  # for which no browser asks before
    for path in ("/gradio_api/queue/join", "/gradio_api/run/predict"):
        assert ask(served, path, "{}", **kind)[0] == 403
    assert (sizes(served[1]), len(Memory.open(served[2]))) == (before, slots)


def test_the_pages_own_requests_are_answered(served, trained, tmp_path):
    photo = save_photo(tmp_path / "a.png", 7)
    status, text = upload(served, photo.read_bytes(), Origin=f"http://{served[0]}")
    assert status == 200
    answer = reconstruct(served, json.loads(text)[0])
    assert "recalled" in answer[1] and answer[4] == "a"
    status, glb = 0, answer[6]
    connection = HTTPConnection(served[0], timeout=60)
    connection.request("GET", f"/gradio_api/file={glb['value']['path']}")
    got = connection.getresponse()
    assert (got.status, got.read(4)) == (200, b"glTF")
    connection.close()


def test_a_path_that_was_not_uploaded_is_refused(served, trained):
    answer = reconstruct(served, str(trained[0] / "best.safetensors"))
    assert "best.safetensors" in answer[1] and "not work" in answer[1]


def test_too_much_is_refused_before_it_is_read(served):
    connection = HTTPConnection(served[0], timeout=60)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Length", str(2 * MAX_BYTES))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_what_visitors_leave_is_bounded(served):
    noise = np.random.default_rng(0)
    for number in range(5):
        status, _ = upload(served, noise.bytes(MAX_BYTES - 100), f"{number}.png")
        assert status == 200
    while len(files := sizes(served[1])) > 3:  # they are dropped once the answer has been sent
        time.sleep(0.1)
    assert MOST_BYTES - MAX_BYTES < sum(files) <= MOST_BYTES


def test_no_half_of_an_upload_stays(served):
    connection = HTTPConnection(served[0], timeout=60)
    before = len(sizes(served[1]))
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b'--boundary\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n')
    connection.close()
    assert upload(served, b"whole")[0] == 200
    assert len(sizes(served[1])) <= before + 1


def test_strokes_are_not_taken_into_ram(served):
    """The editor's own way of sending, which nothing bounds, is closed and not in use."""
    assert ask(served, "/gradio_api/component_server", "{}")[0] == 404
    [editor] = [part for part in config(served)["components"] if part["type"] == "imageeditor"]
    listened = [call["targets"] for call in config(served)["dependencies"]]
    assert editor["id"] not in {target[0] for targets in listened for target in targets}
