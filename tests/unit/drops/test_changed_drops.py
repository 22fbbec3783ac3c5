from function_app.domain import naming
from function_app.domain.receipt import Status
from tests.unit.drops.statuses import statuses
from tests.unit.simulation import SCRIPT, World


class TestDroppedAgain:
    def test_after_a_failure_is_the_next_attempt(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert [attempt.why for attempt in receipt.attempts] == ["first drop", "dropped again after failed"]
        assert receipt.status is Status.SUBMITTED
        world.run_job()
        assert world.receipt().status is Status.REGISTERED

    def test_a_late_event_after_a_failure_is_not(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job(exit_code=1)
        world.clock.advance(60)
        world.announce("data/digits/digits.npz", times=3)
        world.rest()
        assert (world.receipt().status, len(world.training.jobs)) == (Status.FAILED, 1)

    def test_while_its_job_is_being_canceled_waits_for_that(self, world: World) -> None:
        """Dropped, overwritten and put back: what lies there in the end is what is trained."""
        world.drop_digits()
        world.rest()
        world.tells_of_runs = False
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other")
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"digits")
        world.go_on(60)
        assert [receipt.status for receipt in world.receipts()] == [Status.CANCELING, Status.SUBMITTED]
        world.reconcile()
        world.rest()
        world.reconcile()
        world.rest()
        first, second = world.receipts()
        assert (first.status, len(first.attempts)) == (Status.STARTING, 2)
        assert second.status is Status.SUPERSEDED

    def test_a_receipt_that_waits_is_seen_by_the_walk_as_the_latest(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        world.clock.advance(60)
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        world.reconcile()
        assert world.queues.messages == []

    def test_after_it_was_superseded_waits_again(self, world: World) -> None:
        for script in (b"first", b"second", b"first"):
            world.clock.advance(60)
            world.drop("scripts/digits/train.py", script)
            world.rest()
        first, second = world.receipts()
        assert (first.status, first.reason, first.superseded_by) == (Status.WAITING, "data", None)
        assert (second.status, second.superseded_by) == (Status.SUPERSEDED, first.drop)
        world.announce("scripts/digits/train.py", times=2)
        world.rest()
        assert [receipt.status for receipt in world.receipts()] == [Status.WAITING, Status.SUPERSEDED]

    def test_by_force_is_the_next_attempt_of_whatever_came_of_it(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=False, force=True)
        receipt = world.receipt()
        assert (receipt.status, receipt.model) == (Status.SUBMITTED, None)
        world.run_job()
        receipt = world.receipt()
        assert receipt.model is not None
        assert (receipt.status, receipt.model.version, len(receipt.attempts)) == (Status.REGISTERED, "2", 2)


class TestOverwritten:
    def test_while_its_job_waits_for_a_node(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert [job.status for job in world.training.jobs.values()] == ["canceled", "starting"]
        assert "Kedja.JobCanceled" in world.publisher.types()

    def test_while_its_job_runs_leaves_that_alone(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        job = world.live_jobs()[0].name
        world.training.move(job, world.training.jobs[job].status.RUNNING)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        assert [job.status for job in world.training.jobs.values()] == ["running", "starting"]
        world.run_job(job, exit_code=65, result="changed-since-snapshot", reason="digits.npz changed")
        first, second = world.receipts()
        assert (first.status, first.reason) == (Status.FAILED, "changed-since-snapshot: digits.npz changed")
        assert (first.followed_by, second.status) == (second.drop, Status.SUBMITTED)

    def test_where_job_yaml_wants_both(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {supersede: false}}\n")
        world.drop_digits()
        world.rest()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        assert [job.status for job in world.training.jobs.values()] == ["starting", "starting"]


class TestDeleted:
    def test_files_alone_are_no_drop(self, world: World) -> None:
        world.drop("data/digits/more.npz")
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        assert world.blobs.delete(naming.DATA, "digits/more.npz")
        world.announce("data/digits/more.npz")
        world.rest()
        world.reconcile()
        world.rest()
        assert len(world.receipts()) == len(world.training.jobs) == 1

    def test_and_one_written_are_one(self, world: World) -> None:
        world.drop("data/digits/more.npz")
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        assert world.blobs.delete(naming.DATA, "digits/more.npz")
        world.drop("data/digits/digits.npz", b"digits")
        world.rest()
        assert len(world.receipts()) == len(world.training.jobs) == 2

    def test_a_whole_folder_is_nothing(self, world: World) -> None:
        world.announce("data/digits/gone.npz")
        world.rest()
        assert (world.receipts(), world.markers(), world.opened()) == ([], [], [])


def test_a_rejected_drop_is_submitted_once_it_is_mended(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"comand: x\n")
    world.drop_digits()
    world.rest()
    world.clock.advance(60)
    world.drop("scripts/digits/job.yaml", b"compute: cpu-cluster\n")
    world.rest()
    assert statuses(world) == [Status.REJECTED, Status.SUBMITTED]
