"""The ways that a drop can go, each step by step, from the first file through whatever a process may be killed in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from function_app.domain import naming
from function_app.models.champion import Champion
from function_app.models.ownership import ModelOwner
from function_app.ports.storage import CopyStatus
from function_app.ports.training_service import JobStatus
from tests.unit.hostile_archives import zipped
from tests.unit.simulation import SCRIPT, World

Step = Callable[[World], object]
Way = Sequence[Step]

GATED = b"kedja: {register: {when: {metric: accuracy, goal: maximize, at_least: 0.9, better_than: champion}}}\n"


# Steps.


def drop_digits(world: World) -> None:
    world.drop_digits()


def drop(path: str, data: bytes) -> Step:
    return lambda world: world.drop(path, data)


def rest(world: World) -> None:
    world.rest()


def go_on(seconds: float) -> Step:
    return lambda world: world.go_on(seconds)


def wait(seconds: float) -> Step:
    return lambda world: world.clock.advance(seconds)


def start(world: World) -> None:
    """Have the newest job start, if it has not."""
    job = world.live_jobs()[-1]
    if job.status is JobStatus.STARTING:
        world.training.move(job.name, JobStatus.RUNNING)


def start_all(world: World) -> None:
    for job in world.live_jobs():
        world.training.move(job.name, JobStatus.RUNNING)


def finish(**result: Any) -> Step:  # noqa: ANN401 - those of MemoryTraining.finish
    return lambda world: world.training.finish(world.live_jobs()[-1].name, **result)


def run_job(**result: Any) -> Way:  # noqa: ANN401 - as above
    """Let the newest job run to its end."""
    return (start, rest, finish(**result), rest)


def lose_node(world: World) -> None:
    world.training.move(world.live_jobs()[-1].name, JobStatus.FAILED, error="lost")


def reconcile(world: World) -> None:
    world.reconcile()


def hold_copies(world: World) -> None:
    world.blobs.hold_copies = True


def end_copies(world: World) -> None:
    world.blobs.end_copies()


def fail_copies(world: World) -> None:
    world.blobs.end_copies(CopyStatus.FAILED)
    world.blobs.hold_copies = False


def is_at_rest(world: World) -> None:
    assert world.queues.messages == []


def delete_model(world: World) -> None:
    """Delete a model from its job's outputs."""
    (job,) = world.training.jobs
    world.blobs.delete("azureml", f"ExperimentRun/dcid.{job}/outputs/model.npz")


def approve(world: World) -> None:
    """Approve the code of the drop. Nobody repeats this call but the one who makes it."""
    digest = world.receipt().received.code_sha256
    assert digest is not None
    while not world.ask(lambda kedja: kedja.approval_service.approve(digest, by="ada", note=None)):
        pass


def upload_digits_untold(world: World) -> None:
    """Upload files, and have nothing tell of them or of the run."""
    world.tells_of_runs = False
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
    world.blobs.upload(naming.DATA, "digits/digits.npz", b"digits")


def ask_for_nobodys_job(world: World) -> None:
    world.queues.send(naming.RUN_EVENTS, {"kind": "look", "job": "nobody's", "since": world.clock().isoformat()})


def upload_for_vision(world: World) -> None:
    """Make `vision` an experiment, and so its model its own."""
    world.blobs.upload(naming.DATA, "vision/a", b"a")


def share_model_of_vision(world: World) -> None:
    """Share a model whose champion is one of an earlier release."""
    champion = Champion(model="vision", version="1", sequence=1, receipt=f"vision/{1:064}", since=world.clock())
    owner = ModelOwner(model="vision", owner="vision", allowed=("digits",), since=world.clock())
    world.blobs.upload(naming.MODELS, naming.champion_blob("vision"), champion.to_bytes())
    world.blobs.upload(naming.MODELS, naming.owner_blob("vision"), owner.to_bytes())


def cancel(world: World) -> None:
    world.training.cancel(world.live_jobs()[-1].name)


def has_canceled_the_older(world: World) -> None:
    assert [job.status.value for job in world.training.jobs.values()] == ["canceled", "starting"]


def runs_one(world: World) -> None:
    assert len(world.live_jobs()) == 1


ROUNDS: Way = (reconcile, rest, wait(300)) * 2
"""The timer comes, and comes again: what killed it does not kill the next."""
COPYING: Way = ((go_on(20), end_copies) * 10) + (is_at_rest,)
"""Each copy takes a while."""
BETTER_SCRIPT = drop("scripts/digits/train.py", b"print('better')\n")


# Ways.


def register_as(model: str) -> Step:
    return drop("scripts/digits/job.yaml", f"kedja: {{register: {{model: {model}}}}}\n".encode())


