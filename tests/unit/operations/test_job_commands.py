from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import NotFound, Refused, RoleMissing
from function_app.jobspec.problem import InvalidJobSpec
from function_app.operations.job_commands import merged
from function_app.ports.training_service import JobStatus
from function_app.store.snapshots import CopyPending
from tests.unit.simulation import SCRIPT, World


@pytest.fixture
def dropped(world: World) -> World:
    world.drop("scripts/digits/train.py", SCRIPT, times=0)
    world.drop("data/digits/digits.npz", times=0)
    return world


@pytest.fixture
def submitted(dropped: World) -> World:
    dropped.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False)
    return dropped


def job(world: World) -> str:
    return world.live_jobs()[-1].name


class TestSubmit:
    def test_takes_what_lies_there_now(self, dropped: World) -> None:
        receipt = dropped.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False)
        assert (receipt.status, receipt.trigger) == (Status.SUBMITTED, "api")
        assert len(dropped.training.jobs) == 1

    def test_is_merged_over_the_job_yaml_that_lies_there(self, dropped: World) -> None:
        yaml = b"compute: cpu-cluster\nkedja: {arguments: {epochs: 5, unit: 100}}\n"
        dropped.drop("scripts/digits/job.yaml", yaml, times=0)
        request = {"experiment_name": "digits", "compute": None, "kedja": {"arguments": {"epochs": 9}}}
        receipt = dropped.kedja.job_commands.submit(request, trigger="api", code=True)
        assert receipt.spec["compute"] == "azureml:gpu-cluster"
        assert receipt.spec["command"].endswith("python train.py --epochs 9 --unit 100")

    def test_of_the_same_is_none(self, submitted: World) -> None:
        again = submitted.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False)
        assert (len(again.attempts), len(submitted.training.jobs)) == (1, 1)

    def test_needs_an_experiment(self, world: World) -> None:
        with pytest.raises(InvalidJobSpec, match="experiment_name"):
            world.kedja.job_commands.submit({}, trigger="api", code=True)

    def test_needs_files(self, world: World) -> None:
        with pytest.raises(NotFound, match="Nothing was dropped"):
            world.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=True)

    def test_of_code_needs_the_role(self, dropped: World) -> None:
        request = {"experiment_name": "digits", "command": "python train.py"}
        with pytest.raises(RoleMissing, match="command"):
            dropped.kedja.job_commands.submit(request, trigger="api", code=False)
        assert dropped.kedja.job_commands.submit(request, trigger="api", code=True).status is Status.SUBMITTED

    def test_tells_what_is_wrong_with_the_job_yaml_that_lies_there(self, dropped: World) -> None:
        dropped.drop("scripts/digits/job.yaml", b"comand: x\n", times=0)
        with pytest.raises(InvalidJobSpec, match="comand"):
            dropped.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=True)

    def test_takes_files_that_were_there_before(self, submitted: World) -> None:
        submitted.run_job()
        submitted.clock.advance(60)
        receipt = submitted.kedja.job_commands.submit(
            {"experiment_name": "digits", "compute": "cpu-cluster"}, trigger="api", code=True
        )
        assert (receipt.status, len(submitted.training.jobs)) == (Status.SUBMITTED, 2)

    def test_asks_to_come_again_while_scripts_are_copied(self, dropped: World) -> None:
        dropped.blobs.hold_copies = True
        with pytest.raises(CopyPending):
            dropped.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False)


class TestDryRun:
    def test_tells_the_very_document_and_does_nothing(self, dropped: World) -> None:
        dry = dropped.kedja.job_commands.dry_run({"experiment_name": "digits"}, code=False)
        assert (dry.status, dry.existing, dropped.training.jobs) == (Status.SUBMITTING, None, {})
        assert {call.operation for call in dropped.blobs.calls} <= {"list", "read", "get", "page"}
        receipt = dropped.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False)
        assert (dry.drop, dry.document) == (receipt.drop, receipt.spec)

    def test_tells_what_stands_against_it(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT, times=0)
        dry = world.kedja.job_commands.dry_run({"experiment_name": "digits"}, code=False)
        assert (dry.status, dry.reason, dry.document) == (Status.WAITING, "data", None)


