import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import BlobServiceClient
from pytest_mock import MockerFixture

from function_app.errors import TrainingServiceUnavailable
from local_azure.training.job_process import is_alive
from local_azure.training.job_run import JobRun, RunnerContext
from local_azure.training.job_runner import JobRunner
from local_azure.training.job_store import DATABASE, JobState, JobStore, RunRecord, StoredJob
from local_azure.training.mlflow_client import MlflowClient

RUN = RunRecord(run_id="r", experiment_id="1", artifacts="ExperimentRun/1/r/artifacts")
COMPUTE = {"compute": "gpu-cluster"}


@pytest.fixture
def context(tmp_path: Path, mocker: MockerFixture) -> RunnerContext:
    (tmp_path / "training_job").mkdir()
    mlflow = mocker.create_autospec(MlflowClient, instance=True)
    mlflow.address = "http://mlflow"
    return RunnerContext(
        store=JobStore(tmp_path / DATABASE),
        mlflow=mlflow,
        blobs=mocker.create_autospec(BlobServiceClient, instance=True),
        jobs=tmp_path / "jobs",
        code=tmp_path / "training_job",
        python=Path("/venv/bin/python"),
        packages=tmp_path / "packages",
        uv=Path("/tools/bin/uv"),
    )


@pytest.fixture
def ensure_run(context: RunnerContext, mocker: MockerFixture) -> MagicMock:
    def ensure(store: JobStore, _: MlflowClient, job: StoredJob) -> RunRecord:
        store.set_run(job.name, RUN)
        return RUN

    return mocker.patch("local_azure.training.job_run.ensure_run", side_effect=ensure)


def claimed(context: RunnerContext, command: str) -> JobRun:
    context.store.submit("a", {"command": command, **COMPUTE})
    job = context.store.claim()
    assert job is not None
    return JobRun(context, job)


def uploaded(context: RunnerContext) -> MagicMock:
    container: MagicMock = context.blobs.get_container_client.return_value  # type: ignore[attr-defined]  # a mock
    upload: MagicMock = container.upload_blob
    return upload


@contextmanager
def running(context: RunnerContext, concurrency: int) -> Iterator[None]:
    runner = threading.Thread(target=JobRunner(context, concurrency).run)
    runner.start()
    try:
        yield
    finally:
        context.stopping.set()
        runner.join()


