"""Killed at any call of any port, and its message delivered again: each way of a drop ends as if nothing had been."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from function_app import names
from function_app.journal import Entry
from function_app.receipt import Status
from function_app.storage import CopyStatus
from function_app.training_service import JobStatus
from tests.unit.hostile_archives import zipped
from tests.unit.mortal import Fate, doom
from tests.unit.world import SCRIPT, Killed, World

GATED = b"kedja: {register: {when: {metric: accuracy, goal: maximize, at_least: 0.9, better_than: champion}}}\n"


def registered(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job(metrics={"accuracy": 0.97})


def failed(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job(exit_code=1)


def dropped_again_after_a_failure(world: World) -> None:
    failed(world)
    world.clock.advance(60)
    world.drop_digits()
    world.rest()
    world.run_job()


def superseded(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"print('better')\n")
    world.rest()
    assert [job.status.value for job in world.training.jobs.values()] == ["canceled", "starting"]
    world.run_job()


def script_after_data(world: World) -> None:
    world.drop("data/digits/notes.txt", b"no format that is known")
    world.rest()
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    world.run_job()


def rejected(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"comand: python train.py\n")
    world.drop_digits()
    world.rest()


def not_registered(world: World) -> None:
    world.drop("scripts/digits/job.yaml", GATED)
    registered(world)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"more digits")
    world.rest()
    world.run_job(metrics={"accuracy": 0.96})


def better_than_the_champion(world: World) -> None:
    world.drop("scripts/digits/job.yaml", GATED)
    registered(world)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"more digits")
    world.rest()
    world.run_job(metrics={"accuracy": 0.98})


def begun_before_its_message_came_again(world: World) -> None:
    """Whoever submitted the job may have been killed: its event is the first that tells of it."""
    world.drop_digits()
    world.go_on(25)
    for job in world.live_jobs():
        world.training.move(job.name, JobStatus.RUNNING)
    world.rest()
    world.run_job()


def copied_slowly(world: World) -> None:
    world.blobs.hold_copies = True
    world.drop_digits()
    rest_while_copying(world)
    world.training.finish(world.live_jobs()[-1].name, files={"model.npz": b"weights", "log.txt": b"a log"})
    rest_while_copying(world)


def rest_while_copying(world: World) -> None:
    """Let each copy take a while."""
    for _ in range(10):
        world.go_on(20)
        world.blobs.end_copies()
    assert world.queues.messages == []


def copies_that_failed(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.blobs.hold_copies = True
    world.training.finish(world.live_jobs()[-1].name)
    world.go_on(8)
    world.blobs.end_copies(CopyStatus.FAILED)
    world.blobs.hold_copies = False
    world.rest()


def outputs_that_went_while_they_were_copied(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.blobs.hold_copies = True
    job = world.live_jobs()[-1].name
    world.training.finish(job, files={"model.npz": b"weights", "log.txt": b"a log"})
    world.go_on(8)
    world.blobs.delete("azureml", f"ExperimentRun/dcid.{job}/outputs/model.npz")
    world.clock.advance(600)  # for as long as uploads are waited for
    world.rest()


def archived(world: World) -> None:
    world.drop("scripts/digits/code.zip", zipped([("code/train.py", SCRIPT), ("code/lib.py", b"pass")]))
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    world.run_job()


def approved(world: World) -> None:
    """Only the approver's own call has nobody who repeats it: it is whole, or its caller sends it again."""
    world.drop_digits()
    world.rest()
    digest = world.receipt().received.code_sha256
    assert digest is not None
    for _ in range(2):
        try:
            world.kedja.approver.approve(digest, by="ada", note=None)
        except Killed:
            world.kedja = world.next_process or world.kedja
        else:
            break
    world.rest()
    world.run_job()


def outside_of_any_folder(world: World) -> None:
    world.drop("data/digits.npz", b"digits")
    world.rest()


