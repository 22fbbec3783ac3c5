import os
import sys
from pathlib import Path

import psutil
import pytest

from local_azure.stack.managed_process import ManagedProcess, ProcessStartError

NAP = "import time; print('up', flush=True); time.sleep(60)"


def managed(tmp_path: Path, code: str, *, healthy: bool | None = None, start_timeout: float = 10) -> ManagedProcess:
    log = tmp_path / "logs" / "part.log"
    return ManagedProcess(
        name="part",
        command=[sys.executable, "-c", code],
        log=log,
        healthy=lambda: "up" in log.read_text() if healthy is None else healthy,
        environment=os.environ,
        start_timeout=start_timeout,
    )


def test_runs_until_it_is_stopped(tmp_path: Path) -> None:
    part = managed(tmp_path, NAP)
    part.start()
    part.wait_until_healthy()
    assert part.is_running
    part.stop()
    part.stop()
    assert not part.is_running


def test_says_how_a_process_ended_that_did_not_start(tmp_path: Path) -> None:
    part = managed(tmp_path, "import sys; sys.exit('the disk is full')", healthy=False)
    part.start()
    with pytest.raises(ProcessStartError, match=r"part ended during startup \(exit code 1\).*the disk is full"):
        part.wait_until_healthy()


def test_says_when_its_program_is_not_installed(tmp_path: Path) -> None:
    part = managed(tmp_path, NAP)
    part.command = ["no-such-program"]
    with pytest.raises(ProcessStartError, match="part cannot start: no-such-program is not installed"):
        part.start()


def test_says_when_a_process_takes_too_long(tmp_path: Path) -> None:
    part = managed(tmp_path, NAP, healthy=False, start_timeout=0.3)
    part.start()
    try:
        with pytest.raises(ProcessStartError, match="not ready after"):
            part.wait_until_healthy()
    finally:
        part.stop()


def test_stopping_ends_what_the_process_started(tmp_path: Path) -> None:
    code = (
        f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {NAP!r}]); print(c.pid, 'up'); c.wait()"
    )
    part = managed(tmp_path, f"import sys; sys.stdout.reconfigure(line_buffering=True)\n{code}")
    part.start()
    part.wait_until_healthy()
    child = psutil.Process(int(part.log.read_text().split()[0]))
    part.stop()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_killed_process_has_ended_and_can_be_started_again(tmp_path: Path) -> None:
    part = managed(tmp_path, NAP)
    part.start()
    part.kill()
    assert (part.is_running, part.exit_code) == (False, -9)
    part.start()
    assert part.is_running
    part.stop()
