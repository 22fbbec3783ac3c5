"""A schedule: what a user drops for one experiment, and what goes wrong meanwhile. The seed alone decides it."""

import enum
import random
import re

from attrs import frozen

REQUESTS = 191
"""Requests about an experiment that seeds walk through: an undisturbed drop of one file makes 150 to 190."""

_ANSWERS = ("404", "409", "412", "429", "500", "503", "timeout", "cut", "half")
"""Statuses, no answer in time, none at all, and half of one."""
TAG = "no tag"
"""A job that is shown without its tags."""
_KILLS = ("kill the host", "kill the host", "kill the runner")
_RARE = ("kill Azurite", "kill MLflow")
"""These take down everybody's storage or registry for seconds, so few schedules have them."""
_JOB_DEATHS = ((0.0,), (0.4,), (1.0,), (2.0,), (1.0, 0.4), (0.4, 1.0, 2.0))
_RARELY = 40
_MISSES = (2, 5, 12)
"""How often in a row a job is not found: too seldom to be taken for gone, or often enough; then it is seen again."""
STEPS = (
    "/submit/",
    "/submitted/",
    "/cancel/",
    "/register_model/",
    "/registered_model/",
    "/topics/kedja",
    "/receipts/.settling/",
    "/receipts/.open/",
    "/receipts/f-",
    "latest.json",
    "champion.json",
    "comp=lease",
    "/models/f-",
    "/snapshots/f-",
    "settled-drops/messages",
    "run-events/messages",
)
"""Parts of requests' texts, one for each step of settle, submit, register, copy and publish."""


class Side(enum.StrEnum):
    """When a fault strikes: before the request is sent, or after it was answered."""

    BEFORE = "before"
    AFTER = "after"


class Place(enum.StrEnum):
    """Through which door a request goes."""

    BLOBS = "blobs"
    QUEUES = "queues"
    MLFLOW = "registry"
    TRAINING = "training service"
    PUBLISHING = "publishing"


@frozen(kw_only=True)
class Fault:
    """What befalls the `n`-th request about an experiment, or the `n`-th of those that have `at` in their text."""

    n: int
    side: Side
    kind: str
    at: str = ""

    @property
    def is_kill(self) -> bool:
        return self.kind.startswith("kill")

    def __str__(self) -> str:
        return f"{self.kind} {self.side} request {self.n}{f' of {self.at}' if self.at else ''}"


@frozen(kw_only=True)
class EventFaults:
    """What befalls the events about an experiment; times in seconds."""

    lost: float = 0.0
    """The probability that an event never arrives."""
    copies: int = 1
    delay: float = 0.0
    shuffle: float = 0.0


class Plot(enum.StrEnum):
    """What the user does."""

    ONE = "one drop"
    AGAIN = "the same content again"
    AGAIN_AT_ONCE = "the same content again while its job runs"
    NEWER = "a newer drop"
    NEWER_AT_ONCE = "a newer drop before anyone looked"
    BACK = "a newer drop, and the first one again"
    CANCELED = "a cancel"
    CANCELED_RUNNING = "a cancel of a job that runs"
    CANCELED_AND_RETRIED = "a cancel, and a retry"
    FAILING = "a script that fails, and a retry"
    LATE_SCRIPT = "data first, the script later"
    SNAPSHOT_LOST = "a snapshot that is deleted while its job runs"
    SNAPSHOT_DAMAGED = "a snapshot that is overwritten while its job runs"
    ROLLED_BACK = "three drops, and a rollback that is sent three times"


_PLOTS = {
    Plot.ONE: 40,
    Plot.AGAIN: 8,
    Plot.AGAIN_AT_ONCE: 8,
    Plot.NEWER: 10,
    Plot.NEWER_AT_ONCE: 6,
    Plot.BACK: 5,
    Plot.CANCELED: 6,
    Plot.CANCELED_RUNNING: 4,
    Plot.CANCELED_AND_RETRIED: 6,
    Plot.FAILING: 4,
    Plot.LATE_SCRIPT: 5,
    Plot.SNAPSHOT_LOST: 3,
    Plot.SNAPSHOT_DAMAGED: 3,
    Plot.ROLLED_BACK: 4,
}