def reconciled(world: World) -> None:
    """Nothing tells of the file or of the run."""
    world.tells_of_runs = False
    world.blobs.upload(names.SCRIPTS, "digits/train.py", SCRIPT)
    world.blobs.upload(names.DATA, "digits/digits.npz", b"digits")
    world.clock.advance(300)
    reconcile(world)
    world.training.finish(world.live_jobs()[-1].name)
    reconcile(world)


def canceled(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.queues.send(names.RUN_EVENTS, {"kind": "look", "job": "nobody's", "since": world.clock().isoformat()})
    world.training.cancel(world.live_jobs()[-1].name)
    world.rest()


def preempted(world: World) -> None:
    """The process is killed twice; what follows each time is a job that goes on."""
    world.drop_digits()
    world.rest()
    for _ in range(2):
        name = world.live_jobs()[-1].name
        world.training.move(name, JobStatus.RUNNING)
        world.rest()
        world.training.move(name, JobStatus.FAILED, error="lost")
        world.rest()
        reconcile(world)
    world.run_job()


def queued(world: World) -> None:
    """Three drops, and a place for one."""
    for content in (b"one", b"two", b"three"):
        world.clock.advance(60)
        world.drop("scripts/digits/job.yaml", b"kedja: {drop: {supersede: false}}\n")
        world.drop("scripts/digits/train.py", SCRIPT)
        world.drop("data/digits/digits.npz", content)
        world.rest()
    for _ in range(3):
        reconcile(world)
        assert len(world.live_jobs()) == 1
        world.run_job()
    reconcile(world)


def superseded_in_the_queue(world: World) -> None:
    world.drop("scripts/first/train.py", SCRIPT)
    world.drop("data/first/first.npz", b"first")
    world.rest()
    world.drop_digits()
    world.rest()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"print('better')\n")
    world.rest()
    for _ in range(2):
        reconcile(world)
        world.run_job()
    reconcile(world)


