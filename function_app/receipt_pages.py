"""Pages of receipts for people and programs: filtered, newest first, with a token that reads on without a gap."""

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Self

from attrs import frozen

from function_app import names
from function_app.errors import KedjaError
from function_app.receipts import Receipts, Summary
from function_app.storage import MOST_LISTED

MOST = 200
"""How many receipts a page has at most."""
_READS = (500, MOST_LISTED, MOST_LISTED)
"""How many names each call to storage asks for. A page that ends there has a token and may have few receipts."""


class InvalidToken(KedjaError):
    """The token that is to read on was not made here."""


@frozen(kw_only=True)
class Position:
    """Where a page ended: storage's own token of the listing's part, and the last name of it that was looked at."""

    token: str | None = None
    last: str = ""

    @classmethod
    def decoded(cls, text: str) -> Self:
        try:
            token, last = json.loads(base64.urlsafe_b64decode(text.encode()))
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidToken(f"after: {text[:80]!r} is no `next` of an earlier answer.") from error
        if not isinstance(token, str | None) or not isinstance(last, str):
            raise InvalidToken(f"after: {text[:80]!r} is no `next` of an earlier answer.")
        return cls(token=token, last=last)

    def encoded(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.token, self.last]).encode()).decode()


def newest(
    receipts: Receipts,
    wanted: Callable[[Summary], bool],
    *,
    limit: int,
    after: str | None,
    secretive: bool = False,
    reads: Sequence[int] = _READS,
) -> tuple[list[Summary], str | None]:
    """Return up to `limit` receipts that are wanted, and what reads on after them, or None at the end.

    Receipts that come meanwhile push others into the next part of the listing: names say where to go on, so that none
    is told twice or left out.

    `secretive` is for callers who may not know of those that are not wanted. Storage's token and the last name that
    was looked at would tell, so their token is the last name on the page, and the listing is read from its beginning.

    Raises:
        InvalidToken: where `after` is none.
    """
    position = Position.decoded(after) if after else Position()
    if secretive:
        position = Position(last=position.last)
    found: list[Summary] = []
    last, token = position.last, position.token
    for size in itertools.repeat(MOST_LISTED) if secretive else reads:
        summaries, next_token = receipts.page(size=size, token=token)
        for summary in summaries:
            name = _name(summary)
            if name <= last:
                continue
            if len(found) == limit:
                return found, Position(last=_name(found[-1]) if secretive else last, token=position.token).encoded()
            last = name
            if wanted(summary):
                found.append(summary)
        if next_token is None:
            return found, None
        token = next_token
        position = position if secretive else Position(token=token)
    return found, Position(token=token, last=last).encoded()


def newest_of(
    receipts: Receipts,
    experiment: str,
    wanted: Callable[[Summary], bool],
    *,
    limit: int,
    after: str | None,
    secretive: bool = False,
) -> tuple[list[Summary], str | None]:
    """Return what `newest` does, of one experiment.

    All its receipts are listed, however many others there are; where they are too many for that, the index is read.

    Raises:
        InvalidToken: where `after` is none.
    """
    position = Position.decoded(after) if after else Position()
    if position.token is None:
        every, more = receipts.page_of(experiment, size=MOST_LISTED)
        if more is None:
            kept = sorted((_name(one), one) for one in every if wanted(one) and _name(one) > position.last)
            end = Position(last=kept[limit - 1][0]).encoded() if len(kept) > limit else None
            return [one for _, one in kept[:limit]], end
    return newest(
        receipts,
        lambda one: one.experiment == experiment and wanted(one),
        limit=limit,
        after=after,
        secretive=secretive,
        reads=_READS[1:],
    )


def _name(summary: Summary) -> str:
    return names.by_time_blob(summary.received_at, summary.experiment, summary.drop)
