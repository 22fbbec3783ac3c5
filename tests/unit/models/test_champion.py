from datetime import UTC, datetime

import pytest

from function_app.domain import naming
from function_app.errors import NotFound, Refused, Unreadable
from function_app.jobspec.kedja_block import GateConditions
from function_app.models.champion import HISTORY, Candidate, Champion, Champions, Intervention
from tests.unit.interleaving import Meanwhile
from tests.unit.memory import MemoryBlobs, VirtualClock

BETTER = GateConditions(metric="accuracy", goal="maximize", better_than="champion")


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
    found = champions.find("digits")
    assert found is not None
    assert (found.version, found.sequence, [one.version for one in found.history]) == ("2", 20, ["1"])


def test_an_older_one_never_does(champions: Champions) -> None:
    champions.challenge(champion("2", 20), None)
    assert champions.challenge(champion("1", 10, accuracy=0.9), BETTER) is False
    assert champions.find("digits") == champion("2", 20)


def test_a_worse_one_does_not_where_the_gate_asks_for_better(champions: Champions) -> None:
    champions.challenge(champion("1", 10, accuracy=0.9), BETTER)
    assert champions.challenge(champion("2", 20, accuracy=0.8), BETTER) is False
    assert champions.challenge(champion("3", 30, accuracy=0.8), None) is True


def test_the_lease_of_a_host_that_was_killed_is_waited_for_with_longer_and_longer_pauses(
    blobs: MemoryBlobs, clock: VirtualClock
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)

    champions = Champions(blobs, sleep=sleep)
    champions.challenge(champion("1", 10), None)
    assert pauses == []
    blobs.lease(naming.MODELS, naming.champion_blob("digits"), 15).__enter__()
    assert champions.challenge(champion("2", 20), None) is True
    assert len(pauses) < 70
    assert 0.01 <= pauses[0] <= 0.02
    assert all(0.25 <= pause <= 0.5 for pause in pauses[6:])
    assert 15 <= sum(pauses) <= 15.5


def test_one_that_cannot_be_read_says_where_it_is(champions: Champions, blobs: MemoryBlobs) -> None:
    blobs.upload(naming.MODELS, naming.champion_blob("digits"), b"{")
    with pytest.raises(Unreadable, match=r"models/digits/champion\.json cannot be read: Invalid JSON"):
        champions.challenge(champion("1", 10), None)


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
    assert blobs.names_in(naming.MODELS) == ["digits/champion.json"]


NOW = datetime(2026, 1, 2, tzinfo=UTC)


WISH = Intervention(by="somebody", at=NOW)


def there(_version: str) -> bool:
    return True


def anyones(_champion: Champion | None) -> bool:
    return True


def candidate(version: str, sequence: int = 0) -> Candidate:
    return Candidate(version=version, sequence=sequence, receipt=f"digits/{version}", metrics={"accuracy": 0.5})


def promote(champions: Champions, version: str, sequence: int = 0, reason: str | None = None) -> Champion:
    chosen = candidate(version, sequence)
    wish = Intervention(by="somebody", reason=reason, at=NOW)
    return champions.promote("digits", chosen, there, may_replace=anyones, wish=wish)


def roll_back(champions: Champions) -> str:
    again = champions.roll_back("digits", candidate, may_replace=anyones, wish=WISH)
    return again.version


def test_whoever_is_promoted_is_the_champion_whatever_the_order(champions: Champions) -> None:
    champions.challenge(champion("1", 10), None)
    champions.challenge(champion("2", 20), None)

    promoted = promote(champions, "1", 10, "2 is wrong about sevens")

    assert champions.find("digits") == promoted
    assert (promoted.version, promoted.by, promoted.reason) == ("1", "somebody", "2 is wrong about sevens")
    assert [(one.version, one.until, one.withdrawn) for one in promoted.history] == [
        ("1", champion("1", 1).since, False),
        ("2", NOW, False),
    ]


def test_a_model_without_a_champion_gets_one(champions: Champions) -> None:
    assert promote(champions, "1").history == ()


def test_a_version_whose_files_go_at_the_same_moment_is_not_promoted(blobs: MemoryBlobs) -> None:
    for number in (1, 2):
        Champions(blobs).challenge(champion(str(number), number), None)
    left = {"1", "2"}

    def remove() -> None:
        """Do as `Remover.version` does: the files go, and the champion is written anew as it is."""
        left.remove("1")
        stored = blobs.read(naming.MODELS, "digits/champion.json")
        blobs.replace(naming.MODELS, "digits/champion.json", stored.data)

    slow = Champions(Meanwhile(blobs, "replace", remove))
    with pytest.raises(NotFound, match="version 1 of the model digits"):
        slow.promote(
            "digits",
            candidate("1", 1),
            lambda version: version in left,
            may_replace=anyones,
            wish=WISH,
        )
    found = Champions(blobs).find("digits")
    assert found is not None
    assert found.version == "2"


