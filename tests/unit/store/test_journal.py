from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.errors import StorageUnavailable
from function_app.store.journal import (
    BUCKET_SECONDS,
    CLOCK_SKEW,
    CURSOR_TTL,
    Cursor,
    Entry,
    InvalidCursor,
    Journal,
    Position,
)
from tests.unit.memory import MemoryBlobs, VirtualClock


def entry(number: int, kind: str = "drop") -> Entry:
    return Entry.model_validate({"kind": kind, "experiment": "digits", "data": {"number": number}})


def numbers(entries: list[Entry]) -> list[int]:
    return [one.data["number"] for one in entries]


@pytest.fixture
def journal(blobs: MemoryBlobs, clock: VirtualClock) -> Journal:
    return Journal(blobs, clock)


def read_all(journal: Journal, cursor: Cursor) -> tuple[list[int], Cursor]:
    """Read on until nothing is new."""
    found: list[int] = []
    while True:
        entries, following = journal.read(cursor)
        found += numbers(entries)
        if following == cursor:
            return found, cursor
        cursor = following


def test_tells_what_was_written_since(journal: Journal) -> None:
    journal.append([entry(1)])
    cursor = journal.end()
    journal.append([entry(2), entry(3)])

    found, cursor = read_all(journal, cursor)
    assert found == [2, 3]
    assert read_all(journal, cursor) == ([], cursor)
    journal.append([entry(4)])
    assert read_all(journal, cursor)[0] == [4]


def test_nothing_new_costs_one_call(journal: Journal, blobs: MemoryBlobs, clock: VirtualClock) -> None:
    clock.advance(CLOCK_SKEW)
    journal.append([entry(1)])
    cursor = journal.end()
    blobs.calls.clear()

    journal.read(cursor)

    assert len(blobs.calls) == 1


def test_writing_costs_one_call(journal: Journal, blobs: MemoryBlobs) -> None:
    journal.append([entry(1), entry(2)])
    journal.append([])

    assert [call.operation for call in blobs.calls] == ["append"]


@pytest.mark.parametrize(
    "step",
    [
        1,
        50,
        CLOCK_SKEW,
        BUCKET_SECONDS - 1,
        BUCKET_SECONDS,
        BUCKET_SECONDS + CLOCK_SKEW,
        3 * BUCKET_SECONDS,
        CURSOR_TTL // 2,
    ],
)
def test_nothing_is_lost_or_told_twice_whenever_it_is_read(journal: Journal, clock: VirtualClock, step: int) -> None:
    cursor, told = journal.end(), []
    for number in range(1, 30):
        journal.append([entry(number)])
        clock.advance(step)
        if number % 3 == 0:
            found, cursor = read_all(journal, cursor)
            told += found
    clock.advance(BUCKET_SECONDS + CLOCK_SKEW)
    told += read_all(journal, cursor)[0]

    assert told == list(range(1, 30))


def test_a_host_whose_clock_is_behind_is_heard(journal: Journal, blobs: MemoryBlobs, clock: VirtualClock) -> None:
    clock.now = clock.now.replace(minute=9, second=50)
    late = Journal(blobs, VirtualClock(clock.now))
    cursor = journal.end()
    clock.advance(60)  # a new blob has begun for everyone else
    journal.append([entry(1)])
    first, cursor = read_all(journal, cursor)
    late.append([entry(2)])
    second, cursor = read_all(journal, cursor)
    clock.advance(CLOCK_SKEW)
    journal.append([entry(3)])
    third, cursor = read_all(journal, cursor)

    assert (first, second, third) == ([1], [2], [3])


def test_a_reader_who_begins_just_after_a_change_of_blobs_misses_nothing(
    journal: Journal, blobs: MemoryBlobs, clock: VirtualClock
) -> None:
    clock.now = clock.now.replace(minute=10, second=5)
    late = Journal(blobs, VirtualClock(clock.now - timedelta(seconds=20)))
    late.append([entry(1)])
    journal.append([entry(2)])
    cursor = journal.end()
    late.append([entry(3)])
    journal.append([entry(4)])

    assert read_all(journal, cursor)[0] == [3, 4]


def test_a_cursor_survives_as_text(journal: Journal) -> None:
    journal.append([entry(1)])
    cursor = journal.end()

    assert Cursor.decoded(cursor.encoded()) == cursor
    assert Position.decoded(Position(slot=2953944, end=17).encoded()) == Position(slot=2953944, end=17)


@pytest.mark.parametrize("text", ["", "1.2", "x", "2953944.-1.0", "2953944.1.0\n", "٢٩٥٣٩٤٤.1.x"])
def test_another_text_is_none(text: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decoded(text)
    with pytest.raises(InvalidCursor):
        Position.decoded(text)


@pytest.mark.parametrize(("days", "is_old"), [(0, False), (0.9, False), (1.1, True), (-1, True)])
def test_a_cursor_is_followed_for_a_day(journal: Journal, clock: VirtualClock, days: float, *, is_old: bool) -> None:
    cursor = journal.end()
    clock.advance(days * 86400)

    assert journal.is_old(cursor) is is_old


def test_is_read_back_newest_first_in_pages(journal: Journal, clock: VirtualClock) -> None:
    for number in range(20):
        journal.append([entry(number, "event" if number % 2 else "drop")])
        clock.advance(200)
    seen: list[list[int]] = []
    before: Position | None = None
    while True:
        found, before = journal.newest(lambda one: one.kind == "event", limit=3, before=before)
        seen.append(numbers(found))
        if before is None:
            break

    assert [number for page in seen for number in page] == [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]
    assert {len(page) for page in seen[:3]} == {3}


def test_is_read_back_in_pieces(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("function_app.store.journal.MOST_READ", 16 * 200)
    journal.append([entry(number) for number in range(30)])
    found, before = journal.newest(lambda _: True, limit=100, before=None)

    assert numbers(found) == list(range(29, -1, -1))
    assert before is None


def test_a_long_way_back_ends_in_between(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("function_app.store.journal.MOST_READ", 16 * 200)
    monkeypatch.setattr("function_app.store.journal._MOST_PIECES", 2)
    journal.append([entry(number) for number in range(30)])
    seen: list[int] = []
    before: Position | None = None
    while True:
        found, before = journal.newest(lambda one: one.data["number"] == 0, limit=1, before=before)
        seen += numbers(found)
        if before is None or seen:
            break

    assert seen == [0]


def test_what_no_one_understands_is_passed_over(journal: Journal, blobs: MemoryBlobs) -> None:
    cursor = journal.end()
    journal.append([entry(1)])
    (name,) = blobs.names_in(naming.RECEIPTS, ".journal/")
    blobs.append(naming.RECEIPTS, name, b'not JSON\n{"kind": "of another release"}\n\xff\n')
    journal.append([entry(2)])

    assert read_all(journal, cursor)[0] == [1, 2]
    assert numbers(journal.newest(lambda _: True, limit=9, before=None)[0]) == [2, 1]


def test_nothing_waits_for_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("down")

    monkeypatch.setattr(MemoryBlobs, "append", fail)
    journal.append([entry(1)])

    assert "Entries of the journal could not be written" in caplog.text
