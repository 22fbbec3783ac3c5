"""The ways that a drop can go, each from the first file to the end, through whatever a process may be killed in."""

from collections.abc import Callable
from typing import Any

from function_app import names
from function_app.champion import Champion
from function_app.ownership import ModelOwner
from function_app.storage import CopyStatus
from function_app.training_service import JobStatus
from tests.unit.hostile_archives import zipped
from tests.unit.world import SCRIPT, World

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


def first_of_a_model(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"kedja: {register: {model: shared}}\n")
    registered(world)


def rejected_for_anothers_model(world: World) -> None:
    world.blobs.upload(names.DATA, "vision/a", b"a")
    world.drop("scripts/digits/job.yaml", b"kedja: {register: {model: vision}}\n")
    world.drop_digits()
    world.rest()


def of_a_shared_model(world: World) -> None:
    """Its champion is one of an earlier release."""
    world.drop("scripts/digits/job.yaml", b"kedja: {register: {model: vision}}\n")
    champion = Champion(model="vision", version="1", sequence=1, receipt="vision/1", since=world.clock())
    owner = ModelOwner(model="vision", owner="vision", allowed=("digits",), since=world.clock())
    world.blobs.upload(names.MODELS, names.champion_blob("vision"), champion.encoded())
    world.blobs.upload(names.MODELS, names.owner_blob("vision"), owner.encoded())
    registered(world)


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
    while not world.ask(lambda kedja: kedja.approver.approve(digest, by="ada", note=None)):
        pass
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
    first_of_a_model,
    rejected_for_anothers_model,
    of_a_shared_model,
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
