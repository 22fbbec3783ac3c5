import json
import threading
import time
from http import HTTPStatus
from typing import Any

import pytest

from function_app.domain import naming
from function_app.http.callers import Role
from function_app.http.long_poll import PAUSE, SharedJournalReader
from function_app.ports.metrics import MetricPoint, RunSeries
from function_app.ports.training_service import JobStatus
from function_app.store.journal import CLOCK_SKEW, Cursor, Entry
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.memory import MemoryBlobs
from tests.unit.simulation import World

QUICK = 5.0
"""Max seconds until a response that does not wait arrives, even on a busy machine."""


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def told(text: str) -> list[tuple[str, Any, str | None]]:
    """Read server-sent events as a browser does; return (event, data, last id) of each."""
    found, last = [], None
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        last = fields.get("id", last)
        if "data" in fields:
            found.append((fields["event"], json.loads(fields["data"]), last))
    return found


def last_id(text: str) -> str:
    return [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")][-1]


def begin(client: Client, address: str = "/api/live") -> str:
    ((event, _, cursor),) = told(client.get(address).text)
    assert event == "start"
    assert cursor is not None
    return cursor


def test_a_newcomer_is_told_at_once_where_to_go_on(client: Client) -> None:
    began = time.monotonic()
    answer = client.get("/api/live")

    assert time.monotonic() - began < QUICK
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 1000\n\n")
    assert told(answer.text)[0][0] == "start"


def test_receipts_are_told_as_they_change(world: World, client: Client) -> None:
    cursor = begin(client)
    world.drop_digits()
    world.rest()
    answer = client.get("/api/live", params={"after": cursor, "wait": 0})

    ((event, data, cursor2),) = told(answer.text)
    assert event == "drop"
    assert data == client.get_json("/api/drops")["items"][0]
    assert data["status"] == "submitted"
    world.run_job()
    ((_, data, _),) = told(client.get("/api/live", headers={"Last-Event-ID": cursor2 or ""}).text)
    assert (data["status"], data["model"]) == ("registered", "digits:1")


def test_every_change_is_told_once_in_whatever_steps_it_is_asked_for(world: World, client: Client) -> None:
    cursor, seen = begin(client), []
    for step in range(6):
        world.drop(f"data/e{step}/digits.npz", b"x")
        world.go_on(30)
        text = client.get("/api/live", params={"after": cursor, "wait": 0}).text
        seen += [data["experiment"] for _, data, _ in told(text)]
        cursor = last_id(text)

    assert sorted(set(seen)) == [f"e{step}" for step in range(6)]
    assert told(client.get("/api/live", params={"after": cursor, "wait": 0}).text) == []


def test_one_who_waits_is_told_when_it_happens(world: World, client: Client) -> None:
    cursor = begin(client)

    def happen() -> None:
        world.drop_digits()
        world.go_on(30)

    happens = threading.Timer(0.5, happen)
    happens.start()
    began = time.monotonic()
    answer = client.get("/api/live", params={"after": cursor, "wait": 20})
    happens.join()

    assert time.monotonic() - began < 15
    assert told(answer.text)


def test_where_nothing_happens_the_answer_ends(client: Client) -> None:
    cursor = begin(client)
    answer = client.get("/api/live", params={"after": cursor, "wait": 0.1})

    assert told(answer.text) == []
    assert last_id(answer.text) == cursor


def test_a_cursor_of_long_ago_begins_anew(world: World, client: Client) -> None:
    cursor = begin(client)
    world.clock.advance(2 * 86_400)

    assert told(client.get("/api/live", params={"after": cursor}).text)[0][0] == "start"


@pytest.mark.parametrize("query", ["after=x", "after=1.2.3", "wait=21", "wait=-1"])
def test_a_cursor_that_is_none_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/live?{query}").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_one_experiment_alone(world: World, client: Client) -> None:
    cursor = begin(client)
    world.drop_digits()
    world.drop("data/other/x.npz")
    world.rest()
    text = client.get("/api/live", params={"after": cursor, "wait": 0, "experiment": "other"}).text

    assert {data["experiment"] for _, data, _ in told(text)} == {"other"}


def test_others_changes_are_not_told_and_passed_over(world: World, client: Client) -> None:
    cursor = begin(client)
    world.drop_digits()
    world.rest()
    other = limited(world, Role.DATA, "vision-*")
    text = other.get("/api/live", params={"after": cursor, "wait": 0}).text

    assert told(text) == []
    assert last_id(text) != cursor


def test_many_who_wait_cost_as_much_as_one(blobs: MemoryBlobs, world: World) -> None:
    world.clock.advance(CLOCK_SKEW)
    now = 0.0
    watch = SharedJournalReader(world.kedja.receipts.journal, lambda: now)
    cursor = watch.journal.end()
    blobs.calls.clear()
    for second in range(5):
        now = float(second)
        for _ in range(40):
            assert watch.read(cursor) == ([], cursor)

    assert len(blobs.calls) == 5


def test_new_lines_are_read_once_for_all_who_wait(blobs: MemoryBlobs, world: World) -> None:
    world.clock.advance(CLOCK_SKEW)
    now = 0.0
    watch = SharedJournalReader(world.kedja.receipts.journal, lambda: now)
    cursor = watch.journal.end()
    for number in range(3):
        watch.journal.append([Entry(kind="drop", experiment="digits", data={"number": number})])
        blobs.calls.clear()
        found = [watch.read(cursor) for _ in range(40)]
        assert [[entry.data["number"] for entry in entries] for entries, _ in found] == [[number]] * 40
        assert len(blobs.calls) == 1
        cursor = found[0][1]


def test_a_place_that_was_read_is_read_anew_after_a_second(world: World) -> None:
    world.clock.advance(CLOCK_SKEW)
    now = 0.0
    watch = SharedJournalReader(world.kedja.receipts.journal, lambda: now)
    cursor = watch.journal.end()
    for number in range(2):
        watch.journal.append([Entry(kind="drop", experiment="digits", data={"number": number})])
        assert [entry.data["number"] for entry in watch.read(cursor)[0]] == list(range(number + 1))
        now += PAUSE


def test_few_places_are_remembered(blobs: MemoryBlobs, world: World) -> None:
    world.clock.advance(CLOCK_SKEW)
    watch = SharedJournalReader(world.kedja.receipts.journal, lambda: 0.0)
    end = watch.journal.end()
    first, *_, last = places = [Cursor(slot=end.slot, offset=number) for number in range(10)]
    for place in places:
        watch.read(place)
    blobs.calls.clear()
    watch.read(last)
    assert blobs.calls == []
    watch.read(first)
    assert len(blobs.calls) == 1


# Events.


def test_published_events_are_listed_newest_first(world: World, client: Client) -> None:
    world.drop_digits()
    world.rest()
    world.run_job(metrics={"accuracy": 0.97})
    first = client.get_json("/api/events?limit=2")
    second = client.get_json("/api/events", params={"after": first["next"]})

    listed = [*first["items"], *second["items"]]
    assert [item["id"] for item in reversed(listed)] == [one.id for one in world.publisher.published]
    assert second["next"] is None
    newest = listed[0]
    assert newest["specversion"] == "1.0"
    assert newest["source"] == "https://kedja.blob.core.windows.net/receipts/digits"
    assert newest["data"]["experiment"] == "digits"


def test_an_event_that_was_sent_twice_is_listed_once(world: World, client: Client) -> None:
    world.drop_digits()
    world.rest()
    (journal,) = world.blobs.names_in(naming.RECEIPTS, ".journal/")
    lines = world.blobs.read(naming.RECEIPTS, journal).data
    world.blobs.append(naming.RECEIPTS, journal, lines)

    assert [item["type"] for item in client.get_json("/api/events")["items"]] == ["Kedja.JobSubmitted"]


def test_what_was_not_accepted_is_not_listed(world: World, client: Client) -> None:
    world.publisher.refuses = True
    world.drop_digits()
    world.rest()

    assert client.get_json("/api/events")["items"] == []
    world.publisher.refuses = False
    world.reconcile()
    assert len(client.get_json("/api/events")["items"]) == 1


def test_events_are_told_as_they_are_published(world: World, client: Client) -> None:
    cursor = begin(client, "/api/events/live")
    world.drop_digits()
    world.rest()
    text = client.get("/api/events/live", params={"after": cursor, "wait": 0}).text

    ((event, data, _),) = told(text)
    assert event == "published"
    assert data == client.get_json("/api/events")["items"][0]


# Logs and metrics.


@pytest.fixture
def job(world: World) -> str:
    world.drop_digits()
    world.rest()
    name = world.live_jobs()[0].name
    world.training.move(name, JobStatus.RUNNING)
    world.rest()
    return name


def test_a_log_is_told_as_it_grows_and_to_its_end(world: World, client: Client, job: str) -> None:
    address = f"/api/jobs/{job}/logs/live?wait=0"
    assert told(client.get(address).text) == []
    world.training.log_texts[job] = "epoch 1\nö\n"
    assert told(client.get(address).text) == [("log", {"text": "epoch 1\nö\n"}, "11")]
    world.training.log_texts[job] += "epoch 2\n"
    ((_, data, last),) = told(client.get(address, headers={"Last-Event-ID": "11"}).text)
    assert (data, last) == ({"text": "epoch 2\n"}, "19")
    world.training.finish(job)
    assert told(client.get(f"{address}&after=11").text) == [
        ("log", {"text": "epoch 2\n"}, "19"),
        ("end", {}, "19"),
    ]


def test_a_log_that_is_asked_for_too_early_is_waited_for(world: World, client: Client, job: str) -> None:
    text = client.get(f"/api/jobs/{job}/logs/live?wait=0.1").text

    assert (told(text), last_id(text)) == ([], "0")


@pytest.mark.parametrize("last", ["x", "-1", "1.0"])
def test_a_byte_that_is_none_is_refused(client: Client, job: str, last: str) -> None:
    answer = client.get(f"/api/jobs/{job}/logs/live?wait=0", headers={"Last-Event-ID": last})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_metrics_come_as_series(world: World, client: Client, job: str) -> None:
    at = world.clock()
    values = [0.5, float("nan"), float("inf"), 0.75]
    points = [MetricPoint(step=step, value=value, time=at) for step, value in enumerate(values)]
    world.training.series[job] = RunSeries(series={"main/loss": points}, parameters={"epochs": "4"})

    found = client.get_json(f"/api/jobs/{job}/metrics")

    assert found["parameters"] == {"epochs": "4"}
    assert [(one["step"], one["value"]) for one in found["series"]["main/loss"]] == [
        (0, 0.5),
        (1, None),
        (2, None),
        (3, 0.75),
    ]


@pytest.mark.parametrize(("number", "points"), [(1000, 10), (11, 10), (10, 10), (3, 10), (5, 2)])
def test_a_long_series_is_thinned_and_keeps_both_ends(
    world: World, client: Client, job: str, number: int, points: int
) -> None:
    values = [MetricPoint(step=step, value=float(step), time=world.clock()) for step in range(number)]
    world.training.series[job] = RunSeries(series={"loss": values})

    steps = [one["step"] for one in client.get_json(f"/api/jobs/{job}/metrics?points={points}")["series"]["loss"]]

    assert len(steps) == min(number, points)
    assert (steps[0], steps[-1]) == (0, number - 1)
    assert sorted(set(steps)) == steps
