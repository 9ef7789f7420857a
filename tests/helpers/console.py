"""A program's `main` in this process, where one of its own would prove nothing more."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch


def run_main(main, *arguments):
    """Call a console entry point with arguments; its end as that of a process, in bytes."""
    words = ["program", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    status = 0
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as error:
            status = error.code or 0
    for stream in (out, err):
        stream.flush()
    return subprocess.CompletedProcess(words, status, out.buffer.getvalue(), err.buffer.getvalue())
