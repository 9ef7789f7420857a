"""A disk whose power is cut: what a program has written is recorded, then replayed in part.

`strace` records the calls of a program. A cut leaves what was synced, and of the rest whatever a
disk may leave: each change of a folder that was not synced may be missing, whatever came after it,
and each write that was not synced may be missing, cut short, or zeros.

Source: what POSIX promises of fsync, which is less than ext4 or xfs do.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

CALLS = (
    "openat,write,pwrite64,writev,pwritev,ftruncate,lseek,fsync,fdatasync,mkdir,mkdirat,rmdir,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,access,faccessat,faccessat2,"
    "copy_file_range,sendfile"
)
_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FD = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2}|[^>])*)>")


@dataclass
class Node:
    """A file or a folder."""

    is_folder: bool
    content: bytes = b""
    synced: bytes = b""
    writes: list = field(default_factory=list)  # (offset, data) or (size, None), not synced yet
    entries: dict = field(default_factory=dict)  # of a folder: what programs see
    safe: dict = field(default_factory=dict)  # what is synced
    pending: list = field(default_factory=list)  # (name, node or None) not synced yet, in order

    def set(self, name, node):
        """Give a name to a node, or to none."""
        if node is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = node
        self.pending.append((name, node))

    def write(self, offset, data):
        """Data at an offset; None ends the file there."""
        self.content = _written(self.content, offset, data)
        self.writes.append((offset, data))

    def sync(self):
        """As fsync."""
        self.synced = self.content
        self.writes.clear()
        for name, node in self.pending:
            self.safe.pop(name, None)
            if node is not None:
                self.safe[name] = node
        self.pending.clear()


class Disk:
    """A folder of a disk, changed by recorded calls."""

    def __init__(self, root):
        self.root, self.top = PurePosixPath(root), Node(is_folder=True)
        self.offsets = {}
        self.told = []  # what the program has acknowledged, in order

    def find(self, path):
        """The folder that holds a path, its last name, and the node there or None."""
        parts = PurePosixPath(path).relative_to(self.root).parts
        folder = self.top
        for part in parts[:-1]:
            folder = folder.entries[part]
        name = parts[-1] if parts else None
        return folder, name, folder.entries.get(name) if parts else self.top

    def is_ours(self, path):
        return PurePosixPath(path).is_relative_to(self.root)

    def apply(self, call):
        """One call: its name, then its arguments."""
        getattr(self, f"_{call[0]}")(*call[1:])

    def _tell(self, what):
        self.told.append(what)

    def _open(self, fd, path, flags):
        folder, name, node = self.find(path)
        if node is None:
            node = Node(is_folder=False)
            folder.set(name, node)
        if "O_TRUNC" in flags:
            node.write(0, None)
        self.offsets[fd] = len(node.content) if "O_APPEND" in flags else 0

    def _seek(self, fd, offset):
        self.offsets[fd] = offset

    def _write(self, fd, path, data, offset):
        *_, node = self.find(path)
        start = self.offsets.get(fd, 0) if offset is None else offset
        node.write(start, data)
        if offset is None:
            self.offsets[fd] = start + len(data)

    def _copy(self, fd, path, source, start, count):
        content = self.find(source)[2].content[start : start + count]
        self._write(fd, path, content, None)

    def _truncate(self, path, size):
        *_, node = self.find(path)
        node.write(size, None)

    def _sync(self, path):
        self.find(path)[2].sync()

    def _mkdir(self, path):
        folder, name, _ = self.find(path)
        folder.set(name, Node(is_folder=True))

    def _unlink(self, path):
        folder, name, _ = self.find(path)
        folder.set(name, None)

    def _link(self, old, new):
        *_, node = self.find(old)
        folder, name, _ = self.find(new)
        folder.set(name, node)

    def _rename(self, old, new):
        self._link(old, new)
        self._unlink(old)

    def cut(self, rng, out):
        """Write to a folder what a cut might leave now."""
        self._leave(self.top, Path(out), rng, {}, rng.choice([0.1, 0.5, 0.9]))

    def write(self, out):
        """Write to a folder what programs see."""
        _write(self.top, Path(out))

    def _leave(self, folder, out, rng, contents, share):
        out.mkdir()
        entries = dict(folder.safe)
        for name, node in folder.pending:
            if rng.random() < share:
                entries.pop(name, None)
                if node is not None:
                    entries[name] = node
        for name, node in entries.items():
            if node.is_folder:
                self._leave(node, out / name, rng, contents, share)
            else:
                if id(node) not in contents:  # one file may have two names
                    contents[id(node)] = _rest(node, rng)
                (out / name).write_bytes(contents[id(node)])


def _write(folder, out):
    out.mkdir()
    for name, node in folder.entries.items():
        if node.is_folder:
            _write(node, out / name)
        else:
            (out / name).write_bytes(node.content)


def _written(content, offset, data):
    """A file's content after a write, or after its end was set."""
    before = content[:offset].ljust(offset, b"\0")
    return before if data is None else before + data + content[offset + len(data) :]


