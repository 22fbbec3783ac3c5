"""Idempotency keys: a POST that is sent twice is processed once, and gets the same response twice.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/. Responses are stored in
`receipts/.idempotency/`, under a hash of the caller and the key.
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
from function_app.errors import BlobNotFound, Conflict, Invalid, PreconditionFailed
from function_app.ports.storage import Blobs

HEADER = "Idempotency-Key"
FOLDER = ".idempotency/"
LONGEST_KEY = 255
LARGEST = 1 << 20
"""Max size of a stored response's body in bytes."""
KEPT_HEADERS = ("content-type", "location", "etag")

_KEY = re.compile(r'"(?P<quoted>[\x20-\x21\x23-\x7e]+)"|(?P<bare>[\x21\x23-\x7e]+)')
_SECRETS = re.compile(r"/api/experiments/[^/]+/uploads")
"""Paths whose responses contain secrets. These are created again instead of being stored."""


class InvalidKey(Invalid):
    """The header's value is not a valid key."""


class KeyReused(Invalid):
    """The key was already used for a different request."""

    code = "idempotency-key-reused"
    title = "The idempotency key belongs to another request."
    advice = "Use a new key for each new request."


class KeyInProgress(Conflict):
    """A request with the key is in progress."""

    code = "in-progress"
    title = "The same request is in progress."
    wait = 10


class StoredResponse(Document):
    """The stored response for a key. `request` is the SHA-256 of the request; `body` in Base64."""

    state: Literal["in-progress", "done"]
    request: str
    at: datetime
    status: int = 0
    headers: Mapping[str, str] = {}
    body: str = ""


@frozen(kw_only=True)
class Claim:
    """The right to process a request: the blob's name, and the ETag of its in-progress mark."""

    name: str
    etag: str
    request: str


@frozen(kw_only=True)
class IdempotencyKeys:
    """The recently used keys. A request older than `max_runtime` was killed."""

    blobs: Blobs
    clock: Callable[[], datetime]
    max_runtime: timedelta

    def claim(self, caller: str, key: str, method: str, target: str, body: bytes) -> Claim | StoredResponse:
        """Return the stored response to the same request, or a claim to process it now.

        Raises:
            InvalidKey: the header's value is not a valid key.
            KeyReused: the key was used for a different request.
            KeyInProgress: the same request is in progress.
        """
        name = f"{FOLDER}{_digest(caller.encode(), parse_key(key).encode())}.json"
        request = _digest(method.encode(), target.encode(), body)
        mark = StoredResponse(state="in-progress", request=request, at=self.clock()).to_bytes()
        try:
            self.blobs.create(naming.RECEIPTS, name, mark)
            blob = self.blobs.read(naming.RECEIPTS, name)
            return Claim(name=name, etag=blob.etag, request=request)
        except PreconditionFailed:
            pass
        try:
            blob = self.blobs.read(naming.RECEIPTS, name)
        except BlobNotFound as error:  # the other request has just failed
            raise KeyInProgress(_busy(key)) from error
        kept = StoredResponse.from_bytes(blob.data)
        age = self.clock() - kept.at
        if age < REMEMBERED:
            if kept.request != request:
                raise KeyReused(f"The {HEADER} {key} was used for a different request. Use a new key for each request.")
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
        """Store a successful response; otherwise delete the mark, so that the key can be used again."""
        try:
            if not 200 <= status < 300 or len(body) > LARGEST:  # noqa: PLR2004 - the statuses of success
                self.blobs.delete(naming.RECEIPTS, claim.name, etag=claim.etag)
                return
            is_secret = _SECRETS.fullmatch(target.partition("?")[0]) is not None
            kept = StoredResponse(
                state="done",
                request=claim.request,
                at=self.clock(),
                status=status,
                headers={} if is_secret else {name: headers[name] for name in KEPT_HEADERS if name in headers},
                body="" if is_secret else base64.b64encode(body).decode(),
            )
            self.blobs.replace(naming.RECEIPTS, claim.name, kept.to_bytes(), etag=claim.etag)
        except PreconditionFailed:
            pass  # it took so long that another request claimed the key


def effect(caller: str, key: str | None, *request: str) -> str:
    """Return the identity of a request's effect: the same if it is repeated with its key, otherwise a new value.

    The documents that a request changes can record it, to recognize a repeat even if no response was stored.
    """
    if key is None:
        return secrets.token_hex(32)
    return _digest(*(part.encode() for part in (caller, parse_key(key), *request)))


def parse_key(value: str) -> str:
    """Return the key in a header: a quoted string as in the draft, or the same without quotes.

    Raises:
        InvalidKey: the header's value is not a valid key.
    """
    match = _KEY.fullmatch(value.strip())
    key = (match["quoted"] or match["bare"]) if match else ""
    if not key or len(key) > LONGEST_KEY:
        raise InvalidKey(
            f"{HEADER}: a key has 1 to {LONGEST_KEY} printable ASCII characters, with or without double quotes."
        )
    return key


def _busy(key: str) -> str:
    return f"A request with the {HEADER} {key} is in progress."


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()
