"""One odd answer of a service is no verdict: jobs that are missed, tags that change, snapshots that cannot be read."""

from collections.abc import Callable

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import JobRefused, StorageUnavailable, TrainingServiceUnavailable, WorkspaceNotFound
from function_app.jobs.missing_jobs import is_missing
from function_app.operations.service import Kedja
from function_app.ports.training_service import RECEIPT_TAG, Job, JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World


@pytest.fixture
def world() -> World:
    return World.make()


def submitted(world: World, status: JobStatus = JobStatus.STARTING) -> Job:
    """Drop digits; return their job, in this status."""
    world.drop_digits()
    world.rest()
    (job,) = world.live_jobs()
    if status is not JobStatus.STARTING:
        world.training.move(job.name, status)
        world.rest()
    return job


def rounds(world: World, number: int) -> None:
    for _ in range(number):
        world.clock.advance(300)
        world.reconcile()
        world.rest()


class Hidden:
    """Jobs that the service does not know for a while, which continue all the same."""

    def __init__(self, world: World, *, lists: bool = True) -> None:
        self.world, self.lists = world, lists

    def __enter__(self) -> None:
        self.world.training.hidden = {*self.world.training.jobs}
        self.world.training.no_workspace = not self.lists

    def __exit__(self, *_: object) -> None:
        self.world.training.hidden = set()
        self.world.training.no_workspace = False


class TestMissedJob:
    @pytest.mark.parametrize("status", [JobStatus.STARTING, JobStatus.RUNNING])
    def test_that_is_missed_for_less_than_a_quarter_of_an_hour_goes_on(self, world: World, status: JobStatus) -> None:
        job = submitted(world, status)
        world.clock.advance(3600)
        with Hidden(world):
            rounds(world, 3)
        assert world.receipt().attempts[-1].misses == 3
        world.reconcile()
        assert (world.receipt().attempts[-1].misses, world.receipt().attempts[-1].missing_since) == (0, None)
        world.run_job(job.name)
        assert world.receipt().status is Status.REGISTERED

    def test_that_is_missed_beside_the_workspace_never_is_gone(self, world: World) -> None:
        jobs = [submitted(world)]
        with Hidden(world, lists=False):
            rounds(world, 50)
            assert world.receipt().attempts[-1].misses == 0
        world.run_job(jobs[0].name)
        assert (world.receipt().status, len(world.training.jobs)) == (Status.REGISTERED, 1)

    def test_whose_workspace_is_mistyped_is_not_canceled(self, world: World) -> None:
        for folder in ("a", "b", "c", "d", "e"):
            world.drop(f"scripts/{folder}/train.py", SCRIPT)
            world.drop(f"data/{folder}/digits.npz", b"digits")
        world.rest()

        def refuse(*_: object) -> None:
            raise WorkspaceNotFound("There is no workspace 'typo'.")

        class Typo:
            def __getattr__(self, _: str) -> Callable[..., None]:
                return refuse

        typo = host(world, training=lambda _: Typo())  # type: ignore[arg-type, return-value]
        for number in range(20):
            world.clock.advance(300)
            typo.reconciler.run(id=str(number))
        assert {job.status for job in world.training.jobs.values()} == {JobStatus.STARTING}
        assert {world.receipt(folder).status for folder in "abcde"} == {Status.SUBMITTED}

    def test_that_is_gone_and_seen_again_is_followed_to_its_end(self, world: World) -> None:
        job = submitted(world, JobStatus.RUNNING)
        with Hidden(world):
            rounds(world, 4)
            assert world.receipt().status is Status.FAILED
        rounds(world, 1)
        receipt = world.receipt()
        assert (receipt.status, receipt.attempts[-1].reopened) == (Status.RUNNING, 1)
        world.run_job(job.name)
        assert world.receipt().status is Status.REGISTERED
        ends = [one for one in world.publisher.types() if one.endswith(("Failed", "Registered"))]
        assert ends == ["Kedja.JobFailed", "Kedja.ModelRegistered"]

    def test_that_fails_after_it_was_gone_is_told_of_by_another_event(self, world: World) -> None:
        job = submitted(world, JobStatus.RUNNING)
        with Hidden(world):
            rounds(world, 4)
        rounds(world, 1)
        world.run_job(job.name, exit_code=1)
        failed = [one for one in world.publisher.published if one.type == "Kedja.JobFailed"]
        assert (world.receipt().status, len({one.id for one in failed})) == (Status.FAILED, 2)

    def test_that_was_retried_meanwhile_is_canceled(self, world: World) -> None:
        job = submitted(world, JobStatus.RUNNING)
        with Hidden(world):
            rounds(world, 4)
            world.kedja.job_commands.retry(job.name)
        rounds(world, 1)
        assert world.training.jobs[job.name].status is JobStatus.CANCELED
        assert world.receipt().status is Status.STARTING

    def test_that_completed_keeps_its_version(self, world: World) -> None:
        job = submitted(world)
        world.blobs.hold_copies = True
        world.training.finish(job.name)
        world.go_on(2)
        with Hidden(world):
            rounds(world, 2)
        assert (world.receipt().status, len(world.training.current())) == (Status.COMPLETED, 1)
        world.blobs.hold_copies = False
        world.blobs.end_copies()
        rounds(world, 1)
        assert world.receipt().status is Status.REGISTERED

    def test_that_may_run_is_not_superseded(self, world: World) -> None:
        job = submitted(world)
        world.tells_of_runs = False
        world.training.move(job.name, JobStatus.RUNNING)
        with Hidden(world):
            world.clock.advance(60)
            world.drop("data/digits/digits.npz", b"better")
            world.rest()
        assert world.training.jobs[job.name].status is JobStatus.RUNNING
        assert [one.status for one in world.receipts()] == [Status.SUBMITTED, Status.SUBMITTED]

    def test_strays_are_found_beyond_the_newest_hundred(self, world: World) -> None:
        stray = submitted(world)
        world.blobs.delete(naming.RECEIPTS, world.opened()[0])
        world.kedja.receipts.change(world.receipt(), lambda now: now.with_status(Status.CANCELED, world.clock()))
        for number in range(150):
            other = evolve(stray, name=f"other-{number}", status=JobStatus.COMPLETED)
            world.training.jobs[other.name] = other
        world.reconcile()
        assert world.training.jobs[stray.name].status is JobStatus.CANCELED


