"""Jobs that are taken from under their drops, and go on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from function_app.domain.receipt import Status
from function_app.errors import Refused
from function_app.jobs.preemption import killed_reason
from function_app.models.job_result import JobResult
from function_app.ports.training_service import Job, JobStatus
from tests.unit.simulation import SCRIPT, World

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
TOLD = ("JobSubmitted", "JobSubmitted", "JobCompleted", "ModelRegistered")
LIMITED = b"limits: {timeout: 600}\n"


def killed(world: World, name: str | None = None, *, error: str | None = None) -> str:
    """Have a job that runs end without a word of its own."""
    name = name or world.live_jobs()[-1].name
    world.training.move(name, JobStatus.RUNNING)
    world.rest()
    world.training.move(name, JobStatus.FAILED, error=error)
    world.rest()
    return name


@pytest.fixture
def submitted(world: World) -> World:
    world.drop_digits()
    world.rest()
    return world


def test_a_killed_job_goes_on_as_the_next_attempt(submitted: World) -> None:
    first = killed(submitted, error="lost: the job's process was killed")
    receipt = submitted.receipt()
    before, last = receipt.attempts
    assert (receipt.status, receipt.preemptions) == (Status.SUBMITTED, 1)
    assert (before.job, before.status, before.ended is not None) == (first, "Failed", True)
    assert last.why == "preempted: the job was killed and left no result (lost: the job's process was killed)"
    submitted.run_job()
    receipt = submitted.receipt()
    assert (receipt.status, len(receipt.attempts), submitted.opened()) == (Status.REGISTERED, 2, [])
    assert submitted.publisher.types() == [f"Kedja.{kind}" for kind in TOLD]
    assert [one.data["attempt"] for one in submitted.publisher.published] == [1, 2, 2, 2]


def test_every_attempt_finds_the_checkpoints_of_the_one_before(submitted: World) -> None:
    killed(submitted)
    first, second = (request.document for request in submitted.training.requests.values())
    assert first == second
    place = first["outputs"]["kedja_checkpoints"]["path"]
    assert place == f"azureml://datastores/workspaceblobstore/paths/kedja-checkpoints/{submitted.receipt().name}/"
    assert '--checkpoints "${{outputs.kedja_checkpoints}}"' in first["command"]


def test_a_drop_keeps_its_place_among_others(submitted: World) -> None:
    name = submitted.live_jobs()[0].name
    submitted.training.move(name, JobStatus.RUNNING)
    submitted.clock.advance(60)
    submitted.drop("data/digits/digits.npz", b"newer digits")
    submitted.rest()
    older, newer = submitted.receipts()
    submitted.clock.advance(60)
    killed(submitted, name)
    again = submitted.receipts()[0]
    assert (again.sequence, again.followed_by) == (older.sequence, newer.drop)
    submitted.run_job(newer.job)
    submitted.run_job(again.job)
    champion = submitted.kedja.champions.find("digits")
    assert champion is not None
    assert champion.receipt == newer.name


def test_one_that_is_killed_again_and_again_has_failed() -> None:
    world = World.make(max_preemptions=2)
    world.drop_digits()
    world.rest()
    for _ in range(3):
        killed(world)
    receipt = world.receipt()
    assert (receipt.status, len(receipt.attempts), world.live_jobs()) == (Status.FAILED, 3, [])
    assert str(receipt.reason).startswith("Killed 3 times in a row; the last time, the job was killed")
    assert "last checkpoint" in str(receipt.what_to_do)
    assert world.publisher.types().count("Kedja.JobFailed") == 1
    assert world.opened() == []


def test_a_retry_counts_anew() -> None:
    world = World.make(max_preemptions=1)
    world.drop_digits()
    world.rest()
    killed(world)
    world.kedja.job_commands.retry(killed(world))
    killed(world)
    receipt = world.receipt()
    assert (receipt.status, len(receipt.attempts), receipt.preemptions) == (Status.SUBMITTED, 4, 1)


def test_none_goes_on_where_that_is_switched_off() -> None:
    world = World.make(max_preemptions=0)
    world.training.is_low_priority = True
    world.drop_digits()
    world.rest()
    killed(world)
    assert (world.receipt().status, len(world.training.jobs)) == (Status.FAILED, 1)
    assert "outputs" not in next(iter(world.training.requests.values())).document


def test_a_script_that_another_process_killed_goes_on(submitted: World) -> None:
    submitted.run_job(exit_code=137, signal="SIGKILL", reason="the script was ended by SIGKILL")
    receipt = submitted.receipt()
    assert (receipt.status, receipt.attempts[0].exit_code) == (Status.SUBMITTED, 137)
    assert receipt.attempts[1].why == "preempted: the script's process was killed by SIGKILL from outside"


@pytest.mark.parametrize(
    "result",
    [
        {"exit_code": 1},
        {"exit_code": 139, "signal": "SIGSEGV"},
        {"exit_code": 137, "signal": "SIGKILL", "out_of_memory": True},
        {"exit_code": 137, "signal": "SIGKILL", "reason": "rank 1 ended with ValueError: x", "failed_rank": 1},
        {"exit_code": 137, "signal": "SIGKILL", "reason": "rank 1 ended with ValueError: x"},  # of an earlier release
        {"exit_code": 65, "result": "refused"},
    ],
)
def test_a_script_that_failed_by_itself_has_failed(submitted: World, result: dict[str, Any]) -> None:
    submitted.run_job(**result)
    assert (submitted.receipt().status, len(submitted.training.jobs)) == (Status.FAILED, 1)


@pytest.mark.parametrize(
    ("error", "is_killed"),
    [
        (None, True),
        ("lost: the job's process was killed from outside", True),
        ("User process 'python' exited with status code 137. Please check the log.", True),
        ("the command ended with exit code 137", True),
        ("User process 'python' exited with status code 1. Please check the log.", False),
        ("the command ended with exit code 127", False),
    ],
)
def test_a_job_without_a_result_was_killed_unless_its_command_ended(error: str | None, *, is_killed: bool) -> None:
    job = Job(name="j", status=JobStatus.FAILED, detail="Failed", experiment="e", tags={}, started=BEGAN, error=error)
    assert (killed_reason(job, None, {}) is not None) is is_killed


@pytest.mark.parametrize(
    ("error", "is_killed"),
    [("lost: the job's process was killed from outside", True), ("the command ended with exit code 1", False)],
)
def test_a_job_that_failed_behind_a_result_that_says_completed_was_killed_after_its_last_word(
    error: str, *, is_killed: bool
) -> None:
    job = Job(name="j", status=JobStatus.FAILED, detail="Failed", experiment="e", tags={}, started=BEGAN, error=error)
    assert (killed_reason(job, JobResult(result="completed", exit_code=0), {}) is not None) is is_killed


def test_a_job_that_never_began_and_a_sweep_do_not_go_on() -> None:
    began = Job(name="j", status=JobStatus.FAILED, detail="Failed", experiment="e", tags={}, started=BEGAN)
    never = Job(name="j", status=JobStatus.FAILED, detail="Failed", experiment="e", tags={})
    assert killed_reason(never, None, {}) is None
    assert killed_reason(began, None, {"type": "sweep"}) is None
    assert killed_reason(began, JobResult(result="failed", signal="SIGKILL"), {}) is not None


class TestLowPriority:
    @pytest.fixture
    def spot(self, submitted: World) -> World:
        submitted.training.is_low_priority = True
        submitted.training.move(submitted.live_jobs()[0].name, JobStatus.RUNNING)
        submitted.rest()
        return submitted

    def test_a_job_whose_node_is_taken_away_goes_on(self, spot: World) -> None:
        spot.training.cancel(spot.live_jobs()[0].name)
        spot.rest()
        receipt = spot.receipt()
        assert (receipt.status, receipt.preemptions) == (Status.SUBMITTED, 1)
        assert receipt.attempts[1].why == "preempted: its low-priority node was taken away (Canceled)"
        assert "Kedja.JobCanceled" not in spot.publisher.types()

    def test_a_job_that_somebody_canceled_is_canceled(self, spot: World) -> None:
        spot.kedja.job_commands.cancel(spot.live_jobs()[0].name)
        spot.rest()
        assert (spot.receipt().status, len(spot.training.jobs)) == (Status.CANCELED, 1)

    def test_a_job_that_never_ran_is_canceled(self, submitted: World) -> None:
        submitted.training.is_low_priority = True
        submitted.training.cancel(submitted.live_jobs()[0].name)
        submitted.rest()
        assert submitted.receipt().status is Status.CANCELED

    @pytest.mark.parametrize(("minutes", "status"), [(10, Status.CANCELED), (9, Status.SUBMITTED)])
    def test_a_job_that_reached_its_limit_of_time_is_canceled(self, world: World, minutes: int, status: Status) -> None:
        world.training.is_low_priority = True
        world.drop("scripts/digits/job.yaml", LIMITED)
        world.drop("scripts/digits/train.py", SCRIPT)
        world.drop("data/digits/digits.npz")
        world.rest()
        name = world.live_jobs()[0].name
        world.training.move(name, JobStatus.RUNNING)
        world.clock.advance(timedelta(minutes=minutes).total_seconds())
        world.training.cancel(name)
        world.rest()
        assert world.receipt().status is status

    def test_a_service_that_says_timeout_means_it(self, spot: World) -> None:
        spot.training.move(spot.live_jobs()[0].name, JobStatus.CANCELED, error="limits.timeout: canceled after 5 s")
        spot.rest()
        assert spot.receipt().status is Status.CANCELED

    def test_while_it_cannot_be_asked_nothing_is_decided(self, spot: World) -> None:
        name = spot.live_jobs()[0].name
        spot.training.move(name, JobStatus.CANCELED)
        spot.training.unavailable = True
        spot.go_on(60)
        assert spot.receipt().status is Status.RUNNING
        spot.training.unavailable = False
        spot.rest()
        assert spot.receipt().status is Status.SUBMITTED


def test_a_serverless_spot_job_goes_on(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"queue_settings: {job_tier: spot}\n")
    world.drop_digits()
    world.rest()
    name = world.live_jobs()[0].name
    world.training.move(name, JobStatus.RUNNING)
    world.training.cancel(name)
    world.rest()
    assert world.receipt().preemptions == 1


def test_events_of_the_killed_attempt_that_come_late_change_nothing(submitted: World) -> None:
    first = killed(submitted)
    before = submitted.receipt()
    for _ in range(3):
        submitted.kedja.tracker.sync(first)
    assert submitted.receipt() == before
    assert len(submitted.training.jobs) == 2


def test_to_cancel_the_killed_attempt_names_the_one_that_goes_on(submitted: World) -> None:
    first = killed(submitted)
    second = submitted.receipt().job

    with pytest.raises(Refused, match=f"continues as {second}"):
        submitted.kedja.job_commands.cancel(first)


def test_a_name_from_before_a_deletion_is_not_used_again() -> None:
    world = World.make()
    world.drop_digits()
    world.rest()
    name = world.run_job()
    world.kedja.experiments.delete("digits", by="someone", force=False)
    for _ in range(2):
        world.clock.advance(700)
        world.reconcile()
        world.rest()
    world.drop_digits()
    world.rest()
    killed(world)

    attempts = world.receipt().attempts
    assert [one.number for one in attempts] == [2, 3]
    assert len({name, *(one.job for one in attempts)}) == 3
    world.run_job()
    assert (world.receipt().status, len(world.training.jobs)) == (Status.REGISTERED, 3)


def test_a_job_that_used_up_its_time_does_not_go_on() -> None:
    job = Job(
        name="j",
        status=JobStatus.FAILED,
        detail="Failed",
        experiment="e",
        tags={},
        started=BEGAN,
        ended=BEGAN + timedelta(seconds=601),
    )

    assert killed_reason(job, None, {"limits": {"timeout": 600}}) is None
    assert killed_reason(job, None, {"limits": {"timeout": 900}}) is not None
