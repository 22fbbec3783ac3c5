import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_mock import MockerFixture

from function_app.errors import TrainingServiceUnavailable
from function_app.ports.training_service import RECEIPT_TAG
from local_azure.training.job_store import DATABASE, JobState, JobStore
from local_azure.training.run_event_publisher import RunEventPublisher
from local_azure.training.run_events import RunEvents, RunEventsError, events

DOCUMENT = {"command": "true", "experiment_name": "digits", "tags": {RECEIPT_TAG: "digits/1"}}


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / DATABASE)


def test_have_the_published_shape(store: JobStore) -> None:
    store.submit("digits-1", DOCUMENT)
    store.end("digits-1", JobState.COMPLETED)
    job = store.get("digits-1")
    changed, completed = events(job, JobState.COMPLETED)
    assert job.ended is not None
    data: Any = changed["data"]
    assert changed["eventType"] == "Microsoft.MachineLearningServices.RunStatusChanged"
    assert changed["subject"] == f"experiments/{data['experimentId']}/runs/digits-1"
    assert changed["eventTime"] == job.ended.isoformat()
    assert changed["dataVersion"] == "1.0"
    assert data == {
        "experimentId": data["experimentId"],
        "experimentName": "digits",
        "runId": "digits-1",
        "runType": None,
        "runTags": {RECEIPT_TAG: "digits/1"},
        "runProperties": {},
        "runStatus": "Completed",
    }
    assert completed["eventType"] == "Microsoft.MachineLearningServices.RunCompleted"
    assert "runStatus" not in dict(completed["data"])  # type: ignore[call-overload]  # a JSON value
    assert completed["id"] != changed["id"]
    assert events(job, JobState.COMPLETED) == [changed, completed]


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.FAILED, JobState.CANCELED])
def test_only_a_completed_job_raises_run_completed(store: JobStore, state: JobState) -> None:
    assert len(events(store.submit("a", DOCUMENT), state)) == 1


def test_are_posted_to_the_workspaces_topic_with_its_key(store: JobStore) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    sender = RunEvents("http://grid/", "key", httpx.Client(transport=httpx.MockTransport(answer)))
    sender.publish(store.submit("a", DOCUMENT), JobState.COMPLETED)
    sender.close()
    assert str(requests[0].url) == "http://grid/topics/workspace/api/events?api-version=2018-01-01"
    assert requests[0].headers["aeg-sas-key"] == "key"
    assert len(json.loads(requests[0].content)) == 2


@pytest.mark.parametrize("answer", [httpx.Response(401, text="no"), httpx.ConnectError("refused")])
def test_a_refused_event_is_an_error(store: JobStore, answer: httpx.Response | Exception) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    sender = RunEvents("http://grid", "key", httpx.Client(transport=httpx.MockTransport(handle)))
    with pytest.raises(RunEventsError, match="Event Grid at http://grid/topics/workspace/api/events"):
        sender.publish(store.submit("a", DOCUMENT), JobState.RUNNING)
    sender.close()


def test_each_change_is_announced_once(store: JobStore, mocker: MockerFixture) -> None:
    sender = mocker.create_autospec(RunEvents, instance=True)
    publisher = RunEventPublisher(store, sender)
    store.submit("a", DOCUMENT)
    publisher.publish()
    store.claim()
    publisher.publish()
    publisher.publish()
    store.end("a", JobState.FAILED)
    publisher.publish()
    assert [call.args[1] for call in sender.publish.call_args_list] == [JobState.PREPARING, JobState.FAILED]


def test_an_event_is_tried_again_and_then_given_up(store: JobStore, mocker: MockerFixture) -> None:
    sender = mocker.create_autospec(RunEvents, instance=True)
    sender.publish.side_effect = RunEventsError("down")
    clock = mocker.patch("local_azure.training.run_event_publisher.time.monotonic", return_value=0.0)
    publisher = RunEventPublisher(store, sender)
    store.submit("a", DOCUMENT)
    store.end("a", JobState.COMPLETED)
    for _ in range(3):
        publisher.publish()
    assert sender.publish.call_count == 1
    for _ in range(10):
        clock.return_value += 100
        publisher.publish()
    assert sender.publish.call_count == 6
    assert store.unpublished() == []


def test_the_publisher_continues_after_the_store_was_locked(store: JobStore, mocker: MockerFixture) -> None:
    sender = mocker.create_autospec(RunEvents, instance=True)
    store.submit("a", DOCUMENT)
    store.end("a", JobState.COMPLETED)
    found = store.unpublished()
    mocker.patch.object(JobStore, "unpublished", side_effect=[TrainingServiceUnavailable("locked"), found])
    stopping = mocker.Mock(wait=mocker.Mock(side_effect=[False, True]))
    RunEventPublisher(store, sender).run(stopping)
    sender.publish.assert_called_once()
