"""API keys: for callers without an identity in Entra ID. Only their hashes are stored.

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
from function_app.http.callers import ALL_EXPERIMENTS, KEY_PREFIX, Caller, Role
from function_app.ports.clock import Clock, utc_now
from function_app.ports.storage import Blobs, iter_items

logger = logging.getLogger(__name__)

FOLDER = ".keys/"
"""The folder of the keys in the container `receipts`."""
REMEMBERED = 60.0
"""Key cache lifetime in seconds; a revoked key may work for this long."""

_MOST_REMEMBERED = 1000
_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


class StoredKey(Document):
    """The stored part of a key. `sha256` is the hash of its secret, in hex."""

    id: str
    sha256: str
    label: str
    role: Role
    experiments: tuple[str, ...] = ALL_EXPERIMENTS
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
        experiments: Iterable[str] = ALL_EXPERIMENTS,
        expires: datetime | None = None,
    ) -> tuple[str, StoredKey]:
        """Create a key; return its text, which is not stored, and the stored part."""
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
        self.blobs.create(naming.RECEIPTS, _name(key.id), key.to_bytes())
        return f"{KEY_PREFIX}{key.id}_{secret}", key

    def list(self) -> list[StoredKey]:
        """Return the stored part of each key."""
        items = iter_items(self.blobs, naming.RECEIPTS, FOLDER)
        return [StoredKey.from_bytes(self.blobs.read(naming.RECEIPTS, item.name).data) for item in items]

    def revoke(self, key_id: str) -> bool:
        """Delete a key; return whether it existed."""
        return bool(re.fullmatch(r"[0-9a-f]{12}", key_id)) and self.blobs.delete(naming.RECEIPTS, _name(key_id))

    def find(self, text: str) -> Caller | None:
        """Return the caller with this key, or None if it is unknown, expired or revoked."""
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
        if len(self._remembered) >= _MOST_REMEMBERED:  # somebody is guessing keys: do not grow without limit
            self._remembered.clear()
        self._remembered[key_id] = (self.monotonic() + REMEMBERED, key)
        return key

    def _read(self, key_id: str) -> StoredKey | None:
        try:
            return StoredKey.from_bytes(self.blobs.read(naming.RECEIPTS, _name(key_id)).data)
        except BlobNotFound:
            return None
        except ValidationError:
            logger.exception("%s/%s is not a valid key and is rejected.", naming.RECEIPTS, _name(key_id))
            return None


def _name(key_id: str) -> str:
    return f"{FOLDER}{key_id}.json"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