class TestIsMissing:
    def test_needs_two_misses_and_the_workspace(self, world: World) -> None:
        job = submitted(world)
        assert is_missing(world.training, "other")
        assert not is_missing(world.training, job.name)
        world.training.hidden_once = {job.name}
        assert not is_missing(world.training, job.name)
        world.training.no_workspace = True
        with pytest.raises(TrainingServiceUnavailable):
            is_missing(world.training, "other")


class TestSubmission:
    def test_that_is_refused_although_its_job_is_there_goes_on(self, world: World) -> None:
        def refuse() -> None:
            raise JobRefused("Half an answer.")

        world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", refuse, after=True))
        job = submitted(world)
        world.run_job(job.name)
        assert world.receipt().status is Status.REGISTERED

    def test_whose_job_was_made_is_not_rejected_for_its_approval(self) -> None:
        world = World.make(approvals="required")
        world.drop_digits()
        world.rest()
        digest = str(world.receipt().received.code_sha256)

        def cut() -> None:
            world.kedja.approval_service.approvals.revoke(digest)
            raise TrainingServiceUnavailable("The connection was cut.")

        world.kedja.approval_service.approve(digest, by="ada", note=None)
        world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", cut, after=True))
        world.go_on(1)
        (job,) = world.live_jobs()
        world.training.hidden_once = {job.name}
        world.rest()
        assert (world.receipt().status, world.receipt().job) == (Status.SUBMITTED, job.name)


def damage(world: World, document: str, content: bytes | None) -> None:
    """Delete a document of the snapshot, or write something else in its place."""
    name = f"digits/{world.receipt().drop}/{document}"
    if content is None:
        world.blobs.delete(naming.SNAPSHOTS, name)
    else:
        world.blobs.upload(naming.SNAPSHOTS, name, content)


