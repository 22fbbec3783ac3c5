"""How long each kind of input is tried, and how many there were.

Hypothesis makes the inputs from seeds 0, 1, 2, …, so that two runs try the same ones in the same order and differ in
how far they come. `KEDJA_FUZZ_SECONDS` is the time for all kinds together.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("KEDJA_FUZZ_SECONDS", "60"))
SHARES: Mapping[str, float] = {
    "events": 4,
    "queue messages": 4,
    "event requests": 3,
    "job.yaml": 6,
    "job requests": 4,
    "job results": 2,
    "dropped archives": 5,
    "script archives": 5,
    "IDX": 3,
    "CSV": 3,
    "npz": 4,
    "pictures": 3,
    "weights": 3,
    "HTTP requests": 14,
}
"""Kinds of input, and each one's part of the time."""
BATCH = 250
SLOWEST = timedelta(seconds=20)
"""An input that takes longer than this is a failure: somebody could hold the service up with it."""

tried: Counter[str] = Counter()
"""How many inputs of each kind were tried."""


class _TimeIsUp(BaseException):
    """The kind's time is over. No Exception, for Hypothesis would take it for a failure."""


def fuzz[T](kind: str, inputs: SearchStrategy[T], check: Callable[[T], object]) -> None:
    """Try inputs until the kind's time is over. `check` raises where one does what it should not."""
    until = time.monotonic() + SECONDS * SHARES[kind] / sum(SHARES.values())
    number, failed = 0, False

    @settings(
        max_examples=BATCH,
        deadline=SLOWEST,
        database=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def one(value: T) -> None:
        nonlocal failed
        if not failed and time.monotonic() >= until:  # a failure is made small, however long it takes
            raise _TimeIsUp
        tried[kind] += 1
        try:
            check(value)
        except BaseException:
            failed = True
            raise

    with contextlib.suppress(_TimeIsUp):
        while True:
            seed(number)(one)()
            number += 1


def outcome[T, E: Exception](refuses: type[E], work: Callable[[], T]) -> T | E:
    """Return what work returns, or the error by which it refuses its input. Any other error is raised."""
    try:
        return work()
    except refuses as refusal:
        return refusal