def test_to_promote_the_champion_changes_nothing(champions: Champions, blobs: MemoryBlobs) -> None:
    champions.challenge(champion("1", 10), None)
    before = dict(blobs.stored)

    assert promote(champions, "1").by is None
    assert dict(blobs.stored) == before


@pytest.mark.parametrize(("sequence", "wins"), [(15, False), (20, False), (21, True)])
def test_what_was_set_by_hand_gives_way_to_newer_drops_alone(
    champions: Champions, sequence: int, *, wins: bool
) -> None:
    champions.challenge(champion("1", 10), None)
    champions.challenge(champion("2", 20), None)
    promote(champions, "1", 10)

    assert champions.challenge(champion("2" if sequence == 20 else "3", sequence), None) is wins


def test_a_rollback_goes_back_one_and_another_one_more(champions: Champions) -> None:
    for number in (1, 2, 3):
        champions.challenge(champion(str(number), number), None)

    assert [roll_back(champions), roll_back(champions)] == ["2", "1"]
    with pytest.raises(Refused, match="nothing to roll back to"):
        roll_back(champions)
    found = champions.find("digits")
    assert found is not None
    assert [(one.version, one.withdrawn) for one in found.history] == [
        ("1", False),
        ("2", False),
        ("3", True),
        ("2", True),
    ]
    assert found.sequence == 3


def test_a_version_rolled_back_from_may_be_promoted_again(champions: Champions) -> None:
    for number in (1, 2):
        champions.challenge(champion(str(number), number), None)
    roll_back(champions)

    assert promote(champions, "2").version == "2"
    assert roll_back(champions) == "1"


def test_a_rollback_passes_over_what_is_not_there_any_more(champions: Champions) -> None:
    for number in (1, 2, 3):
        champions.challenge(champion(str(number), number), None)

    def candidate_of(version: str) -> Candidate | None:
        return candidate(version) if version != "2" else None

    again = champions.roll_back("digits", candidate_of, may_replace=anyones, wish=WISH)

    assert again.version == "1"


@pytest.mark.parametrize("model", ["digits", "nobody"])
def test_there_has_to_be_one_before(champions: Champions, model: str) -> None:
    champions.challenge(champion("1", 10), None)

    with pytest.raises(Refused, match="nothing to roll back to"):
        champions.roll_back(model, candidate, may_replace=anyones, wish=WISH)


def test_a_champion_that_may_not_be_replaced_stays(champions: Champions) -> None:
    for number in (1, 2):
        champions.challenge(champion(str(number), number), None)

    def not_this(present: Champion | None) -> bool:
        return present is None or present.receipt != "digits/2"

    with pytest.raises(Refused, match="You may not replace"):
        champions.promote("digits", candidate("1"), there, may_replace=not_this, wish=WISH)
    with pytest.raises(Refused, match="You may not replace"):
        champions.roll_back("digits", candidate, may_replace=not_this, wish=WISH)
    found = champions.find("digits")
    assert found is not None
    assert found.version == "2"


def test_a_tenure_keeps_the_first_metric_alone_and_a_rollback_has_all_of_them(champions: Champions) -> None:
    many = {"metrics": {"loss": 0.1, "accuracy": 0.5}, "metrics_total": 2}
    for number in (1, 2):
        champions.challenge(champion(str(number), number).model_copy(update=many), None)
    found = champions.find("digits")
    assert found is not None
    assert [dict(one.metrics) for one in found.history] == [{"loss": 0.1}]

    def measured(version: str) -> Candidate:
        return candidate(version).model_copy(update=many)

    again = champions.roll_back("digits", measured, may_replace=anyones, wish=WISH)
    assert (again.metrics, again.metrics_total) == (many["metrics"], 2)


def test_of_two_rollbacks_at_once_one_is_refused(blobs: MemoryBlobs) -> None:
    for number in (1, 2, 3):
        Champions(blobs).challenge(champion(str(number), number), None)
    faster = Meanwhile(blobs, "replace", lambda: roll_back(Champions(blobs)))

    with pytest.raises(Refused, match="at the same moment"):
        roll_back(Champions(faster))
    found = Champions(blobs).find("digits")
    assert found is not None
    assert found.version == "2"


def test_history_does_not_pile_up(champions: Champions) -> None:
    for number in range(HISTORY + 10):
        champions.challenge(champion(str(number), number), None)
    found = champions.find("digits")
    assert found is not None
    assert len(found.history) == HISTORY
    assert found.history[-1].version == str(HISTORY + 8)
