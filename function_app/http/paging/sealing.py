"""Encryption of tokens that callers send back but may not read, such as positions in lists of all experiments."""

import contextlib

from attrs import frozen

from function_app.domain import naming
from function_app.errors import BlobNotFound, Invalid, PreconditionFailed
from function_app.ports.storage import Blobs

KEY = ".sealing-key"
"""The blob with the key, in the container `receipts`. Anyone who can read it can decrypt the tokens."""


class NotSealed(Invalid):
    """The text was not encrypted with this account's key."""


@frozen
class Seal:
    """Encrypts texts with the account's key."""

    blobs: Blobs

    def sealed(self, text: str) -> str:
        """Return the text, encrypted."""
        from cryptography.fernet import Fernet  # noqa: PLC0415 - slow to import, and rarely needed

        return Fernet(self._key()).encrypt(text.encode()).decode()

    def opened(self, sealed: str) -> str:
        """Return an encrypted text, decrypted.

        Raises:
            NotSealed: the text was not encrypted with this account's key.
        """
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - as above

        try:
            return Fernet(self._key()).decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise NotSealed(f"{sealed[:80]!r} was not encrypted with this account's key.") from error

    def _key(self) -> bytes:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - as above

        try:
            return self.blobs.read(naming.RECEIPTS, KEY).data
        except BlobNotFound:
            with contextlib.suppress(PreconditionFailed):  # another host has just created a key
                self.blobs.create(naming.RECEIPTS, KEY, Fernet.generate_key())
            return self.blobs.read(naming.RECEIPTS, KEY).data