def without_a_node(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.clock.advance(3600)
    reconcile(world)
    world.run_job()


def reconcile(world: World) -> None:
    """Let the timer come, and come again: what killed it does not kill the next."""
    for _ in range(2):
        world.reconcile()
        world.rest()
        world.clock.advance(300)


WAYS: list[Callable[[World], None]] = [
    registered,
    failed,
    dropped_again_after_a_failure,
    superseded,
    script_after_data,
    rejected,
    not_registered,
    better_than_the_champion,
    begun_before_its_message_came_again,
    copied_slowly,
    copies_that_failed,
    outputs_that_went_while_they_were_copied,
    archived,
    approved,
    outside_of_any_folder,
    reconciled,
    canceled,
    preempted,
    queued,
    superseded_in_the_queue,
    without_a_node,
]

SETTINGS: dict[Callable[[World], None], dict[str, Any]] = {
    approved: {"approvals": "required"},
    preempted: {"max_preemptions": 2},
    queued: {"max_jobs_per_experiment": 1},
    superseded_in_the_queue: {"max_jobs": 1},
}


def outcome(world: World) -> dict[str, Any]:
    """Return what people, consumers and other systems can see of a world in the end."""
    kedja = world.next_process or world.kedja
    receipts = sorted((*world.receipts(), *world.receipts("_root")), key=lambda receipt: receipt.drop)
    assert world.blobs.names_in(names.RECEIPTS, ".poison/") == []
    return {
        "receipts": [
            (receipt.name, receipt.status, receipt.reason, receipt.followed_by, receipt.superseded_by)
            for receipt in receipts
        ],
        # Whether someone looked while the job waited for its node is chance, too.
        "history": [
            [change.status for change in receipt.history if change.status is not Status.STARTING]
            for receipt in receipts
        ],
        "attempts": [[(one.job, one.exit_code, one.metrics) for one in receipt.attempts] for receipt in receipts],
        "specs": [receipt.spec for receipt in receipts],
        "receipts' models": [receipt.model for receipt in receipts],
        "outboxes": [receipt.outbox for receipt in receipts],
        "index": sorted(
            (name.rpartition("/")[2], world.blobs.stored[names.RECEIPTS, name].item.metadata["status"])
            for name in world.blobs.names_in(names.RECEIPTS, ".by-time/")
        ),
        "opened": world.opened(),
        "markers": world.markers(),
        "queued": world.blobs.names_in(names.RECEIPTS, ".queued/"),
        "places": dict(kedja.submitter.turns.admission.running()),
        "jobs": sorted((job.name, job.status) for job in world.training.jobs.values()),
        # Which of a drop's events set it off is chance.
        "models": [(one.model, one.version, {**one.tags, "kedja_trigger": ""}) for one in world.training.current()],
        "files": world.blobs.names_in(names.MODELS) + world.blobs.names_in(names.SNAPSHOTS),
        "champion": champion.version if (champion := kedja.champions.find("digits")) else None,
        "latest": latest.drop if (latest := kedja.receipts.latest("digits")) else None,
        "events": sorted({(one.id, one.type) for one in world.publisher.published}),
        **journal(world),
    }


def journal(world: World) -> dict[str, Any]:
    """Return what whoever looks at the live page was told of: each drop's last status, and every event."""
    lines = [Entry.decoded(line) for line in _journal_lines(world)]
    drops = {
        one.data["drop"]: one.data["metadata"]["status"]
        for one in sorted(
            (one for one in lines if one.kind == "drop"), key=lambda one: str(one.data["metadata"]["updated"])
        )
    }
    return {"told": drops, "told events": sorted({one.data["id"] for one in lines if one.kind == "event"})}


def _journal_lines(world: World) -> list[bytes]:
    blobs = reversed(world.blobs.names_in(names.RECEIPTS, ".journal/"))
    return [line for name in blobs for line in world.blobs.stored[names.RECEIPTS, name].data.splitlines()]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_killed_after_any_call(way: Callable[[World], None]) -> None:
    """Between two calls a process changes nothing, so dying after each of them is dying anywhere."""
    undisturbed = World.make(**SETTINGS.get(way, {}))
    way(undisturbed)
    expected = outcome(undisturbed)
    for number in itertools.count(1):
        world, fate = World.make(**SETTINGS.get(way, {})), Fate(at=number)
        doom(world, fate)
        way(world)
        assert outcome(world) == expected, f"killed after call {number}"
        assert world.failures == []
        if not fate.dead:
            assert number > 10, "The service did not run over the ports that kill it."
            return


@pytest.mark.parametrize(
    ("spec", "status"), [(b"", Status.SUPERSEDED), (b"comand: python train.py\n", Status.REJECTED)], ids=str
)
def test_a_drop_whose_host_was_killed_is_told_what_followed_before_its_message_came_again(
    spec: bytes, status: Status
) -> None:
    for number in itertools.count(1):
        world, fate = World.make(), Fate(at=number)
        world.drop("data/digits/notes.txt", b"no format that is known")
        world.drop("scripts/digits/job.yaml", spec)
        doom(world, fate)
        while world.queues.messages and not fate.dead:
            world.go_on(1)
        world.drop("scripts/digits/job.yaml", b"display_name: digits\n")
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        for _ in range(2):  # a mark without a receipt stays for ten minutes
            reconcile(world)
        *older, newest = sorted(world.receipts(), key=lambda receipt: receipt.order)
        assert [job.name for job in world.live_jobs()] == [newest.job]
        assert [(one.status, one.followed_by) for one in older] in ([], [(status, newest.drop)]), f"call {number}"
        rejected = [one.data["drop"] for one in world.publisher.published if one.type == "Kedja.DropRejected"]
        assert set(rejected) == {one.drop for one in older if one.status is Status.REJECTED}
        assert world.opened() == [f".open/{newest.name}"]
        if not fate.dead:
            assert older, "The first drop was never looked at."
            return
