import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from function_app.errors import JobConflict, JobNotFound, TrainingServiceUnavailable
from function_app.ports.training_service import RECEIPT_TAG
from local_azure.training.job_store import DATABASE, JobState, JobStore, ProcessId, Runner, RunRecord

DOCUMENT = {"command": "true", "experiment_name": "digits", "tags": {RECEIPT_TAG: "digits/1", "n": 3}}
PROCESS = ProcessId(pid=7, created=5.5)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "training" / DATABASE)


def test_the_same_job_is_stored_once(store: JobStore) -> None:
    first = store.submit("a", DOCUMENT)
    assert first.state is JobState.QUEUED
    assert first.experiment == "digits"
    assert first.tags == {RECEIPT_TAG: "digits/1", "n": "3"}
    assert store.submit("a", dict(reversed(DOCUMENT.items()))) == first
    assert store.newest() == [first]


def test_another_job_of_the_same_name_is_a_conflict(store: JobStore) -> None:
    store.submit("a", DOCUMENT)
    with pytest.raises(JobConflict, match="'a'"):
        store.submit("a", {**DOCUMENT, "command": "false"})
    assert store.get("a").document["command"] == "true"


def test_submissions_at_once_make_one_job(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: store.submit("a", DOCUMENT), range(24)))
    assert {job.number for job in jobs} == {jobs[0].number}


def test_a_job_without_an_experiment_has_azure_mls_default(store: JobStore) -> None:
    assert store.submit("a", {"command": "true"}).experiment == "Default"


def test_unknown_jobs_are_not_found(store: JobStore) -> None:
    with pytest.raises(JobNotFound, match="'nobody'"):
        store.get("nobody")
    with pytest.raises(JobNotFound):
        store.request_cancel("nobody")


def test_newest_first_and_only_kedjas(store: JobStore) -> None:
    for name in ("a", "b", "c"):
        store.submit(name, DOCUMENT)
    store.submit("foreign", {"command": "true"})
    assert [job.name for job in store.newest()] == ["c", "b", "a"]


def test_claims_the_oldest_that_nobody_canceled(store: JobStore) -> None:
    for name in ("a", "b", "c"):
        store.submit(name, DOCUMENT)
    store.request_cancel("a")
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.name, claimed.state) == ("b", JobState.PREPARING)
    assert [job.name for job in store.unfinished()] == ["a", "b", "c"]


def test_a_job_is_claimed_once(store: JobStore) -> None:
    for number in range(10):
        store.submit(f"job-{number}", DOCUMENT)
    with ThreadPoolExecutor(8) as pool:
        claimed = [job.name for job in pool.map(lambda _: store.claim(), range(20)) if job is not None]
    assert sorted(claimed) == [f"job-{number}" for number in range(10)]
    assert store.claim() is None


def test_the_way_of_a_job_to_its_end(store: JobStore) -> None:
    store.submit("a", DOCUMENT)
    store.claim()
    assert store.set_running("a", PROCESS)
    running = store.get("a")
    assert (running.state, running.process) == (JobState.RUNNING, PROCESS)
    assert running.started is not None
    assert store.set_finalizing("a", JobState.FAILED, "exit code 1")
    assert store.get("a").outcome is JobState.FAILED
    assert store.end("a", JobState.FAILED, "exit code 1")
    ended = store.get("a")
    assert (ended.state, ended.error) == (JobState.FAILED, "exit code 1")
    assert ended.ended is not None
    assert ended.ended >= running.started
    assert store.unfinished() == []


def test_an_end_is_written_once_and_stays(store: JobStore) -> None:
    store.submit("a", DOCUMENT)
    assert store.end("a", JobState.COMPLETED)
    ended = store.get("a")
    assert not store.end("a", JobState.FAILED, "late")
    assert not store.requeue("a")
    store.request_cancel("a")
    assert store.get("a") == ended


def test_an_interrupted_job_starts_anew_and_keeps_its_run(store: JobStore) -> None:
    run = RunRecord(run_id="r", experiment_id="1", artifacts="ExperimentRun/1/r/artifacts")
    store.submit("a", DOCUMENT)
    store.claim()
    store.set_run("a", run)
    store.set_running("a", PROCESS)
    assert store.requeue("a")
    job = store.get("a")
    assert (job.state, job.process, job.started, job.run) == (JobState.QUEUED, None, None, run)


def test_a_job_keeps_the_first_run_it_was_given(store: JobStore) -> None:
    store.submit("a", DOCUMENT)
    first = RunRecord(run_id="r1", experiment_id="1", artifacts="one")
    assert store.set_run("a", first).run == first
    assert store.set_run("a", RunRecord(run_id="r2", experiment_id="1", artifacts="two")).run == first


def test_a_change_of_state_is_to_be_announced_until_it_has_been(store: JobStore) -> None:
    store.submit("a", DOCUMENT)
    assert store.unpublished() == []
    store.claim()
    assert [job.state for job in store.unpublished()] == [JobState.PREPARING]
    store.mark_published("a", JobState.PREPARING)
    assert store.unpublished() == []
    store.end("a", JobState.CANCELED)
    assert [job.state for job in store.unpublished()] == [JobState.CANCELED]


def test_the_last_runner_stands(store: JobStore) -> None:
    assert store.runner() is None
    for concurrency in (1, 2):
        store.set_runner(Runner(process=PROCESS, concurrency=concurrency))
    assert store.runner() == Runner(process=PROCESS, concurrency=2)


def test_a_locked_store_is_unavailable(store: JobStore, mocker: MockerFixture) -> None:
    mocker.patch("sqlite3.connect", side_effect=sqlite3.OperationalError("database is locked"))
    with pytest.raises(TrainingServiceUnavailable, match="database is locked"):
        store.get("a")


def _submit(path: Path) -> int:
    return JobStore(path).submit("a", DOCUMENT).number


def test_processes_share_the_store(store: JobStore) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        numbers = pool.map(_submit, [store.path] * 4)
        pool.close()
        pool.join()
    assert set(numbers) == {store.get("a").number}
