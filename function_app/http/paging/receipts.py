"""Pages of receipts for people and programs: filtered, newest first, with a token that reads on without a gap."""

from collections.abc import Callable, Sequence

from function_app.domain import naming
from function_app.http.paging.position import Position
from function_app.http.paging.sealing import Seal
from function_app.ports.storage import MOST_LISTED
from function_app.store.receipts import Receipts, Summary

MOST = 200
"""How many receipts a page has at most."""
_READS = (500, MOST_LISTED, MOST_LISTED)
"""How many names each call to storage asks for. A page that ends there has a token and may have few receipts."""


def newest(
    receipts: Receipts,
    wanted: Callable[[Summary], bool],
    *,
    limit: int,
    after: str | None,
    seal: Seal | None = None,
    reads: Sequence[int] = _READS,
) -> tuple[list[Summary], str | None]:
    """Return up to `limit` receipts that are wanted, and what reads on after them, or None at the end.

    Receipts that come meanwhile push others into the next part of the listing: names say where to go on, so that none
    is told twice or left out.

    However few are wanted, it makes three calls to storage at most: a page may have few receipts, or none, before the
    end. `seal` is for callers who may not know of those that are not wanted.

    Raises:
        InvalidToken: where `after` is none.
    """
    position = Position.decoded(after, seal)
    found: list[Summary] = []
    last, token = position.last, position.token
    for size in reads:
        with position.followed():
            summaries, next_token = receipts.page(size=size, token=token)
        for summary in summaries:
            name = _name(summary)
            if name <= last:
                continue
            if len(found) == limit:
                return found, Position(last=last, token=token).encoded(seal)
            last = name
            if wanted(summary):
                found.append(summary)
        if next_token is None:
            return found, None
        token = next_token
    return found, Position(token=token, last=last).encoded(seal)


def newest_of(
    receipts: Receipts,
    experiment: str,
    wanted: Callable[[Summary], bool],
    *,
    limit: int,
    after: str | None,
    seal: Seal | None = None,
) -> tuple[list[Summary], str | None]:
    """Return what `newest` does, of one experiment.

    All its receipts are listed, however many others there are; where they are too many for that, the index is read.

    Raises:
        InvalidToken: where `after` is none.
    """
    position = Position.decoded(after, seal)
    if position.token is None:
        every, more = receipts.page_of(experiment, size=MOST_LISTED)
        if more is None:
            kept = sorted((_name(one), one) for one in every if wanted(one) and _name(one) > position.last)
            end = Position(last=kept[limit - 1][0]).encoded(seal) if len(kept) > limit else None
            return [one for _, one in kept[:limit]], end
    return newest(
        receipts,
        lambda one: one.experiment == experiment and wanted(one),
        limit=limit,
        after=after,
        seal=seal,
        reads=_READS[1:],
    )


def _name(summary: Summary) -> str:
    return naming.by_time_blob(summary.received_at, summary.experiment, summary.drop)