DAMAGE = [("job.json", None), ("job.json", b"{"), ("job.json", b'{"comand": 1}'), ("manifest.json", None)]


class TestSnapshot:
    @pytest.mark.parametrize(("document", "content"), DAMAGE)
    def test_that_cannot_be_read_keeps_no_completed_job_from_its_model(
        self, world: World, document: str, content: bytes | None
    ) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {register: {model: special, when: {metric: a, at_least: 0.5}}}")
        job = submitted(world)
        damage(world, document, content)
        world.run_job(job.name, metrics={"a": 0.7})
        receipt = world.receipt()
        assert receipt.model is not None
        assert (receipt.status, receipt.model.model) == (Status.REGISTERED, "special")

    @pytest.mark.parametrize(("document", "content"), DAMAGE)
    def test_that_cannot_be_read_ends_a_submission_with_words(
        self, world: World, document: str, content: bytes | None
    ) -> None:
        world.kedja = claimed(world)
        damage(world, document, content)
        world.go_on(800)
        assert world.receipt().status is Status.SUBMITTING
        world.rest()
        receipt = world.receipt()
        assert (receipt.status, receipt.what_to_do, world.opened()) == (Status.FAILED, "Drop the files again.", [])
        assert f"snapshots/digits/{receipt.drop}/{document}" in str(receipt.reason)
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        world.run_job()
        assert world.receipt().status is Status.REGISTERED

    def test_that_cannot_be_read_for_a_while_only_delays_a_submission(self, world: World) -> None:
        world.kedja = claimed(world)
        name = naming.SNAPSHOTS, f"digits/{world.receipt().drop}/job.json"
        kept = world.blobs.stored.pop(name)
        world.go_on(300)
        world.blobs.stored[name] = kept
        world.rest()
        assert world.receipt().status is Status.SUBMITTED
        assert world.receipt().attempts[-1].unreadable_since is None

    @pytest.mark.parametrize("seconds", [60, 700])
    def test_of_an_attempt_that_an_earlier_release_claimed_is_waited_for(self, world: World, seconds: int) -> None:
        job = submitted(world)
        world.kedja.receipts.change(world.receipt(), lambda now: now.with_attempt(options=None))
        name = naming.SNAPSHOTS, f"digits/{world.receipt().drop}/job.json"
        kept = world.blobs.stored.pop(name)
        world.training.finish(job.name)
        world.go_on(seconds)
        assert world.receipt().status is Status.COMPLETED
        world.blobs.stored[name] = kept
        world.rest()
        assert world.receipt().status is Status.REGISTERED

    def test_of_an_attempt_that_an_earlier_release_claimed_and_that_is_gone_registers_nothing(
        self, world: World
    ) -> None:
        job = submitted(world)
        world.kedja.receipts.change(world.receipt(), lambda now: now.with_attempt(options=None))
        damage(world, "job.json", None)
        world.run_job(job.name)
        receipt = world.receipt()
        assert (receipt.status, world.training.versions) == (Status.NOT_REGISTERED, [])
        assert "only the snapshot says which model" in str(receipt.reason)


def claimed(world: World) -> Kedja:
    """Have a drop be claimed and not submitted; return the service that continues with it."""
    sound = world.kedja

    def cut() -> None:
        raise TrainingServiceUnavailable("The connection was cut.")

    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", cut))
    world.drop_digits()
    while not world.receipts():
        world.go_on(1)
    assert world.receipt().status is Status.SUBMITTING
    return sound


class TestTag:
    @pytest.mark.parametrize("tag", [None, "", "digits", "other/" + "0" * 64, "digits/../x", "other/thing/more"])
    def test_that_is_lost_or_changed_wedges_nothing(self, world: World, tag: str | None) -> None:
        job = submitted(world)
        tags = {} if tag is None else {RECEIPT_TAG: tag}
        world.training.jobs[job.name] = evolve(world.training.jobs[job.name], tags=tags)
        world.run_job(job.name)
        assert (world.receipt().status, world.opened()) == (Status.REGISTERED, [])

    def test_of_another_drop_is_not_believed(self, world: World) -> None:
        job = submitted(world)
        world.drop("scripts/other/train.py", SCRIPT)
        world.drop("data/other/digits.npz", b"digits")
        world.rest()
        other = world.receipt("other")
        world.training.jobs[job.name] = evolve(world.training.jobs[job.name], tags={RECEIPT_TAG: other.name})
        world.training.finish(job.name)
        rounds(world, 1)
        assert (world.receipt().status, world.receipt("other").status) == (Status.REGISTERED, Status.STARTING)


