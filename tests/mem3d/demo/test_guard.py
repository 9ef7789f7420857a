"""What stands before the demo page, asked without a web library."""

import asyncio
import errno
import os
import socket

import pytest

from mem3d.demo.guard import MARGIN, UPLOADS_AT_ONCE, Guard, drop_oldest, listen

UPLOAD = "/gradio_api/upload"


async def answering(scope, receive, send):
    """An application that takes everything."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes"})


def ask(guard, path="/", method="GET", **headers):
    """Status and headers of an answer."""
    pairs = [
        (name.replace("_", "-").encode(), text.encode("latin-1")) for name, text in headers.items()
    ]
    messages = []

    async def send(message):
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": pairs}
    asyncio.run(guard(scope, None, send))
    return messages[0]["status"], dict(messages[0]["headers"])


def guard_of(host="127.0.0.1", app=answering, tidy=lambda: None):
    return Guard(app, host, 1000, tidy)


@pytest.mark.parametrize(
    ("listening", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:7860", 200),
        ("127.0.0.1", "LOCALHOST.:7860", 200),
        ("127.0.0.1", "localhost:8000", 200),  # through a tunnel
        ("127.0.0.1", "[::1]:7860", 200),
        ("127.0.0.1", "192.168.1.7:7860", 403),
        ("127.0.0.1", "evil.example:7860", 403),
        ("127.0.0.1", "127.0.0.1.evil.example", 403),
        ("127.0.0.1", "localhost@evil.example", 403),
        ("127.0.0.1", "", 403),
        ("127.0.0.1", "[::1", 403),
        ("0.0.0.0", "192.168.1.7:7860", 200),
        ("0.0.0.0", "evil.example", 403),
        ("0.0.0.0", socket.gethostname(), 200),
        ("box.lan", "box.lan:7860", 200),
        ("box.lan", "192.168.1.7", 403),
    ],
)
def test_only_hosts_that_are_listened_to(listening, host, status):
    assert ask(guard_of(listening), host=host)[0] == status


def test_a_request_without_a_host_is_refused():
    assert ask(guard_of())[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": "http://localhost:7860"}, 200),
        ({"origin": "https://localhost:7860"}, 200),  # a proxy that encrypts
        ({"origin": "http://localhost:3000"}, 403),  # another page of this machine
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),  # as a picture
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # a link
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_only_this_pages_own_requests(headers, status, method):
    got = ask(guard_of(), "/gradio_api/queue/join", method, host="localhost:7860",
              content_length="2", **headers)  # fmt: skip
    assert got[0] == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/config", 200),
        ("/gradio_api/file=/tmp/a.png", 200),
        ("/gradio_api/file=http://evil.example/a", 404),
        ("/gradio_api/proxy=http://evil.example/a", 404),
        ("/gradio_api/process_recording", 404),
        ("/gradio_api/vibe-edit/", 404),
        ("/monitoring/summary", 404),
    ],
)
def test_only_what_the_page_needs(path, status):
    assert ask(guard_of(), path, host="localhost")[0] == status


@pytest.mark.parametrize(
    ("length", "status"),
    [(str(1000 + MARGIN), 200), (str(1001 + MARGIN), 413), ("9" * 5000, 413), ("-1", 411)],
)
def test_uploads_are_of_a_told_and_bounded_length(length, status):
    assert ask(guard_of(), UPLOAD, "POST", host="localhost", content_length=length)[0] == status
    assert ask(guard_of(), UPLOAD, "POST", host="localhost")[0] == 411


def test_so_many_uploads_at_once_and_tidied_after_each():
    tidied, statuses = [], []

    async def several():
        gate = asyncio.Event()

        async def waiting(scope, receive, send):
            await gate.wait()
            await answering(scope, receive, send)

        guard = guard_of(app=waiting, tidy=lambda: tidied.append(1))

        async def send(message):
            statuses.append(message.get("status"))

        headers = [(b"host", b"localhost"), (b"content-length", b"1")]
        scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": headers}
        tasks = [asyncio.create_task(guard(scope, None, send)) for _ in range(UPLOADS_AT_ONCE + 1)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(several())
    assert sorted(filter(None, statuses)) == [200] * UPLOADS_AT_ONCE + [503]
    assert len(tidied) == UPLOADS_AT_ONCE


def test_no_other_site_frames_the_page():
    headers = ask(guard_of(), host="localhost")[1]
    assert headers[b"content-security-policy"] == b"frame-ancestors 'none'"


def fill(folder, count, size=10):
    """Files as gradio keeps them, the first the oldest; gives their names."""
    for number in range(count):
        (folder / "gradio" / str(number)).mkdir(parents=True)
        (folder / "gradio" / str(number) / "a").write_bytes(bytes(size))
        os.utime(folder / "gradio" / str(number) / "a", (0, 0))  # when it was taken says nothing
    (folder / "examples").mkdir()
    (folder / "examples" / "a.png").write_bytes(bytes(1000))


@pytest.mark.parametrize(
    ("max_bytes", "max_files", "names"),
    [(1000, 1000, "01234"), (30, 1000, "234"), (1000, 2, "34"), (9, 9, "")],
)
def test_the_oldest_files_go_first(tmp_path, max_bytes, max_files, names):
    fill(tmp_path, 5)
    drop_oldest(tmp_path, tmp_path / "examples", max_bytes, max_files)
    assert sorted(path.name for path in (tmp_path / "gradio").iterdir()) == sorted(names)
    assert (tmp_path / "examples" / "a.png").exists()


def test_a_visitors_own_folder_stays(tmp_path):
    (tmp_path / "visit").mkdir()
    (tmp_path / "visit" / "a.glb").write_bytes(bytes(10))
    drop_oldest(tmp_path, tmp_path / "examples", 0, 0)
    assert list((tmp_path / "visit").iterdir()) == []


def test_a_port_that_is_taken_is_told_and_the_next_one_is_found():
    with listen("127.0.0.1", None)[0] as first:
        port = first.getsockname()[1]
        with pytest.raises(
            OSError, match=f"^127.0.0.1:{port}: got Address already in use, want .*--port"
        ):
            listen("127.0.0.1", port)
        second, url = listen("127.0.0.1", None)
        with second:
            assert url == f"http://127.0.0.1:{second.getsockname()[1]}/" != f"{port}"


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 300])
def test_what_is_no_address_of_this_machine_is_told(host):
    with pytest.raises(OSError, match=r"want an address of this machine \(--host\)") as caught:
        listen(host, 7999)
    assert caught.value.errno != errno.EADDRINUSE


def test_any_address_is_shown_as_one_to_type():
    listener, url = listen("0.0.0.0", None)
    with listener:
        assert url.startswith("http://localhost:")
