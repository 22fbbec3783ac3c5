import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local_azure.training.job_folder import JobFolder
from local_azure.training.job_process import JobProcess, is_alive, job_environment
from local_azure.training.job_store import ProcessId

PATH = {"PATH": os.environ["PATH"]}


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    code = tmp_path / "training_job"
    code.mkdir()
    folder = JobFolder(tmp_path / "job")
    folder.recreate(code)
    return folder


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_runs_the_command_in_its_folder_and_keeps_the_exit_code(folder: JobFolder) -> None:
    process = JobProcess.start(folder, 'pwd; echo "$X" >&2; exit 3', {**PATH, "X": "x y"})
    process.go()
    eventually(lambda: not process.is_alive())
    assert folder.read_exit_code() == 3
    assert folder.log.read_text() == f"{folder.work}\nx y\n"


def test_runs_nothing_where_its_starter_ends_before_it_says_so(folder: JobFolder) -> None:
    process = JobProcess.start(folder, "echo started", PATH)
    assert process.child is not None
    assert process.child.stdin is not None
    process.child.stdin.close()
    eventually(lambda: not process.is_alive())
    assert folder.log.read_text() == ""
    assert folder.read_exit_code() is None


def test_the_command_decides_how_it_ends_at_sigterm(folder: JobFolder) -> None:
    process = JobProcess.start(folder, "trap 'echo saved; exit 5' TERM; echo up; while :; do sleep 0.05; done", PATH)
    process.go()
    eventually(lambda: folder.log.read_text() == "up\n")
    process.signal(signal.SIGTERM)
    eventually(lambda: not process.is_alive())
    assert folder.read_exit_code() == 5
    assert folder.log.read_text().endswith("saved\n")


def test_another_process_can_follow_it(folder: JobFolder) -> None:
    process = JobProcess.start(folder, "echo up; sleep 60", PATH)
    process.go()
    eventually(lambda: folder.log.read_text() == "up\n")
    other = JobProcess(process.id)
    assert other.is_alive()
    other.signal(signal.SIGKILL)
    assert process.child is not None
    process.child.wait(10)
    assert not other.is_alive()
    other.signal(signal.SIGKILL)
    assert folder.read_exit_code() is None


def test_a_number_that_another_process_has_now_is_not_alive() -> None:
    me = psutil.Process()
    assert is_alive(ProcessId(pid=me.pid, created=me.create_time()))
    assert not is_alive(ProcessId(pid=me.pid, created=me.create_time() - 3600))


def test_the_environment_holds_no_secret_and_the_jobs_python_first(folder: JobFolder) -> None:
    inherited = {"PATH": "/usr/bin", "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=x", "CUDA_VISIBLE_DEVICES": "0"}
    environment = job_environment(folder, Path("/venv/bin/python"), inherited, {"MLFLOW_RUN_ID": "r"})
    assert environment == {
        "PATH": "/venv/bin:/usr/bin",
        "PYTHONPATH": str(folder.code),
        "CUDA_VISIBLE_DEVICES": "0",
        "HOME": str(folder.home),
        "TMPDIR": str(folder.home),
        "LANG": "C.UTF-8",
        "MLFLOW_RUN_ID": "r",
    }


def test_a_jobs_own_paths_follow_the_two_that_it_needs(folder: JobFolder) -> None:
    variables = {"PATH": "/opt/bin", "PYTHONPATH": "/opt/lib"}
    environment = job_environment(folder, Path("/venv/bin/python"), {"PATH": "/usr/bin"}, variables)
    assert environment["PATH"] == "/venv/bin:/opt/bin"
    assert environment["PYTHONPATH"] == f"{folder.code}:/opt/lib"
