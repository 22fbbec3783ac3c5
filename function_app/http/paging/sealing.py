"""Sealing: texts that callers keep for Kedja and cannot read, such as where a list with others' things goes on."""

import contextlib

from attrs import frozen

from function_app.domain import naming
from function_app.errors import BlobNotFound, KedjaError, PreconditionFailed
from function_app.ports.storage import Blobs

KEY = ".sealing-key"
"""The blob among the receipts that holds the key. Whoever can read it can read what is sealed, too."""


class NotSealed(KedjaError):
    """The text was not sealed here."""


@frozen
class Seal:
    """Seals texts with a key of the account's own."""

    blobs: Blobs

    def sealed(self, text: str) -> str:
        """Return a text that only this account can open."""
        from cryptography.fernet import Fernet  # noqa: PLC0415 - takes a while to import, and is seldom needed

        return Fernet(self._key()).encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Return what was sealed. Raise NotSealed where it was not."""
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - as above

        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise NotSealed(f"{sealed[:80]!r} was not made here.") from error

    def _key(self) -> bytes:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - as above

        try:
            return self.blobs.read(naming.RECEIPTS, KEY).data
        except BlobNotFound:
            with contextlib.suppress(PreconditionFailed):  # another host has just made one
                self.blobs.create(naming.RECEIPTS, KEY, Fernet.generate_key())
            return self.blobs.read(naming.RECEIPTS, KEY).data
