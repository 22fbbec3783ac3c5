"""`make up` as a person uses it: a process in the foreground, Ctrl-C, and a second start."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from azure.storage.blob import BlobServiceClient

from local_azure.stack.stack import Ports
from local_azure.stack.supervisor import ROOT
from local_azure.storage.azurite import AzuriteAccount
from tests.end_to_end.stacks import free_stack_ports


def options(ports: Ports, state: Path) -> list[str]:
    flags = [word for name, port in ports.named().items() for word in (f"--{name.replace('_', '-')}-port", str(port))]
    return [sys.executable, "-m", "local_azure.stack.supervisor", "--state", str(state), "--quiet-period", "1", *flags]


@contextmanager
def up(ports: Ports, state: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(options(ports, state), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        assert "Ctrl-C" in printed[-1], "".join(printed)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.wait(60)
        process.stdout.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_ctrl_c_stops_every_process_and_a_second_start_finds_the_earlier_state(tmp_path: Path) -> None:
    where, state = free_stack_ports(), tmp_path / "state"
    account = AzuriteAccount(blob_port=where.blob, queue_port=where.queue, table_port=where.table)
    with BlobServiceClient.from_connection_string(account.connection_string) as storage:
        with up(where, state) as process:
            assert all(map(listens, where.named().values()))
            family = psutil.Process(process.pid).children(recursive=True)
            storage.get_blob_client("data", "kept/x.parquet").upload_blob(b"1")
            deadline = time.monotonic() + 60
            while not storage.get_blob_client("receipts", "kept/latest.json").exists():
                assert time.monotonic() < deadline
                time.sleep(0.3)
        assert process.returncode == 0
        gone, alive = psutil.wait_procs(family, timeout=5)
        assert (len(gone), alive) == (len(family), [])
        assert not any(map(listens, where.named().values()))

        with up(where, state):
            latest = json.loads(storage.get_blob_client("receipts", "kept/latest.json").download_blob().readall())
            assert latest["folder"] == "kept"


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    where = free_stack_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", where.functions))
        other.listen()
        answer = subprocess.run(
            options(where, tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    assert answer.returncode == 1
    assert f"Port {where.functions} (functions) is in use" in answer.stdout
    assert "--functions-port" in answer.stdout
