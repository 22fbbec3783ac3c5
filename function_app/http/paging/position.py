"""Positions in lists: where a page ended, encoded as the `next` of a response."""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from attrs import frozen

from function_app.errors import Invalid, StorageError, StorageUnavailable
from function_app.http.paging.sealing import NotSealed, Seal


class InvalidToken(Invalid):
    """The page token is not valid."""


@frozen(kw_only=True)
class PageToken:
    """Where a page ended: storage's continuation token of the listing, and the last name that was read.

    Both may reveal things that the caller may not see: for a limited caller they are encrypted.
    """

    token: str | None = None
    last: str = ""

    @classmethod
    def decoded(cls, text: str | None, seal: Seal | None = None) -> Self:
        """Return the position that a response's `next` encodes; without one, the beginning.

        Raises:
            InvalidToken: the text is not the `next` of a response.
        """
        if not text:
            return cls()
        problem = f"after: {text[:80]!r} is not the `next` of an earlier response."
        try:
            token, last = json.loads(base64.urlsafe_b64decode((seal.opened(text) if seal else text).encode()))
        except (NotSealed, binascii.Error, ValueError, TypeError) as error:
            raise InvalidToken(problem) from error
        if not isinstance(token, str | None) or not isinstance(last, str):
            raise InvalidToken(problem)
        return cls(token=token, last=last)

    def encoded(self, seal: Seal | None = None) -> str:
        """Return the position as the `next` of a response."""
        text = base64.urlsafe_b64encode(json.dumps([self.token, self.last]).encode()).decode()
        return seal.sealed(text) if seal else text

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Raise InvalidToken if storage rejects the token, which may come from another account."""
        try:
            yield
        except StorageUnavailable:
            raise
        except StorageError as error:
            if self.token is None:
                raise
            raise InvalidToken("after: storage rejects this `next`. Start again without it.") from error
