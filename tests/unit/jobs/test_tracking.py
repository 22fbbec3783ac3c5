from datetime import timedelta
from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.messages import SyncJobMessage
from function_app.domain.receipt import Receipt, Status
from function_app.errors import TrainingServiceError, TrainingServiceUnavailable
from function_app.ports.training_service import JobStatus, LogPage
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World, encoded, run_status_changed


@pytest.fixture
def submitted(world: World) -> World:
    world.drop_digits()
    world.rest()
    return world


def job(world: World) -> str:
    return world.live_jobs()[-1].name


def test_a_job_is_followed_to_its_end(submitted: World) -> None:
    submitted.run_job(metrics={"accuracy": 0.97})
    receipt = submitted.receipt()
    assert [change.status for change in receipt.history] == [
        Status.SUBMITTING,
        Status.SUBMITTED,
        Status.RUNNING,
        Status.COMPLETED,
        Status.REGISTERED,
    ]
    assert receipt.attempt is not None
    assert receipt.attempt.metrics == {"accuracy": 0.97}
    assert submitted.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobCompleted", "Kedja.ModelRegistered"]
    assert submitted.opened() == []


def test_events_come_late_twice_and_in_any_order(submitted: World) -> None:
    name = submitted.run_job()
    before = submitted.receipt()
    for status in ("Running", "Queued", "Failed", "Completed", "Completed"):
        submitted.queues.send(naming.RUN_EVENTS, run_status_changed(name, status))
    submitted.rest()
    assert submitted.receipt() == before
    assert len(submitted.publisher.published) == 3


def test_a_script_that_exits_1_has_failed(submitted: World) -> None:
    name = job(submitted)
    submitted.training.log_texts[name] = "".join(f"line {number}\n" for number in range(100))
    submitted.run_job(name, exit_code=1, metrics={"accuracy": 0.1})
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason) == (Status.FAILED, "The script ended with exit code 1.")
    assert receipt.attempt is not None
    assert receipt.attempt.exit_code == 1
    assert receipt.attempt.log_tail == tuple(f"line {number}" for number in range(50, 100))
    assert (submitted.training.versions, submitted.opened()) == ([], [])
    assert submitted.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobFailed"]
    assert submitted.publisher.published[-1].data["exit_code"] == 1


@pytest.mark.parametrize("result", [{"exit_code": 1}, {"exit_code": 137, "signal": "SIGKILL"}])
def test_a_log_that_cannot_be_read_keeps_no_job_from_ending(
    submitted: World, mocker: MockerFixture, result: dict[str, Any]
) -> None:
    refused = TrainingServiceError("The log cannot be read: Azure ML answered 403,\nnot for you.")
    mocker.patch.object(MemoryTraining, "logs", side_effect=refused)
    name = submitted.run_job(**result)
    receipt = submitted.receipt()
    (ended,) = [attempt for attempt in receipt.attempts if attempt.job == name]
    assert ended.log_tail == ("The log could not be read: The log cannot be read: Azure ML answered 403, not for you.",)
    assert (submitted.failures, receipt.status) == (
        [],
        Status.SUBMITTED if "signal" in result else Status.FAILED,
    )


def test_a_log_that_cannot_be_read_now_is_read_later(submitted: World, mocker: MockerFixture) -> None:
    page = LogPage(text="the end\n", next_offset=8, complete=True)
    mocker.patch.object(MemoryTraining, "logs", side_effect=[TrainingServiceUnavailable("down"), page])
    submitted.run_job(exit_code=1)
    receipt = submitted.receipt()
    assert receipt.attempt is not None
    assert (receipt.status, receipt.attempt.log_tail) == (Status.FAILED, ("the end",))


@pytest.mark.parametrize(
    ("result", "reason", "what_to_do"),
    [
        ({"signal": "SIGSEGV", "exit_code": 139}, "signal SIGSEGV", "log"),
        ({"out_of_memory": True, "reason": "The GPU's memory is full."}, "The GPU's memory is full.", "batch"),
        ({"result": "refused", "reason": "No labels."}, "No labels.", "Fix the file"),
        ({"result": "changed-since-snapshot", "reason": "a.png"}, "changed-since-snapshot: a.png", "drop of its own"),
    ],
)
def test_a_failure_is_told_in_words(submitted: World, result: dict[str, object], reason: str, what_to_do: str) -> None:
    submitted.training.finish(job(submitted), **{"exit_code": 1, **result})  # type: ignore[arg-type]
    submitted.rest()
    receipt = submitted.receipt()
    assert receipt.reason is not None
    assert receipt.what_to_do is not None
    assert reason in receipt.reason
    assert what_to_do in receipt.what_to_do


def test_a_job_without_a_word_of_its_own_has_its_services(submitted: World) -> None:
    submitted.training.move(job(submitted), JobStatus.FAILED, error="The node was preempted.")
    submitted.rest()
    assert submitted.receipt().reason == "The node was preempted."


def test_a_result_that_is_no_result_is_told(submitted: World) -> None:
    name = job(submitted)
    submitted.blobs.upload("azureml", f"ExperimentRun/dcid.{name}/outputs/.kedja-manifest.json", b"nonsense")
    submitted.training.move(name, JobStatus.FAILED)
    submitted.rest()
    assert "is not a job's result" in str(submitted.receipt().reason)


