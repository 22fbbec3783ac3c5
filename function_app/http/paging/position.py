"""Positions: where a page of a list ended, as the `next` of an answer tells it."""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from attrs import frozen

from function_app.errors import KedjaError, StorageError, StorageUnavailable
from function_app.http.paging.sealing import NotSealed, Seal


class InvalidToken(KedjaError):
    """The token that is to read on was not made here."""


@frozen(kw_only=True)
class Position:
    """Where a page ended: storage's own token of the listing's part, and the last name of it that was looked at.

    Both may tell of things that are none of the caller's business: for a limited caller they are sealed.
    """

    token: str | None = None
    last: str = ""

    @classmethod
    def decoded(cls, text: str | None, seal: Seal | None = None) -> Self:
        """Return where an answer's `next` reads on, by default at the beginning.

        Raises:
            InvalidToken: where it is none.
        """
        if not text:
            return cls()
        problem = f"after: {text[:80]!r} is no `next` of an earlier answer."
        try:
            token, last = json.loads(base64.urlsafe_b64decode((seal.opened(text) if seal else text).encode()))
        except (NotSealed, binascii.Error, ValueError, TypeError) as error:
            raise InvalidToken(problem) from error
        if not isinstance(token, str | None) or not isinstance(last, str):
            raise InvalidToken(problem)
        return cls(token=token, last=last)

    def encoded(self, seal: Seal | None = None) -> str:
        text = base64.urlsafe_b64encode(json.dumps([self.token, self.last]).encode()).decode()
        return seal.sealed(text) if seal else text

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Turn storage's refusal of the token, which may be another account's, into InvalidToken."""
        try:
            yield
        except StorageUnavailable:
            raise
        except StorageError as error:
            if self.token is None:
                raise
            raise InvalidToken(
                "after: storage does not follow this `next` any more. Begin anew, without it."
            ) from error
