"""Fuzzing: hostile inputs for as long as there is time, and a line at the end that says how many were tried."""

import importlib.util

import pytest

from tests.fuzz.budget import SECONDS, SHARES, tried

# Chainer is in the environment that a job trains in alone, and the service is not there.
HAS_CHAINER = importlib.util.find_spec("chainer") is not None
collect_ignore = (
    [
        "test_events.py",
        "test_http.py",
        "test_job_yaml.py",
        "test_script_archives.py",
    ]
    if HAS_CHAINER
    else ["test_readers.py", "test_weights.py"]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/fuzz/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(SECONDS + 300))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tried:
        counts = " · ".join(f"{kind} {tried[kind]:,}" for kind in SHARES if tried[kind])
        terminalreporter.write_line(f"fuzz: {counts} · together {tried.total():,}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have a worker of pytest-xdist report its counts."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fuzz"] = dict(tried)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take a worker's counts."""
    tried.update(getattr(node, "workeroutput", {}).get("fuzz", {}))