def test_a_job_that_waits_for_a_node_says_so(submitted: World) -> None:
    submitted.training.move(job(submitted), JobStatus.STARTING)
    submitted.rest()
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason) == (Status.STARTING, "The training service reports: Starting.")


def test_a_preempted_job_starts_again(submitted: World) -> None:
    name = job(submitted)
    for status in (JobStatus.RUNNING, JobStatus.STARTING, JobStatus.RUNNING):
        submitted.training.move(name, status)
        submitted.rest()
    submitted.run_job(name)
    assert submitted.receipt().status is Status.REGISTERED


def test_a_job_canceled_in_the_service_is_canceled(submitted: World) -> None:
    submitted.training.cancel(job(submitted))
    submitted.rest()
    receipt = submitted.receipt()
    assert (receipt.status, receipt.reason) == (Status.CANCELED, "The job was canceled in the training service.")
    assert submitted.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobCanceled"]


def test_a_job_that_ends_before_its_cancel_comes_registers_nothing(submitted: World) -> None:
    name = job(submitted)
    submitted.training.finish(name)
    submitted.queues.messages.clear()
    submitted.kedja.job_commands.cancel(name)
    submitted.kedja.tracker.sync(name)
    receipt = submitted.receipt()
    assert (receipt.status, submitted.training.versions) == (Status.CANCELED, [])
    assert "had already completed" in str(receipt.reason)


class TestForeign:
    def test_runs_are_ignored(self, world: World) -> None:
        world.kedja.on_run_event(encoded(run_status_changed("somebody's", "Completed")))
        assert world.queues.messages == []

    def test_jobs_without_a_receipt_are_ignored(self, submitted: World) -> None:
        name = job(submitted)
        for tags in ({}, {"kedja_receipt": "digits/" + "0" * 64}, {"kedja_receipt": "nonsense"}):
            stranger = submitted.training.jobs[name]
            submitted.training.jobs["stranger"] = type(stranger)(
                name="stranger", status=JobStatus.RUNNING, detail="", experiment="digits", tags=tags
            )
            assert submitted.kedja.tracker.sync("stranger") is None
        assert submitted.receipt().status is Status.SUBMITTED

    def test_a_stranger_with_our_tag_is_left_alone(self, submitted: World) -> None:
        ours = submitted.training.jobs[job(submitted)]
        submitted.training.jobs["stranger"] = type(ours)(
            name="stranger", status=JobStatus.RUNNING, detail="", experiment="digits", tags=ours.tags
        )
        submitted.kedja.tracker.sync("stranger")
        assert submitted.training.jobs["stranger"].status is JobStatus.RUNNING
        assert submitted.receipt().status is Status.SUBMITTED


class TestEarlierAttempts:
    def test_change_nothing(self, submitted: World) -> None:
        first = submitted.run_job(exit_code=1)
        submitted.kedja.job_commands.retry(first)
        before = submitted.receipt()
        submitted.kedja.tracker.sync(first)
        assert submitted.receipt() == before

    def test_are_canceled_where_they_still_run(self, submitted: World) -> None:
        first = submitted.run_job(exit_code=1)
        submitted.kedja.job_commands.retry(first)
        submitted.training.move(first, JobStatus.RUNNING)
        submitted.rest()
        assert submitted.training.jobs[first].status is JobStatus.CANCELED
        assert submitted.receipt().status is Status.SUBMITTED


class TestUnavailable:
    def test_is_looked_at_again(self, submitted: World) -> None:
        submitted.training.finish(job(submitted))
        submitted.training.unavailable = True
        submitted.go_on(3600)
        (message,) = submitted.queues.messages
        request = SyncJobMessage.model_validate_json(message.body)
        assert request.tries > 5
        submitted.training.unavailable = False
        submitted.rest()
        assert (submitted.receipt().status, submitted.failures) == (Status.REGISTERED, [])

    def test_for_a_day(self, submitted: World) -> None:
        submitted.training.finish(job(submitted))
        submitted.training.unavailable = True
        submitted.go_on(25 * 3600)
        assert submitted.queues.messages == []
        submitted.training.unavailable = False
        submitted.reconcile()
        assert submitted.receipt().status is Status.REGISTERED


def test_a_metric_that_is_no_number_spoils_no_receipt(submitted: World) -> None:
    submitted.run_job(metrics={"loss": float("nan"), "worst": float("inf"), "accuracy": 0.5})
    receipt: Receipt = submitted.receipt()
    assert receipt.attempt is not None
    assert str(receipt.attempt.metrics["loss"]) == "nan"
    assert receipt.status is Status.REGISTERED
    assert submitted.publisher.published[-1].data["metrics"] == {"loss": "nan", "worst": "inf", "accuracy": 0.5}


def test_the_receipt_says_when_things_were(submitted: World) -> None:
    submitted.clock.advance(60)
    submitted.run_job()
    attempt = submitted.receipt().attempt
    assert attempt is not None
    assert attempt.started is not None
    assert attempt.ended is not None
    assert attempt.started - attempt.claimed >= timedelta(seconds=60)
    assert attempt.ended >= attempt.started
