from datetime import UTC, datetime

import pytest

from function_app import names
from function_app.champion import Champion, Champions
from function_app.kedja_options import When
from tests.unit.meanwhile import Meanwhile
from tests.unit.memory import MemoryBlobs

BETTER = When(metric="accuracy", goal="maximize", better_than="champion")


def champion(version: str, sequence: int, accuracy: float = 0.5) -> Champion:
    return Champion(
        model="digits",
        version=version,
        sequence=sequence,
        receipt=f"digits/{version}",
        metrics={"accuracy": accuracy},
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def champions(blobs: MemoryBlobs) -> Champions:
    return Champions(blobs)


def test_there_is_none_at_first(champions: Champions) -> None:
    assert champions.find("digits") is None


def test_the_first_model_is_the_champion(champions: Champions) -> None:
    assert champions.challenge(champion("1", 10), BETTER) is True
    assert champions.find("digits") == champion("1", 10)


def test_a_newer_one_takes_its_place(champions: Champions) -> None:
    champions.challenge(champion("1", 10), None)
    assert champions.challenge(champion("2", 20), None) is True
    assert champions.find("digits") == champion("2", 20)


def test_an_older_one_never_does(champions: Champions) -> None:
    champions.challenge(champion("2", 20), None)
    assert champions.challenge(champion("1", 10, accuracy=0.9), BETTER) is False
    assert champions.find("digits") == champion("2", 20)


def test_a_worse_one_does_not_where_the_gate_asks_for_better(champions: Champions) -> None:
    champions.challenge(champion("1", 10, accuracy=0.9), BETTER)
    assert champions.challenge(champion("2", 20, accuracy=0.8), BETTER) is False
    assert champions.challenge(champion("3", 30, accuracy=0.8), None) is True


def test_the_champion_may_challenge_again(champions: Champions) -> None:
    champions.challenge(champion("1", 10), BETTER)
    assert champions.challenge(champion("1", 10), BETTER) is True


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("other", "wins"), [(15, True), (25, False)])
def test_of_two_at_once_the_newer_wins(blobs: MemoryBlobs, other: int, *, there: bool, wins: bool) -> None:
    if there:
        Champions(blobs).challenge(champion("1", 10), None)
    faster = Meanwhile(
        blobs,
        "replace" if there else "create",
        lambda: Champions(blobs).challenge(champion("3", other), None),
    )
    assert Champions(faster).challenge(champion("2", 20), None) is wins
    found = Champions(blobs).find("digits")
    assert found is not None
    assert found.sequence == max(other, 20)
    assert blobs.names_in(names.MODELS) == ["digits/champion.json"]