class TestFind:
    def test_by_a_jobs_name(self, submitted: World) -> None:
        assert submitted.kedja.job_commands.find(job(submitted)) == submitted.receipt()

    @pytest.mark.parametrize("name", ["", "x", "digits", "digits-0123456789abcdef-1", "a-b", "-", "--", "digits-l-1"])
    def test_fails_where_there_is_none(self, submitted: World, name: str) -> None:
        with pytest.raises(NotFound, match="no job"):
            submitted.kedja.job_commands.find(name)

    def test_of_an_experiment_with_dashes(self, world: World) -> None:
        world.drop("scripts/my-res-net/train.py", SCRIPT)
        world.drop("data/my-res-net/a.npz")
        world.rest()
        assert world.kedja.job_commands.find(job(world)).experiment == "my-res-net"


class TestCancel:
    def test_ends_with_the_job(self, submitted: World) -> None:
        receipt = submitted.kedja.job_commands.cancel(job(submitted))
        assert receipt.status is Status.CANCELING
        submitted.rest()
        assert submitted.receipt().status is Status.CANCELED
        assert submitted.opened() == []

    def test_twice_is_once(self, submitted: World) -> None:
        name = job(submitted)
        submitted.kedja.job_commands.cancel(name)
        assert submitted.kedja.job_commands.cancel(name).status is Status.CANCELING

    def test_while_the_service_does_not_answer_is_asked_again(self, submitted: World) -> None:
        name = job(submitted)
        submitted.training.unavailable = True
        assert submitted.kedja.job_commands.cancel(name).status is Status.CANCELING
        submitted.training.unavailable = False
        submitted.reconcile()
        submitted.rest()
        assert submitted.receipt().status is Status.CANCELED
        assert submitted.training.jobs[name].status is JobStatus.CANCELED

    def test_of_what_has_ended_is_refused(self, submitted: World) -> None:
        name = submitted.run_job()
        with pytest.raises(Refused, match="nothing to cancel"):
            submitted.kedja.job_commands.cancel(name)


class TestRetry:
    def test_comes_after_what_it_repeats_by_the_clock_of_storage(self, world: World) -> None:
        world.blobs.skew = timedelta(minutes=10)
        world.drop_digits()
        world.rest()
        name = world.run_job(exit_code=1)
        before = world.receipt().sequence
        world.clock.advance(60)
        assert world.kedja.job_commands.retry(name).sequence >= before + 60

    @pytest.mark.parametrize("exit_code", [0, 1])
    def test_is_the_next_attempt_from_the_same_snapshot(self, submitted: World, exit_code: int) -> None:
        name = submitted.run_job(exit_code=exit_code)
        submitted.drop("scripts/digits/train.py", b"another script", times=0)
        receipt = submitted.kedja.job_commands.retry(name)
        assert (receipt.status, receipt.attempts[-1].why) == (Status.SUBMITTED, f"retry of {name}")
        first, second = submitted.training.requests.values()
        assert first.document == second.document
        assert submitted.blobs.read(naming.SNAPSHOTS, f"digits/{receipt.drop}/scripts/train.py").data == SCRIPT
        submitted.run_job()
        assert submitted.receipt().status is Status.REGISTERED
        assert submitted.opened() == []

    def test_of_what_goes_on_is_refused(self, submitted: World) -> None:
        with pytest.raises(Refused, match="nothing to retry"):
            submitted.kedja.job_commands.retry(job(submitted))

    def test_is_found_by_reconcile_wherever_it_is_killed(self, submitted: World) -> None:
        name = submitted.run_job(exit_code=1)
        submitted.training.unavailable = True
        submitted.kedja.job_commands.retry(name)
        submitted.queues.messages.clear()
        submitted.training.unavailable = False
        submitted.clock.advance(600)
        submitted.reconcile()
        assert len(submitted.training.jobs) == 2


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": None, "c": 3}, {"b": 2, "c": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": {"e": 1}}}, {"a": {"c": 2, "d": {"e": 1}}}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_merging_is_rfc_7396(base: dict[str, object], patch: dict[str, object], expected: dict[str, object]) -> None:
    before = repr(base)
    assert merged(base, patch) == expected
    assert repr(base) == before
