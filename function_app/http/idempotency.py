"""Idempotency keys: a POST that is sent twice is done once, and answered twice.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. What was answered is kept in
`receipts/.idempotency/`, under a hash of who asked and of their key.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import REMEMBERED
from function_app.domain.document import Document
from function_app.errors import BlobNotFound, KedjaError, PreconditionFailed
from function_app.ports.storage import Blobs

HEADER = "Idempotency-Key"
FOLDER = ".idempotency/"
LONGEST_KEY = 255
LARGEST = 1 << 20
"""Bytes of an answer that is kept."""
KEPT_HEADERS = ("content-type", "location", "etag")

_KEY = re.compile(r'"(?P<quoted>[\x20-\x21\x23-\x7e]+)"|(?P<bare>[\x21\x23-\x7e]+)')
_SECRETS = re.compile(r"/api/experiments/[^/]+/uploads")
"""Addresses whose answers hold secrets. They are made anew instead of being kept."""


class InvalidKey(KedjaError):
    """The header holds no key."""


class KeyReused(KedjaError):
    """The key came before, with another request."""


class KeyInProgress(KedjaError):
    """A request with the key is being worked on."""


class Kept(Document):
    """What is kept of a key. `request` is the SHA-256 of the request; `body` in Base64."""

    state: Literal["in-progress", "done"]
    request: str
    at: datetime
    status: int = 0
    headers: Mapping[str, str] = {}
    body: str = ""


@frozen(kw_only=True)
class Claim:
    """A request that is to be worked on now: its place, and the ETag of its mark."""

    name: str
    etag: str
    request: str


@frozen(kw_only=True)
class IdempotencyKeys:
    """The keys that were sent lately. A request older than `max_runtime` was killed."""

    blobs: Blobs
    clock: Callable[[], datetime]
    max_runtime: timedelta

    def claim(self, caller: str, key: str, method: str, target: str, body: bytes) -> Claim | Kept:
        """Return the answer to the same request before, or a claim on working on it now.

        Raises:
            InvalidKey: where the header's value is no key.
            KeyReused: where it came with another request.
            KeyInProgress: where the same request is being worked on.
        """
        name = f"{FOLDER}{_digest(caller.encode(), parsed(key).encode())}.json"
        request = _digest(method.encode(), target.encode(), body)
        mark = Kept(state="in-progress", request=request, at=self.clock()).encoded()
        try:
            self.blobs.create(naming.RECEIPTS, name, mark)
            blob = self.blobs.read(naming.RECEIPTS, name)
            return Claim(name=name, etag=blob.etag, request=request)
        except PreconditionFailed:
            pass
        try:
            blob = self.blobs.read(naming.RECEIPTS, name)
        except BlobNotFound as error:  # it was given up at this moment
            raise KeyInProgress(_busy(key)) from error
        kept = Kept.decoded(blob.data)
        age = self.clock() - kept.at
        if age < REMEMBERED:
            if kept.request != request:
                raise KeyReused(f"The {HEADER} {key} came with another request before. Take a new one for each.")
            if kept.state == "done" and not _SECRETS.fullmatch(target.partition("?")[0]):
                return kept
            if kept.state == "in-progress" and age < self.max_runtime:
                raise KeyInProgress(_busy(key))
        try:
            etag = self.blobs.replace(naming.RECEIPTS, name, mark, etag=blob.etag)
        except PreconditionFailed as error:
            raise KeyInProgress(_busy(key)) from error
        return Claim(name=name, etag=etag, request=request)

    def keep(self, claim: Claim, status: int, headers: Mapping[str, str], body: bytes, *, target: str) -> None:
        """Remember what was answered, or forget the key where nothing was done."""
        try:
            if not 200 <= status < 300 or len(body) > LARGEST:  # noqa: PLR2004 - the statuses of what was done
                self.blobs.delete(naming.RECEIPTS, claim.name, etag=claim.etag)
                return
            is_secret = _SECRETS.fullmatch(target.partition("?")[0]) is not None
            kept = Kept(
                state="done",
                request=claim.request,
                at=self.clock(),
                status=status,
                headers={} if is_secret else {name: headers[name] for name in KEPT_HEADERS if name in headers},
                body="" if is_secret else base64.b64encode(body).decode(),
            )
            self.blobs.replace(naming.RECEIPTS, claim.name, kept.encoded(), etag=claim.etag)
        except PreconditionFailed:
            pass  # it took so long that another request took its place


def effect(caller: str, key: str | None, *request: str) -> str:
    """Return what identifies the effect of a request: the same if it is repeated with its key, else a new one.

    Whatever a request changes may record this, so that a repeat is recognized even if nothing was kept of the first.
    """
    if key is None:
        return secrets.token_hex(32)
    return _digest(*(part.encode() for part in (caller, parsed(key), *request)))


def parsed(value: str) -> str:
    """Return the key in a header: a quoted string, as the draft has it, or the same without its quotes."""
    match = _KEY.fullmatch(value.strip())
    key = (match["quoted"] or match["bare"]) if match else ""
    if not key or len(key) > LONGEST_KEY:
        raise InvalidKey(
            f"{HEADER}: a key has 1 to {LONGEST_KEY} printable ASCII characters, in double quotes or none."
        )
    return key


def _busy(key: str) -> str:
    return f"The request with the {HEADER} {key} is being worked on."


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()
