"""The route of published events: list the recent ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from function_app.http.auth import DataUser
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import Experiment, Limit, experiment_name
from function_app.http.services import EventSourceDep, JournalDep
from function_app.store.journal import Entry, Position

router = APIRouter(prefix="/api/events", tags=["events"])


class PublishedEvent(BaseModel):
    """A published CloudEvent. `docs/events.md` describes the data of each type."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    type: str
    source: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: Mapping[str, Any]


class EventPage(BaseModel):
    """Published events, newest first. Send `next` as `after` to get the next page; null is the end."""

    items: Sequence[PublishedEvent]
    next: str | None


@router.get("", operation_id="list_events", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
def list_events(
    caller: DataUser,
    journal: JournalDep,
    source: EventSourceDep,
    experiment: Experiment = None,
    limit: Limit = 50,
    after: Annotated[str | None, Query(max_length=100, description="The `next` of the previous response.")] = None,
) -> EventPage:
    """List recently published events, newest first."""
    only = experiment_name(experiment) if experiment else None
    seen: set[str] = set()

    def wanted(entry: Entry) -> bool:
        # An event whose acceptance could not be recorded was sent again, so it is in the journal twice.
        if entry.kind != "event" or not caller.can_see(entry.experiment) or only not in (None, entry.experiment):
            return False
        is_new = entry.data["id"] not in seen
        seen.add(entry.data["id"])
        return is_new

    before = Position.decoded(after) if after else None
    entries, position = journal.newest(wanted, limit=limit, before=before)
    return EventPage(
        items=[cloud_event(source, entry) for entry in entries], next=position.encoded() if position else None
    )


def cloud_event(source: str, entry: Entry) -> PublishedEvent:
    """Return an event of the journal as it was published. `source` is the address of the storage account."""
    return PublishedEvent.model_validate({**entry.data, "source": f"{source}{entry.data['source']}"})
