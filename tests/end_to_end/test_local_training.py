"""The local training service with its real parts: Azurite, MLflow, the runner, and processes that are killed."""

import hashlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from function_app.ports.training_service import RECEIPT_TAG, JobRequest, JobStatus
from local_azure.storage.azurite import running_azurite
from local_azure.training.mlflow_server import running_mlflow
from local_azure.training.service import LocalTrainingService, connect
from tests.contract.local_backend import free_port, runner

pytestmark = pytest.mark.xdist_group("local-training")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as account:
        with BlobServiceClient.from_connection_string(account.connection_string) as service:
            for name in ("data", "snapshots", "azureml"):
                service.create_container(name)
        yield account.connection_string


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[str]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow"), free_port(), storage) as address:
        yield address


@pytest.fixture
def service(tmp_path: Path, mlflow: str) -> Iterator[LocalTrainingService]:
    service = connect({"KEDJA_LOCAL_TRAINING": str(tmp_path / "training"), "MLFLOW_TRACKING_URI": mlflow})
    yield service
    service.mlflow.close()


@pytest.fixture
def events() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    received: list[dict[str, Any]] = []

    class Topic(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["aeg-sas-key"] == "its key"
            assert self.path == "/topics/workspace/api/events?api-version=2018-01-01"
            received.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Topic) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def statuses_of(received: list[dict[str, Any]]) -> list[str | None]:
    return [event["data"].get("runStatus") for event in received]


def eventually(is_so: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.05)


def request(name: str, command: str, **document: object) -> JobRequest:
    return JobRequest(
        name=name,
        document={
            "command": command,
            "compute": "azureml:gpu-cluster",
            "experiment_name": "digits",
            "tags": {RECEIPT_TAG: "digits/0123"},
            **document,
        },
    )


def wait_for(service: LocalTrainingService, name: str, status: JobStatus) -> None:
    eventually(lambda: service.get(name).status is status)


def azureml(storage: str) -> ContainerClient:
    return ContainerClient.from_connection_string(storage, "azureml")


def process_of(service: LocalTrainingService, name: str) -> psutil.Process:
    process = service.store.get(name).process
    assert process is not None
    return psutil.Process(process.pid)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def killed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_a_job_reads_its_inputs_and_leaves_outputs_logs_metrics_and_events(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str, events: tuple[str, list[dict[str, Any]]]
) -> None:
    with ContainerClient.from_connection_string(storage, "data") as data:
        for number in range(20):
            data.upload_blob(f"digits/images/{number}.txt", f"{number}\n")
        data.upload_blob("digits2/other.txt", b"of another experiment")
    release = tmp_path / "release"
    command = """
        set -eu
        until [ -e "$RELEASE" ]; do sleep 0.05; done
        cat ${{inputs.data}}/images/*.txt | sort -n | tail -1
        find ${{inputs.data}} -type f | wc -l
        cat ${{inputs.one}}
        python -c 'import os, sys, training_job; print(sys.version_info[0], sorted(os.environ))'
        ! python -c 'import function_app' 2>/dev/null
        printf abc > outputs/model.npz
        printf '{}' > outputs/.kedja-manifest.json
        printf '%s' "$GREETING" > logs/greeting.txt
        printf r > ${{outputs.report}}/r.txt
        echo ${{inputs.epochs}} $AZUREML_RUN_ID $MLFLOW_EXPERIMENT_NAME
    """
    address, received = events
    root = "azureml://datastores/kedja_data/paths/"
    submitted = request(
        "whole",
        command,
        inputs={
            "data": {"type": "uri_folder", "path": f"{root}digits/"},
            "one": {"type": "uri_file", "path": f"{root}digits/images/7.txt"},
            "epochs": 3,
        },
        outputs={"report": {"type": "uri_folder"}},
        environment_variables={"GREETING": "hej", "RELEASE": str(release)},
    )
    with runner(tmp_path, storage, mlflow, "--event-grid", address, "--event-grid-key", "its key"):
        service.submit(submitted)
        eventually(lambda: "Running" in statuses_of(received))
        release.touch()
        eventually(lambda: service.get("whole").status.is_final)
        eventually(lambda: any(event["eventType"].endswith("RunCompleted") for event in received))
    job, log = service.get("whole"), service.logs("whole")
    assert job.status is JobStatus.COMPLETED, (job, log)
    assert log.complete
    lines = log.text.splitlines()
    assert lines[:3] == ["19", "20", "7"]
    assert "AZURE" not in lines[3].replace("AZUREML_RUN_ID", "")
    assert lines[4] == "3 whole digits"

    folder = service.outputs("whole")
    run = service.store.get("whole").run
    assert run is not None
    with azureml(storage) as container:
        names = {name.removeprefix(run.artifacts) for name in container.list_blob_names(name_starts_with=run.artifacts)}
        model = container.get_blob_client(f"{folder.prefix}model.npz").get_blob_properties()
    assert names == {
        "/outputs/model.npz",
        "/outputs/.kedja-manifest.json",
        "/logs/greeting.txt",
        "/named_outputs/report/r.txt",
        "/user_logs/std_log.txt",
    }
    assert bytes(model.content_settings.content_md5 or b"") == hashlib.md5(b"abc", usedforsecurity=False).digest()
    shown = service.mlflow.call("GET", "artifacts/list", {"run_id": run.run_id, "path": "outputs"})
    assert {file["path"] for file in shown["files"]} == {"outputs/model.npz", "outputs/.kedja-manifest.json"}
    assert service.mlflow.call("GET", "runs/get", {"run_id": run.run_id})["run"]["info"]["status"] == "FINISHED"
    assert not (tmp_path / "training" / "jobs" / "whole" / "inputs").exists()

    assert statuses_of(received)[-2:] == ["Completed", None]
    assert received[-1]["data"]["runTags"] == {RECEIPT_TAG: "digits/0123"}
    assert received[-1]["subject"].endswith("/runs/whole")


