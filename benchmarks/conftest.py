"""Sizes that a benchmark notes down, printed below the times."""

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A line per benchmark that has noted a size: what, how much, in which unit."""
    session = getattr(config, "_benchmarksession", None)
    for benchmark in session.benchmarks if session else ():
        for what, amount in benchmark.extra_info.items():
            terminalreporter.write_line(f"{benchmark.name}: {what}: {amount}")
