"""Anything in any order: drops, deliveries, faults, people and time, and an oracle that looks on.

`HYPOTHESIS_PROFILE=long` searches for long. A failing sequence is printed as a program over `Chain`.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import KedjaError, TrainingServiceUnavailable
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Candidate, Intervention
from function_app.operations.service import Kedja
from function_app.ports.training_service import RECEIPT_TAG, JobStatus
from function_app.store.pause import Pauses
from function_app.store.snapshots import MANIFEST, SPEC
from tests.profiles import examples
from tests.unit.crash_ports import Encounter, Fate, doom
from tests.unit.interleaving import Meanwhile, host
from tests.unit.invariants import Oracle, all_receipts
from tests.unit.memory import Message
from tests.unit.simulation import SCRIPT, Killed, World, blob_created

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
FOLDERS = ("digits", "Ångström")
ROUNDS = 14
"""Rounds of `reconcile` within which everything has to be over once nothing fails any more."""
LEASED = timedelta(minutes=10)
"""How long a message is invisible whose function runs."""
FILES = {
    "data/{}/digits.npz": (b"some digits", b"more digits"),
    "data/{}/notes.txt": (b"some notes",),
    "scripts/{}/train.py": (SCRIPT, b"print('better')\n"),
    "scripts/{}/job.yaml": (
        b"description: one\n",
        b"comand: python train.py\n",
        b"kedja: {drop: {supersede: false}}\n",
        b"kedja: {data: none}\n",
        b"kedja: {register: {when: {metric: accuracy, at_least: 0.9}}}\n",
        b"kedja: {register: {model: digits}}\n",  # the other experiment's own, or what the first to ask for it gets
    ),
}
DROPS = st.sampled_from([(path, data) for path, contents in FILES.items() for data in contents])
EVERYTHING = (("data/{}/digits.npz", b"some digits"), ("scripts/{}/train.py", SCRIPT))
WISHES = ("cancel", "retry", "retry and die", "submit", "force", "delete", "roll back twice")
SECONDS = st.sampled_from([1, 10, 31, 61, 130, 310, 700])
PICKS = st.integers(0, 1 << 16)
CALLS = st.integers(1, 60)
MEANWHILE = ("and another message is delivered", "and the timer comes", "and a job ends", "and is slow")
SWITCHES = (
    *("training fails", "training throttles", "topic refuses", "copies are slow", "pause"),
    *("jobs are missed", "the workspace is missed"),
)
ODD = (
    *("a job is missed once", "a blob is missed once", "a blob is missed once", "a snapshot is lost"),
    *("a snapshot is damaged", "a tag is lost", "a tag is changed"),
)
CUT = ("submit", "get", "cancel", "outputs", "find_model", "register_model", "archive_model", "computes")
"""Calls of the training service whose answers are cut off once they have had their effect."""
ENDS = ("starts", "completes", "completes", "fails", "dies", "is canceled", "is deleted")


def _cut() -> None:
    raise TrainingServiceUnavailable("The connection was cut.")


class Chain(RuleBasedStateMachine):
    """The service in a world where all sorts of things happen."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World.make()
        self.deleted: set[str] = set()
        self.asked: Counter[str] = Counter()

    # Hypothesis turns rules off at random, whole runs long. So there are few, each with much to choose from.

    @initialize(
        limit=st.sampled_from([10, 1, 0]),
        skew=st.sampled_from([-600, 0, 600]),
        folder=st.sampled_from(FOLDERS),
        seconds=st.sampled_from([0, 100]),
    )
    def begin(self, limit: int, skew: int, folder: str, seconds: int) -> None:
        """Have a limit of jobs, and the storage's clock differ, and drop something."""
        self.world = World.make(max_jobs_per_experiment=limit, max_jobs=limit, max_preemptions=2)
        self.sound = self.world.kedja
        self.oracle = Oracle(self.world)
        self.world.blobs.skew = timedelta(seconds=skew)
        for path, data in EVERYTHING:
            self.drop(folder, (path, data), times=1, late=0, seconds=0)
        self.world.go_on(seconds)

    @rule(
        folder=st.sampled_from(FOLDERS),
        file=DROPS,
        times=st.sampled_from([1, 0, 2]),
        late=st.sampled_from([0, 45, 400]),
        seconds=st.sampled_from([0, 0, 100]),
    )
    def drop(self, folder: str, file: tuple[str, bytes], times: int, late: int, seconds: int) -> None:
        """Upload a file, new or again; its event comes once, never or twice, at once or late. Then time passes."""
        path = file[0].format(folder)
        container, _, name = path.partition("/")
        self.world.blobs.upload(container, name, file[1])
        self.deleted.discard(folder)
        self.asked[folder] += 1
        for number in range(times):
            self.world.queues.send(naming.BLOB_EVENTS, blob_created(path), delay=late * (number + 1))
        self.world.go_on(seconds)

    @rule(
        what=st.sampled_from(["cancel", "retry", "retry and die", "submit", "force", "delete", "roll back twice"]),
        pick=PICKS,
        at=CALLS,
    )
    def ask(self, what: str, pick: int, at: int) -> None:
        """Do what people do through the API, and to their files."""
        if what == "delete":
            self._delete(pick)
            return
        if what == "roll back twice":
            self._roll_back_twice(pick, at)
            return
        attempts = [one.job for receipt in all_receipts(self.world) for one in receipt.attempts]
        self.asked["retry"] += what.startswith("retry")
        self.asked["force"] += what == "force"
        jobs = self._process(Fate(at=at)).job_commands if what == "retry and die" else self.sound.job_commands
        with contextlib.suppress(KedjaError, Killed):
            if what in ("submit", "force"):
                folder = FOLDERS[pick % len(FOLDERS)]
                jobs.submit({"experiment_name": folder}, trigger="api", code=True, force=what == "force")
            elif attempts:
                (jobs.cancel if what == "cancel" else jobs.retry)(attempts[pick % len(attempts)])

    @rule(
        how=st.sampled_from(["once", "twice", "and die", "and lose the answer", *MEANWHILE]),
        pick=PICKS,
        at=CALLS,
        after=st.booleans(),
    )
    def deliver(self, how: str, pick: int, at: int, *, after: bool) -> None:
        """Deliver any message that is due: twice, or to a process that is killed or that another one meets."""
        message = self._due(pick)
        if message is None:
            self.world.go_on(1)
            return
        if how == "twice":
            self.world.call(message)
        before, misses = len(self.world.blobs.calls), self.world.blobs.misses
        self._deliver(message, self._host(how, at, pick, after=after))
        if message.queue == naming.BLOB_EVENTS and how == "once" and self.world.blobs.misses == misses:
            calls = self.world.blobs.calls[before:]
            writes = [one for one in calls if one.operation in ("create", "replace", "delete", "copy")]
            assert len(writes) <= 1, f"An event cost {writes}."

    @rule(seconds=SECONDS, delivers=st.sampled_from([True, True, False]))
    def time_passes(self, seconds: int, *, delivers: bool) -> None:
        if delivers:
            self.world.go_on(seconds)
        else:
            self.world.clock.advance(seconds)

    @rule(how=st.sampled_from(["once", "and die", *MEANWHILE]), at=CALLS, pick=PICKS, after=st.booleans())
    def reconcile(self, how: str, at: int, pick: int, *, after: bool) -> None:
        self._in(self._host(how, at, pick, after=after), self.world.reconcile)

    @rule(what=st.sampled_from(SWITCHES), on=st.booleans())
    def switch(self, what: str, *, on: bool) -> None:
        """Let a service fail from now on, or work again."""
        world = self.world
        if what == "training fails":
            world.training.unavailable, world.training.retry_after = on, None
        elif what == "training throttles":
            world.training.unavailable, world.training.retry_after = on, 90.0
        elif what == "topic refuses":
            world.publisher.refuses = on
        elif what == "jobs are missed":
            world.training.hidden = {*world.training.jobs} if on else set()
        elif what == "the workspace is missed":
            world.training.no_workspace = on
        elif what == "copies are slow":
            world.blobs.hold_copies = on
            if not on:
                world.blobs.end_copies()
        elif on:
            Pauses(world.blobs, world.clock).begin("stop", "somebody")
        else:
            Pauses(world.blobs, world.clock).end()

    @rule(what=st.sampled_from(ODD), pick=PICKS, at=CALLS)
    def odd(self, what: str, pick: int, at: int) -> None:
        """Have a service give one odd answer, or somebody meddle with what it keeps."""
        jobs, blobs = [*self.world.training.jobs.values()], self.world.blobs
        if what == "a blob is missed once":
            blobs.misses_in = at
        elif what.startswith("a snapshot"):
            kept = [name for name in blobs.names_in(naming.SNAPSHOTS) if name.endswith((SPEC, MANIFEST))]
            if kept and what == "a snapshot is lost":
                del blobs.stored[naming.SNAPSHOTS, kept[pick % len(kept)]]
            elif kept:
                blobs.upload(naming.SNAPSHOTS, kept[pick % len(kept)], b"{")
        elif jobs and what == "a job is missed once":
            self.world.training.hidden_once = {jobs[pick % len(jobs)].name}
        elif jobs:
            job, others = jobs[pick % len(jobs)], all_receipts(self.world)
            tags = {RECEIPT_TAG: others[at % len(others)].name} if what == "a tag is changed" else {}
            self.world.training.jobs[job.name] = evolve(job, tags=tags)

    @precondition(lambda self: self.world.training.jobs)
    @rule(pick=PICKS, to=st.sampled_from(ENDS), tells=st.sampled_from([True, True, False]))
    def job(self, pick: int, to: str, *, tells: bool) -> None:
        """Bring a job on; its event comes, or does not."""
        self.world.tells_of_runs = tells
        self._job(pick, to)
        self.world.tells_of_runs = True

    # What must hold.

    @invariant()
    def holds(self) -> None:
        self.oracle.check()

    def teardown(self) -> None:
        """Let all faults end and time pass: everything comes to its one end."""
        world = self.world
        world.kedja, world.publisher.refuses, world.training.unavailable = self.sound, False, False
        world.blobs.hold_copies, world.blobs.misses_in = False, 0
        world.training.hidden, world.training.hidden_once, world.training.no_workspace = set(), set(), False
        Pauses(world.blobs, world.clock).end()
        for _ in range(ROUNDS):
            world.blobs.end_copies()
            world.go_on(200)
            world.clock.advance(100)
            world.reconcile()
            world.go_on(100)
            for job in world.live_jobs():
                world.training.finish(job.name, metrics={"accuracy": 0.95})
        world.rest()
        self.oracle.check_end(FOLDERS, with_deletions=self.deleted)
        for receipt in all_receipts(world):
            why = Counter(one.why.partition(" ")[0] for one in receipt.attempts)
            assert why["dropped"] <= self.asked[receipt.folder], f"{receipt.name}: {why}"
            assert why["retry"] <= self.asked["retry"], f"{receipt.name}: {why}"

    # How.

    def _due(self, pick: int) -> Message | None:
        due = [message for message in self.world.queues.messages if message.visible <= self.world.clock()]
        return due[pick % len(due)] if due else None

    def _deliver(self, message: Message, kedja: Kedja) -> None:
        message.visible = self.world.clock() + LEASED
        self._in(kedja, lambda: self.world.deliver(message))

    def _in(self, kedja: Kedja, work: Callable[[], object]) -> None:
        """Do some work in a process of its own."""
        self.world.kedja, self.world.next_process = kedja, self.sound
        try:
            work()
        finally:
            self.world.kedja, self.world.next_process = self.sound, None

    def _process(self, fate: Fate) -> Kedja:
        """Return the service of a process with a fate."""
        doom(self.world, fate)
        kedja, self.world.kedja, self.world.next_process = self.world.kedja, self.sound, None
        return kedja

    def _host(self, how: str, at: int, pick: int, *, after: bool) -> Kedja:
        """Return the process that something is to run in."""
        if how == "and die":
            return self._process(Fate(at=at))
        if how == "and lose the answer":
            return host(self.world, training=lambda port: Meanwhile(port, CUT[at % len(CUT)], _cut, after=True))
        if how in MEANWHILE:
            return self._process(Encounter(at=at, action=lambda: self._meanwhile(how, pick), after=after))
        return self.sound

    def _delete(self, pick: int) -> None:
        dropped = [(where, name) for where, name in self.world.blobs.stored if where in (naming.DATA, naming.SCRIPTS)]
        if dropped:
            place = dropped[pick % len(dropped)]
            del self.world.blobs.stored[place]
            self.deleted.add(place[1].partition("/")[0])

    def _roll_back_twice(self, pick: int, at: int) -> None:
        """Roll a model back in a process that may be killed, and send the same request again."""
        blobs, end = self.world.blobs, "/champion.json"
        models = [name.removesuffix(end) for name in blobs.names_in(naming.MODELS) if name.endswith(end)]
        if not models:
            return
        model = models[pick % len(models)]
        self.asked["rollback"] += 1
        wish = Intervention(by="ada", at=self.world.clock(), request=f"request {self.asked['rollback']}")

        def candidate(version: str) -> Candidate | None:
            manifest = ModelManifest.read(blobs, model, version)
            return Candidate(version=version, sequence=0, receipt=manifest.receipt) if manifest else None

        for kedja in (self._process(Fate(at=at % 5)), self.sound):
            with contextlib.suppress(KedjaError, Killed):
                kedja.champions.roll_back(model, candidate, may_replace=lambda _: True, wish=wish)
        champion = self.sound.champions.find(model) or self.sound.champions.find(model)
        assert champion is not None
        requests = [champion.request, *(one.request for one in champion.history)]
        assert requests.count(wish.request) <= 1, f"{model} was rolled back twice."

    def _meanwhile(self, what: str, pick: int) -> None:
        """Do something on the other host."""
        outer, self.world.kedja = self.world.kedja, self.sound
        try:
            if what == "and is slow":
                self.world.clock.advance(120)  # longer than a lease
            if what == "and the timer comes":
                self.world.reconcile()
            elif what == "and a job ends":
                self._job(pick, "completes")
            elif message := self._due(pick):
                message.visible = self.world.clock() + LEASED
                self.world.deliver(message)
        finally:
            self.world.kedja = outer

    def _job(self, pick: int, to: str) -> None:
        jobs = list(self.world.training.jobs.values()) if to == "is deleted" else self.world.live_jobs()
        if not jobs:
            return
        name, training = jobs[pick % len(jobs)].name, self.world.training
        if to == "starts":
            training.move(name, JobStatus.RUNNING)
        elif to == "completes":
            training.finish(name, metrics={"accuracy": 0.8 + pick % 2 / 5})
        elif to == "fails":
            training.finish(name, exit_code=1)
        elif to == "dies":
            training.move(name, JobStatus.FAILED, error="The node was preempted.")
        elif to == "is canceled":
            training.move(name, JobStatus.CANCELED)
        else:
            del training.jobs[name]