def _rest(node, rng):
    """What a cut might leave of a file."""
    content = node.synced
    for offset, data in node.writes:
        if data is not None and rng.random() < 0.5:
            size = rng.randrange(len(data) + 1)
            data = rng.choice([data[:size], data[:size].ljust(len(data), b"\0")])
        if rng.random() < 0.7:
            content = _written(content, offset, data)
    return content


def record(code, folder, trace):
    """Run a program (Python code that gets a folder) and return its calls, see `Disk.apply`.

    It acknowledges by `os.access("told:WHAT", 0)`.
    """
    command = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "100000000",
        "-o",
        str(trace),
        "-e",
        f"trace={CALLS}",
    ]
    subprocess.run([*command, sys.executable, "-c", code, str(folder)], check=True)
    return list(_calls(Path(trace).read_text().splitlines(), folder))


def _calls(lines, folder):
    """Calls as `Disk.apply` takes them, in the order in which they ended."""
    begun, disk = {}, Disk(folder)
    for line in lines:
        process, text = _LINE.fullmatch(line).groups()
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := _RESUMED.fullmatch(text):
            text = begun.pop(process) + resumed[1]
        call = _CALL.match(text)
        if not call:
            continue
        name, arguments, result = call[1], call[2], int(call[3])
        texts = [_text(part[0]) for part in _TEXT.findall(arguments)]
        if "access" in name and texts and texts[0].startswith(b"told:"):
            yield "tell", texts[0].removeprefix(b"told:").decode()
            continue
        if result < 0:
            continue
        yield from _change(name, arguments, result, texts, disk)


def _change(name, arguments, result, texts, disk):
    """One call that succeeded, if it changes the folder."""
    fds = [(int(fd), os.fsdecode(_text(path))) for fd, path in _FD.findall(arguments)]
    fd, path = fds[0] if fds else (None, "")
    if name in ("write", "pwrite64", "ftruncate", "fsync", "fdatasync", "lseek"):
        if not disk.is_ours(path):
            return
        last = arguments.rsplit(",", 1)[-1]
        if name == "write":
            yield "write", fd, path, texts[-1][:result], None
        elif name == "pwrite64":
            yield "write", fd, path, texts[-1][:result], int(last)
        elif name == "ftruncate":
            yield "truncate", path, int(last)
        elif name == "lseek":
            yield "seek", fd, result
        else:
            yield "sync", path
        return
    if name == "sendfile" and result and disk.is_ours(path):
        start = int(re.search(r"\[(\d+)\] =>", arguments)[1])
        yield "copy", fd, path, fds[1][1], start, result
        return
    names = [os.path.abspath(os.fsdecode(text)) for text in texts if not text.startswith(b"told:")]
    if name.startswith("unlinkat") and fds and not os.path.isabs(os.fsdecode(texts[-1])):
        names = [os.path.join(fds[0][1], os.fsdecode(texts[-1]))]
    if not names or not any(disk.is_ours(path) for path in names):
        if name in ("writev", "pwritev", "copy_file_range") and any(
            disk.is_ours(path) for _, path in fds
        ):
            raise NotImplementedError(name)
        return
    if name == "openat":
        if "O_WRONLY" in arguments or "O_RDWR" in arguments:
            yield "open", result, names[-1], arguments
    elif name.startswith("mkdir"):
        yield "mkdir", names[-1]
    elif name.startswith(("unlink", "rmdir")):
        yield "unlink", names[-1]
    elif name.startswith("rename"):
        yield "rename", *names[-2:]
    elif name.startswith("link"):
        yield "link", *names[-2:]


def _text(escaped):
    """Bytes of a text in which strace has written each as \\xNN, or of a path of -y."""
    if "\\x" not in escaped:
        return escaped.encode()
    return bytes.fromhex(escaped.replace("\\x", ""))
