"""The routes of approvals: approve dropped code, list and revoke approvals."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from function_app.http.auth import READS_AT_ONCE, Operator
from function_app.http.paging.position import PageToken
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import After
from function_app.http.services import ApprovalsDep
from function_app.http.views import View, drop_address
from function_app.store.approvals import FOLDER, Approvals, PendingApproval

router = APIRouter(prefix="/api/approvals", tags=["service"])

MOST = 1000
_DIGEST = r"^[0-9a-f]{64}$"
_LATER = problem_responses(HTTPStatus.SERVICE_UNAVAILABLE)


class ApprovalRequest(BaseModel):
    """The code to approve: the digest in the waiting receipt."""

    digest: Annotated[str, Field(pattern=_DIGEST)]
    note: Annotated[str, Field(max_length=500)] | None = None


class ApprovalView(View):
    """Approved code, and who approved it."""

    digest: str
    by: str
    at: datetime
    note: str | None


class PendingView(BaseModel):
    """A drop that waits for an approval."""

    digest: str
    experiment: str
    drop: str
    receipt: str

    @classmethod
    def of(cls, pending: PendingApproval) -> Self:
        """View a drop that waits for an approval."""
        address = drop_address(pending.ref)
        return cls(digest=pending.digest, experiment=pending.ref.experiment, drop=pending.ref.drop, receipt=address)


class Approved(ApprovalView):
    """An approval, and the drops that it releases."""

    released: Sequence[PendingView] = ()


class ApprovalList(BaseModel):
    """Part of the list of waiting drops, followed by the approvals. `required`: dropped code needs an approval.

    Send `next` as `after` to get the next page; null is the end.
    """

    required: bool
    items: Sequence[ApprovalView]
    waiting: Sequence[PendingView]
    next: str | None


@router.post("", operation_id="approve", status_code=HTTPStatus.CREATED, responses=_LATER)
def approve(caller: Operator, service: ApprovalsDep, request: ApprovalRequest) -> Approved:
    """Approve code. The drops that wait for it continue at once; approving it again has no effect."""
    approval, waiting = service.approve(request.digest, by=caller.name, note=request.note)
    return Approved(
        **dict(ApprovalView.model_validate(approval)), released=[PendingView.of(pending) for pending in waiting]
    )


@router.get("", operation_id="list_approvals", responses=_LATER)
def list_approvals(
    _caller: Operator,
    service: ApprovalsDep,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Max items, of both kinds together.")] = 200,
    after: After = None,
) -> ApprovalList:
    """List the drops that wait for an approval, then the approvals."""
    approvals = service.approvals
    entries = list(islice(_entries(approvals, PageToken.decoded(after).last if after else ""), limit + 1))
    page = entries[:limit]
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        found = pool.map(approvals.find, [entry for _, entry in page if isinstance(entry, str)])
        items = [ApprovalView.model_validate(approval) for approval in found if approval]
    return ApprovalList(
        required=approvals.required,
        items=items,
        waiting=[PendingView.of(entry) for _, entry in page if isinstance(entry, PendingApproval)],
        next=PageToken(last=page[-1][0]).encoded() if len(entries) > limit else None,
    )


def _entries(approvals: Approvals, last: str) -> Iterator[tuple[str, PendingApproval | str]]:
    """Yield the waiting drops, then the approved digests, after a position, each with its own position."""
    if not last.startswith(FOLDER):
        yield from ((one.blob, one) for one in approvals.waiting() if one.blob > last)
        last = FOLDER
    yield from ((f"{FOLDER}{digest}", digest) for digest in approvals.digests() if f"{FOLDER}{digest}" > last)


@router.delete(
    "/{digest}",
    operation_id="revoke_approval",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
def revoke_approval(
    _caller: Operator, service: ApprovalsDep, digest: Annotated[str, Path(pattern=_DIGEST)]
) -> Response:
    """Revoke an approval. Submitted jobs continue, even after a preemption; no others are submitted or retried."""
    service.approvals.revoke(digest)
    return Response(status_code=HTTPStatus.NO_CONTENT)