class TestStorage:
    def test_that_misses_a_receipt_once_keeps_its_mark(self, world: World) -> None:
        submitted(world)
        world.clock.advance(3600)
        (mark,) = world.opened()
        world.blobs.missed_once = {(naming.RECEIPTS, naming.receipt_blob(world.receipt().ref))}
        world.reconcile()
        assert world.opened() == [mark]
        rounds(world, 5)
        assert world.opened() == [mark]

    def test_that_misses_a_receipt_once_keeps_its_line_in_the_list(self, world: World) -> None:
        submitted(world)
        receipt = world.receipt()
        world.blobs.missed_once = {(naming.RECEIPTS, naming.receipt_blob(receipt.ref))}
        world.kedja.receipts.write_index(receipt)
        assert len(world.blobs.names_in(naming.RECEIPTS, ".by-time/")) == 1

    def test_that_misses_a_manifest_once_keeps_the_version(self, world: World) -> None:
        job = submitted(world)
        killed = host(world, blobs=lambda blobs: Meanwhile(blobs, "create", _die, about="manifest.json", after=True))
        world.training.finish(job.name)
        world.kedja, sound = killed, world.kedja
        with pytest.raises(KeyboardInterrupt):
            world.rest()
        world.kedja = sound
        receipt = world.receipt()
        assert receipt.model is not None
        manifest = naming.MODELS, f"{naming.model_prefix(receipt.model.model, receipt.model.version)}manifest.json"
        assert manifest in world.blobs.stored
        del world.training.jobs[job.name]
        world.clock.advance(3600)
        rounds(world, 3)
        world.blobs.missed_once = {manifest}
        rounds(world, 1)
        assert (world.receipt().status, len(world.training.current())) == (Status.REGISTERED, 1)

    def test_that_misses_job_yaml_once_trains_nothing_with_the_defaults(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"comand: python train.py\n")
        world.drop_digits()
        world.blobs.missed_once = {(naming.SCRIPTS, "digits/job.yaml")}
        world.rest()
        assert (world.receipt().status, world.training.jobs) == (Status.REJECTED, {})

    def test_that_misses_the_result_of_a_failed_job_once_trains_it_no_second_time(self) -> None:
        world = World.make(max_preemptions=5)
        job = submitted(world, JobStatus.RUNNING)
        folder = world.training.outputs(job.name)
        world.blobs.missed_once = {(folder.container, f"{folder.prefix}.kedja-manifest.json")}
        world.run_job(job.name, exit_code=3)
        assert (world.receipt().status, len(world.receipt().attempts)) == (Status.FAILED, 1)

    def test_that_misses_an_approval_once_rejects_nothing(self) -> None:
        world = World.make(approvals="required")
        world.drop_digits()
        world.rest()
        digest = str(world.receipt().received.code_sha256)
        world.kedja.approval_service.approve(digest, by="ada", note=None)
        world.blobs.missed_once = {(naming.RECEIPTS, f".approvals/{digest}.json")}
        world.rest()
        assert world.receipt().status is Status.SUBMITTED

    def test_that_misses_the_champion_once_deletes_nothing_of_it(self, world: World) -> None:
        world.run_job(submitted(world).name)
        world.blobs.missed_once = {(naming.MODELS, naming.champion_blob("digits"))}
        with pytest.raises(StorageUnavailable):
            world.kedja.experiments.deleter.delete_version("digits", "1")
        assert (naming.MODELS, "digits/1/manifest.json") in world.blobs.stored


def _die() -> None:
    raise KeyboardInterrupt
