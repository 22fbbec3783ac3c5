"""The routes of replay: what could not be worked on or delivered, and back into the flow with it."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from function_app.http.auth import Overseer, Service
from function_app.http.paging.position import Position
from function_app.http.problems import answers
from function_app.http.routes.drops import After
from function_app.operations.replay import MOST, Replay, Waiting
from function_app.operations.service import Kedja

router = APIRouter(prefix="/api/replay", tags=["service"])

_ANSWERS = answers(HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class WaitingView(BaseModel):
    """Something that waits to be replayed. `queue` is where it would go, empty where nothing understands it."""

    id: str
    kind: Literal["poison", "dead-letter"]
    queue: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, one: Waiting) -> Self:
        return cls(id=one.id, kind=one.kind, queue=one.queue, reason=one.reason, at=one.at)


class WaitingPage(BaseModel):
    """What waits to be replayed. `next` as the query's `after` reads on; null is the end."""

    items: Sequence[WaitingView]
    next: str | None


class ReplayRequest(BaseModel):
    """What is to be replayed: some by their ids, or all."""

    ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=1100)]], Field(max_length=MOST)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if bool(self.ids) == self.all:
            raise ValueError("either `ids`, or `all` as true")
        return self


class LeftView(BaseModel):
    """Something that was not replayed, and why."""

    id: str
    reason: str


class Replayed(BaseModel):
    """What is back in the flow, and what is not."""

    replayed: Sequence[str]
    left: Sequence[LeftView]


@router.get("", operation_id="list_replay", responses=_ANSWERS)
def list_replay(
    _caller: Overseer,
    kedja: Service,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many at most.")] = 50,
    after: After = None,
) -> WaitingPage:
    """List what could not be worked on, or not be delivered."""
    found = _replay(kedja).waiting(limit=limit + 1, after=Position.decoded(after).last if after else "")
    last = Position(last=found[limit - 1].id).encoded() if len(found) > limit else None
    return WaitingPage(items=[WaitingView.of(one) for one in found[:limit]], next=last)


@router.post("", operation_id="replay", responses=_ANSWERS)
def replay(_caller: Overseer, kedja: Service, request: ReplayRequest) -> Replayed:
    """Send some, or as many as one request does, back into the flow."""
    parts = _replay(kedja)
    sent, left = parts.send(request.ids) if request.ids else parts.send_all()
    return Replayed(replayed=sent, left=[LeftView(id=one.id, reason=one.reason) for one in left])


def _replay(kedja: Kedja) -> Replay:
    return Replay(blobs=kedja.blobs, queues=kedja.queues, requests=kedja.requests, admit=kedja.entrance.admit)
