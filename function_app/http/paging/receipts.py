"""Pages of receipts: filtered, newest first, with a token that continues without gaps."""

from collections.abc import Callable, Sequence

from function_app.domain import naming
from function_app.http.paging.position import PageToken
from function_app.http.paging.sealing import Seal
from function_app.ports.storage import MAX_LIST_PAGE
from function_app.store.receipts import Receipts, ReceiptSummary

MOST = 200
"""Max receipts of a page."""
_READS = (500, MAX_LIST_PAGE, MAX_LIST_PAGE)
"""Names to request in each call to storage. A page that ends there has a token and may have few receipts."""


def newest(
    receipts: Receipts,
    wanted: Callable[[ReceiptSummary], bool],
    *,
    limit: int,
    after: str | None,
    seal: Seal | None = None,
    reads: Sequence[int] = _READS,
) -> tuple[list[ReceiptSummary], str | None]:
    """Return up to `limit` wanted receipts and the token of the next page, or None at the end.

    New receipts push others into the next part of the listing. The token therefore contains the last name, so that no
    receipt is repeated or left out.

    It makes at most three calls to storage, so a page may have few receipts, or none, before the end. `seal` is for
    callers who may not know about the receipts that are not wanted.

    Raises:
        InvalidToken: `after` is not the `next` of an earlier page.
    """
    position = PageToken.decoded(after, seal)
    found: list[ReceiptSummary] = []
    last, token = position.last, position.token
    for size in reads:
        with position.followed():
            summaries, next_token = receipts.page(size=size, token=token)
        for summary in summaries:
            name = _name(summary)
            if name <= last:
                continue
            if len(found) == limit:
                return found, PageToken(last=last, token=token).encoded(seal)
            last = name
            if wanted(summary):
                found.append(summary)
        if next_token is None:
            return found, None
        token = next_token
    return found, PageToken(token=token, last=last).encoded(seal)


def newest_of(
    receipts: Receipts,
    experiment: str,
    wanted: Callable[[ReceiptSummary], bool],
    *,
    limit: int,
    after: str | None,
    seal: Seal | None = None,
) -> tuple[list[ReceiptSummary], str | None]:
    """Return what `newest` does, for one experiment.

    Only this experiment's receipts are listed; if they are too many for one call, the index of all receipts is read.

    Raises:
        InvalidToken: `after` is not the `next` of an earlier page.
    """
    position = PageToken.decoded(after, seal)
    if position.token is None:
        every, more = receipts.page_of(experiment, size=MAX_LIST_PAGE)
        if more is None:
            kept = sorted((_name(one), one) for one in every if wanted(one) and _name(one) > position.last)
            end = PageToken(last=kept[limit - 1][0]).encoded(seal) if len(kept) > limit else None
            return [one for _, one in kept[:limit]], end
    return newest(
        receipts,
        lambda one: one.experiment == experiment and wanted(one),
        limit=limit,
        after=after,
        seal=seal,
        reads=_READS[1:],
    )


def _name(summary: ReceiptSummary) -> str:
    return naming.by_time_blob(summary.received_at, summary.ref)