@pytest.mark.usefixtures("in_order")
@pytest.mark.generated
def test_chain() -> None:
    run_state_machine_as_test(
        Chain,
        settings=settings(
            max_examples=20_000 if LONG else examples(300),
            stateful_step_count=80 if LONG else 50,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_an_older_drop_that_is_retried_after_one_was_rejected_is_the_latest() -> None:
    """A program that `test_chain` found: the retry is submitted after the rejected drop was looked at again."""
    state = Chain()
    state.begin(limit=10, skew=0, folder="digits", seconds=100)
    state.job(pick=0, to="completes", tells=True)
    state.drop(file=("data/{}/digits.npz", b"some digits"), folder="digits", late=45, seconds=0, times=1)
    state.drop(file=("scripts/{}/job.yaml", b"comand: python train.py\n"), folder="digits", late=0, seconds=0, times=1)
    state.switch(what="training fails", on=True)
    state.time_passes(seconds=31, delivers=True)
    state.ask(what="retry", pick=0, at=1)
    state.switch(what="training fails", on=False)
    state.world.clock.advance(300)
    state.world.reconcile()
    state.teardown()
    receipts = {one.status: one for one in all_receipts(state.world)}
    latest = state.world.kedja.receipts.latest("digits")
    assert latest is not None
    assert latest.drop == receipts[Status.REGISTERED].drop == receipts[Status.REJECTED].followed_by