@frozen(kw_only=True)
class Schedule:
    """One experiment's fate.

    `skew` is by how many seconds the storage's clock is ahead of the hosts'. `job_deaths` are how many seconds after
    its start a job's process is killed: first one process, then the next. One that ended before is spared.
    """

    seed: int
    plot: Plot
    faults: tuple[Fault, ...]
    events: EventFaults
    skew: int = 0
    job_deaths: tuple[float, ...] = ()

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        """Return the schedule of a seed.

        The first fault walks through every request, side and kind as seeds go up; more of them are by chance.
        """
        chance = random.Random(f"kedja {seed}")  # noqa: S311 - repeatable on purpose
        plot = chance.choices(list(_PLOTS), weights=list(_PLOTS.values()))[0]
        faults = [cls._walked(seed, chance)]
        faults += [cls._any(chance) for _ in range(chance.choices((0, 1, 2), weights=(5, 3, 2))[0])]
        if chance.random() < 0.15:
            faults += cls._missed(chance)
        events = EventFaults()
        if chance.random() < 0.5:
            events = EventFaults(
                lost=chance.choice((0.0, 0.0, 0.3, 1.0)),
                copies=chance.choice((1, 1, 2, 3)),
                delay=chance.choice((0.0, 0.0, 2.0)),
                shuffle=chance.choice((0.0, 1.5)),
            )
        skew = chance.choice((-600, 600)) if chance.random() < 0.15 else 0
        deaths = chance.choice(_JOB_DEATHS) if chance.random() < 0.15 else ()
        return cls(seed=seed, plot=plot, faults=tuple(faults), events=events, skew=skew, job_deaths=deaths)

    @classmethod
    def undisturbed(cls, seed: int, plot: Plot = Plot.ONE) -> "Schedule":
        """Return a schedule in which nothing goes wrong, to count requests."""
        return cls(seed=seed, plot=plot, faults=(), events=EventFaults())

    @property
    def experiment(self) -> str:
        return experiment_of(self.seed)

    def __str__(self) -> str:
        faults = ", ".join(map(str, self.faults)) or "no fault"
        skew = f"; storage's clock {self.skew:+d} s" if self.skew else ""
        deaths = f"; jobs killed after {', '.join(f'{one:g}' for one in self.job_deaths)} s" if self.job_deaths else ""
        return f"seed {self.seed}: {self.plot}; {faults}; events {self.events}{skew}{deaths}"

    @staticmethod
    def _walked(seed: int, chance: random.Random) -> Fault:
        if seed % _RARELY == _RARELY - 1:
            kind = _RARE[seed // _RARELY % len(_RARE)]
            return Fault(n=chance.randint(1, REQUESTS // 2), side=chance.choice(list(Side)), kind=kind)
        kinds = (*_ANSWERS, *_KILLS)
        lap, n = divmod(seed, REQUESTS)
        # 7 and 24 have no factor in common, so each request meets every kind before one comes again.
        which = (7 * lap + n) % (2 * len(kinds))
        return Fault(n=n + 1, side=list(Side)[which % 2], kind=kinds[which // 2])

    @staticmethod
    def _missed(chance: random.Random) -> list[Fault]:
        """Have the service not know a job several times in a row, or show it without its tags."""
        first, side = chance.randint(1, 3), Side.AFTER
        if chance.random() < 0.3:
            return [Fault(n=n, side=side, kind=TAG, at="/get/") for n in range(first, first + 20)]
        return [Fault(n=n, side=side, kind="404", at="/get/") for n in range(first, first + chance.choice(_MISSES))]

    @staticmethod
    def _any(chance: random.Random) -> Fault:
        kind = chance.choice(_KILLS) if chance.random() < 0.1 else chance.choice(_ANSWERS)
        side = chance.choice(list(Side))
        if chance.random() < 0.5:
            return Fault(n=chance.randint(1, 3), side=side, kind=kind, at=chance.choice(STEPS))
        return Fault(n=chance.randint(1, REQUESTS), side=side, kind=kind)


_EXPERIMENT = re.compile(r"\bf-([0-9]{6})(?![0-9])")


def experiment_of(seed: int) -> str:
    return f"f-{seed:06}"


def seed_in(text: str) -> int | None:
    """Return the seed of the experiment that a request speaks of."""
    found = _EXPERIMENT.search(text)
    return int(found[1]) if found else None
