"""The budget of time itself."""

import itertools
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st

from tests.fuzz import budget


@pytest.fixture(autouse=True)
def _counts_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "tried", Counter())


def pass_time(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Have each look at the clock take some seconds."""
    ticks = itertools.count()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: next(ticks) * step))


def test_inputs_are_tried_until_the_kinds_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    share = budget.SECONDS * budget.SHARES["CSV"] / sum(budget.SHARES.values())
    pass_time(monkeypatch, share / 300)
    seen: list[int] = []
    budget.fuzz("CSV", st.integers(), seen.append)
    assert len(seen) == budget.tried["CSV"]
    assert budget.BATCH < len(seen) <= 300


def test_a_failure_is_made_small_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    pass_time(monkeypatch, budget.SECONDS / 20)
    seen: list[int] = []

    def check(value: int) -> None:
        seen.append(value)
        assert value < 10

    with pytest.raises(AssertionError):
        budget.fuzz("HTTP requests", st.integers(0, 1 << 60), check)
    assert seen[-1] == 10
    assert len(seen) > 5  # beyond the kind's time, which is over after so many
