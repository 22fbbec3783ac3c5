"""Approvals: if the setting KEDJA_APPROVALS is on, code waits until someone approves it.

An approval is for a digest of the names and contents of a drop's scripts and of the keys in its job spec that decide
which code runs. Contents are read and hashed here, since the writer of a blob can set any Content-MD5.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.contents import DroppedFile
from function_app.domain.document import Document
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt
from function_app.errors import BlobNotFound, NotFound, PreconditionFailed, Refused
from function_app.jobspec.schema import JobSpec
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, iter_items, iter_pages, read_if_there
from function_app.store.snapshots import SourceChanged

FOLDER = ".approvals/"
"""Prefix of approvals in the container `receipts`, which writers of scripts cannot write to."""
PENDING = ".awaiting-approval/"
"""`<digest>/<experiment>/<drop>`: drops that wait for an approval."""
LARGEST = 20 << 20
"""Max bytes of a script to read. A larger script counts by its ETag, so every new upload needs a new approval."""
_PLACES = ("kedja.arguments.", "inputs.", "search_space.")


class NotApproved(Refused):
    """The code of a drop needs an approval and does not have one (any more). `reason` says so in one sentence."""

    def __init__(self, receipt: Receipt) -> None:
        code = receipt.received.code_sha256
        self.reason = f"The code of {receipt.name} is not approved{f': {code}' if code else ''}."
        super().__init__(
            f"{self.reason} Approve it (POST /api/approvals){'' if code else ', or drop it again to learn its digest'}."
        )


class Approval(Document):
    """`receipts/.approvals/<digest>.json`: who approved the code with this digest."""

    digest: str
    by: str
    at: datetime
    note: str | None = None


@frozen(kw_only=True)
class PendingApproval:
    """A drop that waits for the approval of a digest."""

    digest: str
    ref: DropRef

    @property
    def blob(self) -> str:
        """The blob that notes that the drop waits."""
        return f"{PENDING}{self.digest}/{self.ref}"


@frozen(kw_only=True)
class PendingNote:
    """The note that a drop waits, as listed. Its age is by the storage's clock."""

    pending: PendingApproval
    etag: str
    age: timedelta


@frozen
class Approvals:
    """The approvals of an account. Code needs an approval only if `required` is set."""

    blobs: Blobs
    required: bool
    clock: Clock

    def digest(self, drop: Drop, spec: JobSpec) -> str | None:
        """Return the SHA-256, in hex, of a drop's code; None if it has no code or no approval is required.

        Raises:
            SourceChanged: a script has changed since it was listed.
        """
        code = dict(_code_of(spec))
        if not self.required or not (drop.scripts or code):
            return None
        scripts = [[file.name, self._content(drop, file)] for file in sorted(drop.scripts, key=lambda file: file.name)]
        text = json.dumps({"version": 1, "scripts": scripts, "job": code}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def check_or_note(self, pending: PendingApproval) -> bool:
        """Return whether the digest is approved. If it is not, note that the drop waits.

        The note is written before the last check, so that an approval in between is not missed.
        """
        if self.find(pending.digest) is not None:
            return True
        self.blobs.replace(naming.RECEIPTS, pending.blob, b"")
        return self.find(pending.digest) is not None

    def find(self, digest: str) -> Approval | None:
        """Return the approval of a digest, or None."""
        blob = read_if_there(self.blobs, naming.RECEIPTS, _blob(digest))
        try:
            found = Approval.from_bytes(blob.data if blob else b"")
        except ValidationError:
            return None
        return found if found.digest == digest else None

    def allows(self, digest: str) -> bool:
        """Return whether the code with this digest may run."""
        return not self.required or self.find(digest) is not None

    def check(self, receipt: Receipt, spec: JobSpec) -> None:
        """Check that the code of a receipt's snapshot may run.

        Raises:
            NotApproved: the code is not approved (any more).
        """
        code = receipt.received.code_sha256
        brings_code = code is not None or receipt.received.scripts > 0 or bool(spec.code_keys())
        if self.required and brings_code and (code is None or self.find(code) is None):
            raise NotApproved(receipt)

    def approve(self, digest: str, *, by: str, note: str | None) -> Approval:
        """Approve a digest, or return its existing approval."""
        approval = Approval(digest=digest, by=by, at=self.clock(), note=note)
        with contextlib.suppress(PreconditionFailed):
            self.blobs.create(naming.RECEIPTS, _blob(digest), approval.to_bytes())
        return self.find(digest) or approval

    def revoke(self, digest: str) -> None:
        """Revoke an approval, for future jobs.

        Raises:
            NotFound: there is no such approval.
        """
        if not self.blobs.delete(naming.RECEIPTS, _blob(digest)):
            raise NotFound(f"There is no approval of {digest}. GET /api/approvals lists the approvals.")

    def digests(self) -> Iterator[str]:
        """Yield the approved digests, in alphabetical order."""
        for item in iter_items(self.blobs, naming.RECEIPTS, FOLDER):
            yield item.name.removeprefix(FOLDER).removesuffix(".json")

    def waiting(self, digest: str = "") -> Iterator[PendingApproval]:
        """Yield the drops that wait for the approval of this digest, or of any digest."""
        for note in self.notes(digest):
            yield note.pending

    def notes(self, digest: str = "") -> Iterator[PendingNote]:
        """Yield the notes of the drops that wait for the approval of this digest, or of any digest."""
        for page in iter_pages(self.blobs, naming.RECEIPTS, f"{PENDING}{digest}"):
            for item in page.items:
                _, found, *_ = item.name.split("/")
                pending = PendingApproval(digest=found, ref=DropRef.of_blob(item.name))
                yield PendingNote(pending=pending, etag=item.etag, age=page.now - item.modified)

    def clear_pending(self, pending: PendingApproval, *, etag: str | None = None) -> None:
        """Delete the note that a drop waits; given its ETag, only if it was not written again since."""
        with contextlib.suppress(PreconditionFailed):
            self.blobs.delete(naming.RECEIPTS, pending.blob, etag=etag)

    def _content(self, drop: Drop, file: DroppedFile) -> str:
        if file.size > LARGEST:
            return f"etag {file.etag}"
        name = f"{drop.folder}/{file.name}"
        try:
            blob = self.blobs.read(naming.SCRIPTS, name)
        except BlobNotFound:
            blob = None
        if blob is None or blob.etag != file.etag:
            raise SourceChanged(f"{naming.SCRIPTS}/{name} changed while its drop was being read.")
        return f"sha256 {hashlib.sha256(blob.data).hexdigest()}"


def _code_of(spec: JobSpec) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys that decide which code runs, with their values in the job spec."""
    values = json.loads(spec.to_json())
    for key in spec.code_keys():
        value = _at(values, key)
        if value is not None:  # otherwise the default applies
            yield key, value


def _at(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - plain JSON of any shape
    place = next((place for place in _PLACES if key.startswith(place)), None)
    # The rest is a name that the user chose, which may contain dots.
    path = key.split(".") if place is None else [*place.rstrip(".").split("."), key.removeprefix(place)]
    if place == "search_space.":
        path[1:] = [path[1].removesuffix(".values"), "values"]
    found: Any = values
    for part in path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _blob(digest: str) -> str:
    return f"{FOLDER}{digest}.json"
