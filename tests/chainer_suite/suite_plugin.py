"""A pytest plugin that is put beside Chainer's own tests from outside: it records how each of them ends.

Both sides of the comparison get the same random numbers: every module and every test starts from a seed made of its
name (and of its MPI rank). Standard library, NumPy and pytest alone, as it also runs on the oldest Python compared.
"""

import json
import os
import random
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RESULTS_VARIABLE = "KEDJA_CHAINER_SUITE_RESULTS"
_RANK = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_PARAMETERS = re.compile(r"(_param_\d+)_\{.*?\}(?=_param_\d+_\{|::|$)", re.DOTALL)
_MESSAGE_LENGTH = 300


def plain(test_id: str) -> str:
    """Return a test's name without what differs from run to run, or with NumPy's version: addresses and values.

    Chainer's generated classes are called `Test_param_3_{shape=(2, 3)}`: the number alone says which it is.
    """
    return _PARAMETERS.sub(r"\1", _ADDRESS.sub("0x", test_id))


def _seed(test_id: str) -> None:
    number = (zlib.crc32(plain(test_id).encode()) + _RANK) % 2**32
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the generator that Chainer and its tests draw from


class Recorder:
    """Writes one line of JSON for each test as it ends."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._worst: dict[str, tuple[str, str]] = {}

    def write(self, test_id: str, outcome: str, message: str) -> None:
        """Record how a test ended."""
        line = {"id": plain(test_id), "outcome": outcome, "message": message[-_MESSAGE_LENGTH:]}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectstart(self, collector: Any) -> None:  # noqa: ANN401 - pytest's own, in whichever version
        """Seed what a module draws while it is imported."""
        _seed(collector.nodeid)

    def pytest_collectreport(self, report: Any) -> None:  # noqa: ANN401
        """Record a module that cannot be imported as one failed test of its name."""
        if report.failed:
            self.write(report.nodeid, "error", _error(report))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:  # noqa: ANN401
        """Seed before the test's own preparation, and write when its clean-up is done."""
        _seed(item.nodeid)
        yield
        outcome, message = self._worst.pop(item.nodeid, ("error", "no report"))
        self.write(item.nodeid, outcome, message)

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401
        """Keep the worst of a test's three phases: set-up, call, teardown."""
        known = self._worst.get(report.nodeid, ("passed", ""))[0]
        if report.failed:
            self._worst[report.nodeid] = ("failed" if report.when == "call" else "error", _error(report))
        elif report.skipped and known == "passed":
            outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            self._worst[report.nodeid] = (outcome, "")
        elif report.when == "call":
            self._worst.setdefault(report.nodeid, ("passed", ""))

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Say that nothing is missing."""
        self._file.write(json.dumps({"finished": int(exitstatus)}) + "\n")
        self._file.close()


def _error(report: Any) -> str:  # noqa: ANN401
    """Return the error's own words, which are long where a parameterized test fails: the end of them says why."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return " | ".join(line.strip() for line in text.splitlines() if line.strip())


def pytest_configure(config: Any) -> None:  # noqa: ANN401
    """Record, where the runner says to which file."""
    path = os.environ.get(RESULTS_VARIABLE)
    if path is not None:
        config.pluginmanager.register(Recorder(Path(f"{path}.{_RANK}")), "kedja-recorder")
