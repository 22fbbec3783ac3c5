"""The live routes: wait for receipts to change, events to be published, and logs to grow."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from attrs import frozen
from fastapi import APIRouter, Depends, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Status
from function_app.http import long_poll
from function_app.http.auth import DataUser
from function_app.http.callers import Caller
from function_app.http.long_poll import JournalFeed, LogFeed, Message, SharedJournalReader
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import Experiment, experiment_name
from function_app.http.routes.events import cloud_event
from function_app.http.routes.jobs import log_page, receipt_of
from function_app.http.services import EventSourceDep, JobsDep, JobServiceDep, SharedJournalDep
from function_app.http.views import DropSummary
from function_app.store.journal import Entry
from function_app.store.receipts import ReceiptSummary

router = APIRouter(prefix="/api")

LOG_PAUSE = 2.0
"""Seconds between two polls of a log, each of which calls the training service."""

Wait = Annotated[float, Query(ge=0, le=long_poll.MAX_WAIT, description="Max seconds to wait for something new.")]
After = Annotated[str | None, Query(max_length=100, description="The last `id` that was received.")]
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100, description="Overrides `after`.")]
_MESSAGE = {
    "title": "A server-sent event",
    "type": "object",
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string", "description": "Send it as `after` to continue from here."},
        "data": {"type": "string", "description": "JSON."},
    },
}
_FORM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "New server-sent events; then the response ends.",
        "content": {long_poll.MEDIA_TYPE: {"schema": _MESSAGE}},
    }
}
_ANSWERS = {**problem_responses(HTTPStatus.SERVICE_UNAVAILABLE), **_FORM}


@frozen
class Following:
    """What a request waits for: the experiment or all, for how long, and after which id."""

    only: str | None
    wait: float
    since: str | None

    def sees(self, entry: Entry, kind: str, caller: Caller) -> bool:
        """Return whether an entry is of this kind, was asked for, and may be seen by the caller."""
        return entry.kind == kind and caller.can_see(entry.experiment) and self.only in (None, entry.experiment)

    async def answer(self, journal: SharedJournalReader, tell: Callable[[Sequence[Entry]], list[Message]]) -> Response:
        """Return a response with the messages that `tell` makes of the journal's new entries."""
        return await long_poll.answer(JournalFeed(journal, self.since, tell), wait=self.wait)


def _following(
    experiment: Experiment = None, wait: Wait = long_poll.MAX_WAIT, after: After = None, last_id: LastId = None
) -> Following:
    return Following(experiment_name(experiment) if experiment else None, wait, last_id or after)


Asked = Annotated[Following, Depends(_following)]


@router.get("/live", operation_id="watch_drops", tags=["drops"], response_class=Response, responses=_ANSWERS)
async def watch_drops(caller: DataUser, journal: SharedJournalDep, asked: Asked) -> Response:
    """Wait for receipts to change: `event: drop` with an item of the list of drops."""

    def tell(entries: Sequence[Entry]) -> list[Message]:
        return _drops([entry for entry in entries if asked.sees(entry, "drop", caller)])

    return await asked.answer(journal, tell)


@router.get("/events/live", operation_id="watch_events", tags=["events"], response_class=Response, responses=_ANSWERS)
async def watch_events(caller: DataUser, journal: SharedJournalDep, source: EventSourceDep, asked: Asked) -> Response:
    """Wait for events to be published: `event: published` with the CloudEvent."""

    def tell(entries: Sequence[Entry]) -> list[Message]:
        seen = (entry for entry in entries if asked.sees(entry, "event", caller))
        return [Message(event="published", data=cloud_event(source, entry).model_dump(mode="json")) for entry in seen]

    return await asked.answer(journal, tell)


@router.get(
    "/jobs/{name}/logs/live",
    operation_id="watch_job_log",
    tags=["jobs"],
    response_class=Response,
    responses={
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE),
        **_FORM,
    },
)
async def watch_job_log(
    caller: DataUser,
    jobs: JobsDep,
    service: JobServiceDep,
    name: str,
    wait: Wait = long_poll.MAX_WAIT,
    after: Annotated[int, Query(ge=0, le=2**53, description="The byte to start at.")] = 0,
    last_id: Annotated[str | None, Header(alias="Last-Event-ID", pattern=r"^\d{1,16}$")] = None,
) -> Response:
    """Wait for a job's log to grow: `event: log`, and `event: end` once the log is complete."""
    receipt = await run_in_threadpool(receipt_of, jobs, caller, name)

    def read(offset: int) -> tuple[str, int, bool]:
        page = log_page(service, receipt, name, offset)
        return page.text, page.next_offset, page.complete

    return await long_poll.answer(LogFeed(int(last_id or after), read), wait=wait, pause=LOG_PAUSE)


def _drops(entries: Sequence[Entry]) -> list[Message]:
    """Return a message for each drop, with its latest entry."""
    latest: dict[DropRef, ReceiptSummary] = {}
    for entry in entries:
        summary = ReceiptSummary.of(DropRef(entry.experiment, str(entry.data["drop"])), entry.data["metadata"])
        if summary.ref not in latest or latest[summary.ref].updated_at <= summary.updated_at:
            latest[summary.ref] = summary
    return [
        Message(event="drop", data=DropSummary.of(summary).model_dump(mode="json"))
        for summary in latest.values()
        if summary.status in set(Status)
    ]