def beside(content: bytes) -> Way:
    """Drop something that is a job of its own beside those before it."""
    return (
        wait(60),
        drop("scripts/digits/job.yaml", b"kedja: {drop: {supersede: false}}\n"),
        drop("scripts/digits/train.py", SCRIPT),
        drop("data/digits/digits.npz", content),
        rest,
    )


def second_model(accuracy: float) -> Way:
    """Make a model, and then another one that has to be better."""
    return (
        drop("scripts/digits/job.yaml", GATED),
        drop_digits,
        rest,
        *run_job(metrics={"accuracy": 0.97}),
        wait(60),
        drop("data/digits/digits.npz", b"more digits"),
        rest,
        *run_job(metrics={"accuracy": accuracy}),
    )


FILES = {"model.npz": b"weights", "log.txt": b"a log"}

WAYS: Mapping[str, Way] = {
    "registered": (drop_digits, rest, *run_job(metrics={"accuracy": 0.97})),
    "failed": (drop_digits, rest, *run_job(exit_code=1)),
    "dropped_again_after_a_failure": (
        *(drop_digits, rest, *run_job(exit_code=1)),
        *(wait(60), drop_digits, rest, *run_job()),
    ),
    "superseded": (drop_digits, rest, wait(60), BETTER_SCRIPT, rest, has_canceled_the_older, *run_job()),
    "script_after_data": (
        *(drop("data/digits/notes.txt", b"no format that is known"), rest),
        *(drop("scripts/digits/train.py", SCRIPT), rest, *run_job()),
    ),
    "rejected": (drop("scripts/digits/job.yaml", b"comand: python train.py\n"), drop_digits, rest),
    "not_registered": second_model(0.96),
    "better_than_the_champion": second_model(0.98),
    "first_of_a_model": (register_as("shared"), drop_digits, rest, *run_job(metrics={"accuracy": 0.97})),
    "rejected_for_anothers_model": (upload_for_vision, register_as("vision"), drop_digits, rest),
    "of_a_shared_model": (
        *(register_as("vision"), share_model_of_vision),
        *(drop_digits, rest, *run_job(metrics={"accuracy": 0.97})),
    ),
    # Whoever submitted the job may have been killed: its event is the first that tells of it.
    "begun_before_its_message_came_again": (drop_digits, go_on(25), start_all, rest, *run_job()),
    "copied_slowly": (hold_copies, drop_digits, *COPYING, finish(files=FILES), *COPYING),
    "copies_that_failed": (drop_digits, rest, hold_copies, finish(), go_on(8), fail_copies, rest),
    "outputs_that_went_while_they_were_copied": (
        *(drop_digits, rest, hold_copies, finish(files=FILES), go_on(8), delete_model),
        *(wait(600), rest),  # for as long as uploads are waited for
    ),
    "archived": (
        drop("scripts/digits/code.zip", zipped([("code/train.py", SCRIPT), ("code/lib.py", b"pass")])),
        drop("data/digits/digits.npz", b"digits"),
        rest,
        *run_job(),
    ),
    "approved": (drop_digits, rest, approve, rest, *run_job()),
    "outside_of_any_folder": (drop("data/digits.npz", b"digits"), rest),
    "reconciled": (upload_digits_untold, wait(300), *ROUNDS, finish(), *ROUNDS),
    "canceled": (drop_digits, rest, ask_for_nobodys_job, cancel, rest),
    # The job is killed twice; what follows each time is a job that continues.
    "preempted": (drop_digits, rest, *((start, rest, lose_node, rest, *ROUNDS) * 2), *run_job()),
    # Three drops, and a place for one.
    "queued": (
        *(step for content in (b"one", b"two", b"three") for step in beside(content)),
        *((*ROUNDS, runs_one, *run_job()) * 3),
        *ROUNDS,
    ),
    "superseded_in_the_queue": (
        *(drop("scripts/first/train.py", SCRIPT), drop("data/first/first.npz", b"first"), rest),
        *(drop_digits, rest, wait(60), BETTER_SCRIPT, rest),
        *((*ROUNDS, *run_job()) * 2),
        *ROUNDS,
    ),
    "without_a_node": (drop_digits, rest, wait(3600), *ROUNDS, *run_job()),
}

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "approved": {"approvals": "required"},
    "preempted": {"max_preemptions": 2},
    "queued": {"max_jobs_per_experiment": 1},
    "superseded_in_the_queue": {"max_jobs": 1},
}


def world_of(way: str) -> World:
    """Return a world with the settings of a way, and nothing in it."""
    return World.make(**SETTINGS.get(way, {}))
