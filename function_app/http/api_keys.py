"""API keys: for callers without an identity in Entra ID. Only their hashes are kept.

A key is `kedja_<id>_<secret>`. The secret has 256 random bits, so its SHA-256 needs neither salt nor stretching.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from attrs import Factory, field, frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.errors import BlobNotFound
from function_app.http.callers import EVERY, KEY_PREFIX, Caller, Role
from function_app.ports.storage import Blobs, pages
from function_app.store.receipts import Clock, utc_now

logger = logging.getLogger(__name__)

FOLDER = ".keys/"
"""Where keys lie in the container `receipts`."""
REMEMBERED = 60.0
"""Seconds that a key is taken for what it was, so that most requests need no look at storage. Also how long a
revoked one may still open the door."""

_MOST_REMEMBERED = 1000
_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


class StoredKey(Document):
    """What is kept of a key. `sha256` is that of its secret, in hex."""

    id: str
    sha256: str
    label: str
    role: Role
    experiments: tuple[str, ...] = EVERY
    created: datetime
    expires: datetime | None = None


@frozen(kw_only=True)
class ApiKeys:
    """The keys of an account."""

    blobs: Blobs
    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    _remembered: dict[str, tuple[float, StoredKey | None]] = field(default=Factory(dict), init=False, repr=False)

    def create(
        self,
        label: str,
        role: Role,
        *,
        experiments: Iterable[str] = EVERY,
        expires: datetime | None = None,
    ) -> tuple[str, StoredKey]:
        """Make a key; return its text, which is nowhere else, and what is kept of it."""
        secret = secrets.token_urlsafe(32)
        key = StoredKey(
            id=secrets.token_hex(6),
            sha256=_digest(secret),
            label=label,
            role=role,
            experiments=tuple(experiments),
            created=self.clock(),
            expires=expires,
        )
        self.blobs.create(naming.RECEIPTS, _name(key.id), key.encoded())
        return f"{KEY_PREFIX}{key.id}_{secret}", key

    def list(self) -> list[StoredKey]:
        """Return what is kept of each key."""
        items = (item for page in pages(self.blobs, naming.RECEIPTS, FOLDER) for item in page)
        return [StoredKey.decoded(self.blobs.read(naming.RECEIPTS, item.name).data) for item in items]

    def revoke(self, key_id: str) -> bool:
        """Delete a key; return whether there was one."""
        return bool(re.fullmatch(r"[0-9a-f]{12}", key_id)) and self.blobs.delete(naming.RECEIPTS, _name(key_id))

    def find(self, text: str) -> Caller | None:
        """Return whose key this is, or None where it is nobody's."""
        match = _KEY.fullmatch(text)
        key = self._look_up(match[1]) if match else None
        if match is None or key is None or not hmac.compare_digest(_digest(match[2]), key.sha256):
            return None
        if key.expires is not None and key.expires <= self.clock():
            return None
        return Caller(name=f"{key.label} (key {key.id})", role=key.role, experiments=key.experiments)

    def _look_up(self, key_id: str) -> StoredKey | None:
        known = self._remembered.get(key_id)
        if known and self.monotonic() < known[0]:
            return known[1]
        key = self._read(key_id)
        if len(self._remembered) >= _MOST_REMEMBERED:  # someone guesses: forget, rather than grow
            self._remembered.clear()
        self._remembered[key_id] = (self.monotonic() + REMEMBERED, key)
        return key

    def _read(self, key_id: str) -> StoredKey | None:
        try:
            return StoredKey.decoded(self.blobs.read(naming.RECEIPTS, _name(key_id)).data)
        except BlobNotFound:
            return None
        except ValidationError:
            logger.exception("%s/%s is no key: nobody gets in with it.", naming.RECEIPTS, _name(key_id))
            return None


def _name(key_id: str) -> str:
    return f"{FOLDER}{key_id}.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