def eventually(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.usefixtures("ensure_run")
def test_runs_a_job_to_its_end(context: RunnerContext, mocker: MockerFixture) -> None:
    claimed(
        context, "echo $MLFLOW_RUN_ID > outputs/run.txt; [ $AZUREML_RUN_ID = a ] && [ $KEDJA_GPU_OPTIONAL = 1 ]"
    ).run()
    job = context.store.get("a")
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    names = {call.args[0] for call in uploaded(context).call_args_list}
    assert names == {f"{RUN.artifacts}/outputs/run.txt", f"{RUN.artifacts}/user_logs/std_log.txt"}
    context.mlflow.update_run.assert_called_once_with("r", "FINISHED")  # type: ignore[attr-defined]  # a mock


@pytest.mark.usefixtures("ensure_run")
def test_a_job_learns_what_installs_packages_and_where_they_are_kept(context: RunnerContext) -> None:
    command = f'[ "$KEDJA_PACKAGES_CACHE" = {context.packages} ] && [ "$KEDJA_UV" = /tools/bin/uv ]'
    claimed(context, command).run()
    assert context.store.get("a").state is JobState.COMPLETED


def test_waits_while_mlflow_does_not_answer(
    context: RunnerContext, ensure_run: MagicMock, mocker: MockerFixture
) -> None:
    ensure_run.side_effect = [TrainingServiceUnavailable("down"), TrainingServiceUnavailable("down"), RUN]
    mocker.patch.object(context.stopping, "wait", return_value=False)
    claimed(context, "true").run()
    assert context.store.get("a").state is JobState.COMPLETED


def test_does_not_wait_for_mlflow_once_it_is_canceled(context: RunnerContext, ensure_run: MagicMock) -> None:
    ensure_run.side_effect = TrainingServiceUnavailable("down")
    run = claimed(context, "true")
    context.store.request_cancel("a")
    run.run()
    assert context.store.get("a").state is JobState.CANCELED


def test_goes_back_to_the_queue_where_the_runner_stops_before_it_starts(
    context: RunnerContext, ensure_run: MagicMock
) -> None:
    ensure_run.side_effect = TrainingServiceUnavailable("down")
    context.stopping.set()
    claimed(context, "true").run()
    assert context.store.get("a").state is JobState.QUEUED


@pytest.mark.usefixtures("ensure_run")
def test_a_job_whose_outputs_cannot_be_uploaded_has_failed(context: RunnerContext) -> None:
    uploaded(context).side_effect = ServiceRequestError("refused")
    claimed(context, "true").run()
    job = context.store.get("a")
    assert job.state is JobState.FAILED
    assert job.error == "The job's files could not be uploaded: refused"


@pytest.mark.usefixtures("ensure_run")
def test_the_next_runner_uploads_what_storage_did_not_take_while_all_stopped(context: RunnerContext) -> None:
    def refuse(*_: object, **__: object) -> None:
        context.stopping.set()
        raise ServiceRequestError("refused")

    uploaded(context).side_effect = refuse
    claimed(context, "printf m > outputs/m; exit 4").run()
    assert context.store.get("a").state is JobState.FINALIZING

    uploaded(context).reset_mock(side_effect=True)
    context.stopping.clear()
    JobRun(context, context.store.get("a")).resume()
    job = context.store.get("a")
    assert (job.state, job.error) == (JobState.FAILED, "the command ended with exit code 4")
    assert {call.args[0].rpartition("/")[2] for call in uploaded(context).call_args_list} == {"m", "std_log.txt"}


@pytest.mark.usefixtures("ensure_run")
def test_mlflow_may_be_down_at_the_end(context: RunnerContext) -> None:
    context.mlflow.update_run.side_effect = TrainingServiceUnavailable("down")  # type: ignore[attr-defined]  # a mock
    claimed(context, "true").run()
    assert context.store.get("a").state is JobState.COMPLETED


def test_a_document_that_became_invalid_fails(context: RunnerContext) -> None:
    claimed(context, "x ${{inputs.gone}}").run()
    assert "inputs.gone" in (context.store.get("a").error or "")


@pytest.mark.usefixtures("ensure_run")
def test_a_fault_of_the_runner_ends_the_job_and_its_process(context: RunnerContext, mocker: MockerFixture) -> None:
    mocker.patch.object(JobRun, "_reason_to_end", side_effect=RuntimeError("a fault"))
    context.store.submit("a", {"command": "sleep 60", **COMPUTE})
    with running(context, 1):
        eventually(lambda: context.store.get("a").state is JobState.FAILED)
    job = context.store.get("a")
    assert job.error == "the runner failed: RuntimeError('a fault')"
    assert job.process is not None
    assert not is_alive(job.process)


@pytest.mark.usefixtures("ensure_run")
def test_runs_no_more_at_once_than_it_may(context: RunnerContext, tmp_path: Path) -> None:
    release = tmp_path / "release"
    for number in range(3):
        context.store.submit(f"job-{number}", {"command": f"until [ -e {release} ]; do sleep 0.02; done", **COMPUTE})

    def states() -> list[JobState]:
        return [context.store.get(f"job-{number}").state for number in range(3)]

    with running(context, 2):
        eventually(lambda: states() == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED])
        release.touch()
        eventually(lambda: states() == [JobState.COMPLETED] * 3)


@pytest.mark.usefixtures("ensure_run")
@pytest.mark.parametrize("end", ["true", "exit 4", "kill -KILL 0"])
def test_what_a_job_kept_is_saved_however_it_ends(context: RunnerContext, end: str) -> None:
    container = context.blobs.get_container_client.return_value  # type: ignore[attr-defined]  # a mock
    container.list_blobs.side_effect = lambda **_: iter([])
    container.list_blob_names.return_value = iter([])
    place = {"path": "azureml://datastores/workspaceblobstore/paths/kept/a/"}
    command = "touch ${{outputs.kept}}/checkpoint ${{outputs.other}}/file; " + end
    context.store.submit("a", {"command": command, "outputs": {"kept": place, "other": {}}, **COMPUTE})
    job = context.store.claim()
    assert job is not None
    JobRun(context, job).run()
    names = {call.args[0] for call in uploaded(context).call_args_list}
    assert names == {
        "kept/a/checkpoint",
        f"{RUN.artifacts}/named_outputs/other/file",
        f"{RUN.artifacts}/user_logs/std_log.txt",
    }


@pytest.mark.usefixtures("ensure_run")
@pytest.mark.parametrize("is_storage_up", [True, False])
def test_what_a_job_kept_is_saved_where_the_runner_stops(context: RunnerContext, *, is_storage_up: bool) -> None:
    container = context.blobs.get_container_client.return_value  # type: ignore[attr-defined]  # a mock
    container.list_blobs.side_effect = lambda **_: iter([])
    container.list_blob_names.return_value = iter([])
    if not is_storage_up:
        uploaded(context).side_effect = ServiceRequestError("refused")
    place = {"path": "azureml://datastores/workspaceblobstore/paths/kept/a/"}
    command = "touch ${{outputs.kept}}/checkpoint; touch begun; sleep 60"
    context.store.submit("a", {"command": command, "outputs": {"kept": place}, **COMPUTE})
    with running(context, 1):
        eventually((context.jobs / "a" / "work" / "begun").exists)
    assert context.store.get("a").state is JobState.QUEUED
    assert [call.args[0] for call in uploaded(context).call_args_list] == ["kept/a/checkpoint"]