def test_a_job_outlives_its_killed_runner_and_the_next_one_reads_its_exit_code(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    release = tmp_path / "release"
    waits = f"until [ -e {release} ]; do sleep 0.05; done"
    with runner(tmp_path, storage, mlflow, "--concurrency", "2") as first:
        service.submit(request("survivor", f"{waits}; printf m > outputs/model.npz"))
        service.submit(request("survivor-2", f"{waits}; exit 7"))
        for name in ("survivor", "survivor-2"):
            wait_for(service, name, JobStatus.RUNNING)
        process = process_of(service, "survivor")
        killed(first)
        assert lives(process.pid)
        assert service.computes()[0].state == "Stopped"
    with runner(tmp_path, storage, mlflow):
        eventually(lambda: service.computes()[0].state == "Running")
        assert process_of(service, "survivor") == process
        release.touch()
        wait_for(service, "survivor", JobStatus.COMPLETED)
        wait_for(service, "survivor-2", JobStatus.FAILED)
    assert service.get("survivor-2").error == "the command ended with exit code 7"
    with azureml(storage) as container:
        assert container.get_blob_client(f"{service.outputs('survivor').prefix}model.npz").exists()


def test_a_job_that_was_killed_with_its_runner_is_failed(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    with runner(tmp_path, storage, mlflow) as first:
        service.submit(request("lost", "sleep 60"))
        wait_for(service, "lost", JobStatus.RUNNING)
        killed(first)
        os.killpg(process_of(service, "lost").pid, signal.SIGKILL)
    with runner(tmp_path, storage, mlflow):
        wait_for(service, "lost", JobStatus.FAILED)
    assert (service.get("lost").error or "").startswith("lost: ")


def test_a_stopped_runner_puts_its_job_back_into_the_queue(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    once = tmp_path / "once"
    command = f"if [ -e {once} ]; then echo again; else touch {once}; echo first; sleep 60; fi"
    with runner(tmp_path, storage, mlflow):
        service.submit(request("interrupted", command))
        eventually(once.exists)
        process = process_of(service, "interrupted")
    assert not lives(process.pid)
    assert service.get("interrupted").status is JobStatus.STARTING
    with runner(tmp_path, storage, mlflow):
        wait_for(service, "interrupted", JobStatus.COMPLETED)
    assert service.logs("interrupted").text == "again\n"


def test_a_canceled_job_that_ignores_sigterm_is_killed_with_all_it_started(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    ready = tmp_path / "ready"
    with runner(tmp_path, storage, mlflow, "--grace", "0.5"):
        service.submit(request("stubborn", f"trap '' TERM; sleep 60 & touch {ready}; sleep 60"))
        service.submit(request("behind", "true"))
        eventually(ready.exists)
        processes = [process_of(service, "stubborn"), *process_of(service, "stubborn").children(recursive=True)]
        service.cancel("behind")
        wait_for(service, "behind", JobStatus.CANCELED)
        assert service.get("stubborn").status is JobStatus.RUNNING
        service.cancel("stubborn")
        wait_for(service, "stubborn", JobStatus.CANCELED)
    assert len(processes) > 2
    eventually(lambda: not any(lives(process.pid) for process in processes), 30)


def test_a_job_ends_canceled_at_its_timeout_and_failed_where_an_input_is_empty(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    nowhere = {"path": "azureml://datastores/kedja_data/paths/nowhere/"}
    with runner(tmp_path, storage, mlflow):
        service.submit(request("slow", "sleep 60", limits={"timeout": 1}))
        service.submit(request("empty", "true", inputs={"data": nowhere}))
        wait_for(service, "slow", JobStatus.CANCELED)
        wait_for(service, "empty", JobStatus.FAILED)
    assert service.get("slow").error == "limits.timeout: canceled after 1 s"
    assert service.get("empty").error == "There is nothing at 'nowhere/' in container 'data'."


def test_what_a_job_leaves_in_the_background_ends_with_it(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    pid = tmp_path / "pid"
    with runner(tmp_path, storage, mlflow):
        service.submit(request("littering", f"sleep 60 & echo $! > {pid}"))
        wait_for(service, "littering", JobStatus.COMPLETED)
        eventually(lambda: not lives(int(pid.read_text())))


def test_paths_with_spaces_are_one_word_for_the_command(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    spaced = tmp_path / "my projects"
    (spaced / "training").mkdir(parents=True)
    here = connect({"KEDJA_LOCAL_TRAINING": str(spaced / "training"), "MLFLOW_TRACKING_URI": mlflow})
    with ContainerClient.from_connection_string(storage, "snapshots") as container:
        container.upload_blob("spaced/scripts/a.txt", b"a\n")
    scripts = {"path": "azureml://datastores/kedja_snapshots/paths/spaced/"}
    with runner(spaced, storage, mlflow):
        here.submit(request("spaced", "cat ${{inputs.scripts}}/scripts/a.txt", inputs={"scripts": scripts}))
        wait_for(here, "spaced", JobStatus.COMPLETED)
    assert here.logs("spaced").text == "a\n"
    here.mlflow.close()


def test_a_second_runner_on_the_same_folder_is_refused(
    tmp_path: Path, service: LocalTrainingService, storage: str, mlflow: str
) -> None:
    with runner(tmp_path, storage, mlflow):
        eventually(lambda: service.computes()[0].state == "Running")
        with runner(tmp_path, storage, mlflow) as second:
            assert second.wait(30) == 1
    assert "Another training runner uses" in (tmp_path / "runner.log").read_text()
