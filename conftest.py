"""Benchmarks run once, as tests, unless an option of pytest-benchmark asks for them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Switch them off as --benchmark-disable does, which --benchmark-only would clash with."""
    asked = ("benchmark_only", "benchmark_enable")
    if not any(config.getoption(option, default=False) for option in asked):
        config.option.benchmark_disable = True
