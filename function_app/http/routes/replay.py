"""The routes of replay: list messages that failed and events that were not delivered, and process them again."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator

from function_app.http.auth import GlobalReader
from function_app.http.paging.position import PageToken
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import After
from function_app.http.services import ReplayDep
from function_app.http.views import View
from function_app.operations.replay import MOST

router = APIRouter(prefix="/api/replay", tags=["service"])

_ANSWERS = problem_responses(HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class WaitingView(View):
    """A message or event that can be replayed. `queue` is its target; it is empty if the content is not recognized."""

    id: str
    kind: Literal["poison", "dead-letter"]
    queue: str
    reason: str
    at: datetime


class WaitingPage(BaseModel):
    """Part of the list. Send `next` as `after` to get the next page; null is the end."""

    items: Sequence[WaitingView]
    next: str | None


class ReplayRequest(BaseModel):
    """What to replay: some items by their ids, or all."""

    ids: Annotated[list[Annotated[str, Field(min_length=1, max_length=1100)]], Field(max_length=MOST)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if bool(self.ids) == self.all:
            raise ValueError("either `ids` must have items, or `all` must be true")
        return self


class LeftView(View):
    """An item that was not replayed, and why."""

    id: str
    reason: str


class Replayed(BaseModel):
    """The ids of the replayed items, and the items that were not replayed."""

    replayed: Sequence[str]
    left: Sequence[LeftView]


@router.get("", operation_id="list_replay", responses=_ANSWERS)
def list_replay(
    _caller: GlobalReader,
    service: ReplayDep,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Max items.")] = 50,
    after: After = None,
) -> WaitingPage:
    """List messages that could not be processed, and events that could not be delivered."""
    found = service.waiting(limit=limit + 1, after=PageToken.decoded(after).last if after else "")
    last = PageToken(last=found[limit - 1].id).encoded() if len(found) > limit else None
    return WaitingPage(items=[WaitingView.model_validate(one) for one in found[:limit]], next=last)


@router.post("", operation_id="replay", responses=_ANSWERS)
def replay(_caller: GlobalReader, service: ReplayDep, request: ReplayRequest) -> Replayed:
    """Process some items again, or all, up to the limit of one request."""
    sent, left = service.send(request.ids) if request.ids else service.send_all()
    return Replayed(replayed=sent, left=[LeftView.model_validate(one) for one in left])
