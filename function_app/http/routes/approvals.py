"""The routes of approvals: who lets code run that others have dropped."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from function_app.http.auth import READS_AT_ONCE, Operator, Service
from function_app.http.paging.position import Position
from function_app.http.problems import answers
from function_app.http.routes.drops import After
from function_app.http.views import drop_address
from function_app.store.approvals import FOLDER, Approval, Approvals, Pending

router = APIRouter(prefix="/api/approvals", tags=["service"])

MOST = 1000
_DIGEST = r"^[0-9a-f]{64}$"
_LATER = answers(HTTPStatus.SERVICE_UNAVAILABLE)


class ApprovalRequest(BaseModel):
    """Which code may run: the digest that the waiting receipt names."""

    digest: Annotated[str, Field(pattern=_DIGEST)]
    note: Annotated[str, Field(max_length=500)] | None = None


class ApprovalView(BaseModel):
    """Code that may run, and who said so."""

    digest: str
    by: str
    at: datetime
    note: str | None

    @classmethod
    def of(cls, approval: Approval) -> Self:
        return cls(digest=approval.digest, by=approval.by, at=approval.at, note=approval.note)


class PendingView(BaseModel):
    """A drop that waits for an approval."""

    digest: str
    experiment: str
    drop: str
    receipt: str

    @classmethod
    def of(cls, pending: Pending) -> Self:
        address = drop_address(pending.experiment, pending.drop)
        return cls(digest=pending.digest, experiment=pending.experiment, drop=pending.drop, receipt=address)


class Approved(ApprovalView):
    """An approval, and the drops that go on with it."""

    released: Sequence[PendingView] = ()


class ApprovalList(BaseModel):
    """Part of what waits for an approval, and after that of what is approved. `required` says whether any is asked for.

    `next` as the query's `after` reads on; null is the end.
    """

    required: bool
    items: Sequence[ApprovalView]
    waiting: Sequence[PendingView]
    next: str | None


@router.post("", operation_id="approve", status_code=HTTPStatus.CREATED, responses=_LATER)
def approve(caller: Operator, kedja: Service, request: ApprovalRequest) -> Approved:
    """Approve code. The drops that wait for it go on at once; approving again changes nothing."""
    approval, waiting = kedja.approver.approve(request.digest, by=caller.name, note=request.note)
    return Approved(**dict(ApprovalView.of(approval)), released=[PendingView.of(pending) for pending in waiting])


@router.get("", operation_id="list_approvals", responses=_LATER)
def list_approvals(
    _caller: Operator,
    kedja: Service,
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many at most, of both together.")] = 200,
    after: After = None,
) -> ApprovalList:
    """List the drops that wait for an approval, and after them the approvals."""
    approvals = kedja.approver.approvals
    entries = list(islice(_entries(approvals, Position.decoded(after).last if after else ""), limit + 1))
    page = entries[:limit]
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        found = pool.map(approvals.find, [entry for _, entry in page if isinstance(entry, str)])
        items = [ApprovalView.of(approval) for approval in found if approval]
    return ApprovalList(
        required=approvals.required,
        items=items,
        waiting=[PendingView.of(entry) for _, entry in page if isinstance(entry, Pending)],
        next=Position(last=page[-1][0]).encoded() if len(entries) > limit else None,
    )


def _entries(approvals: Approvals, last: str) -> Iterator[tuple[str, Pending | str]]:
    """Yield the drops that wait, then the digests that are approved, behind a place, each with its own."""
    if not last.startswith(FOLDER):
        yield from ((one.blob, one) for one in approvals.waiting() if one.blob > last)
        last = FOLDER
    yield from ((f"{FOLDER}{digest}", digest) for digest in approvals.digests() if f"{FOLDER}{digest}" > last)


@router.delete(
    "/{digest}",
    operation_id="revoke_approval",
    status_code=HTTPStatus.NO_CONTENT,
    responses=answers(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
def revoke_approval(_caller: Operator, kedja: Service, digest: Annotated[str, Path(pattern=_DIGEST)]) -> Response:
    """Revoke an approval. Submitted jobs continue, even after a preemption; no more are submitted or retried."""
    kedja.approver.approvals.revoke(digest)
    return Response(status_code=HTTPStatus.NO_CONTENT)
