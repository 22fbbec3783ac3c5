"""The champion: which version of a model consumers are to use. It only moves forward, whatever order jobs end in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from attrs import frozen

from function_app import names
from function_app.documents import Document
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.gate import refusal
from function_app.kedja_options import When
from function_app.storage import Blobs


class Champion(Document):
    """`models/<model>/champion.json`. `sequence` is the order of its drop's submission among others."""

    model: str
    version: str
    sequence: int
    receipt: str
    metrics: Mapping[str, float] = {}
    since: datetime

    @classmethod
    def read(cls, blobs: Blobs, model: str) -> tuple[Self, str] | None:
        """Return a model's champion and its ETag, or None where there is none yet."""
        try:
            blob = blobs.read(names.MODELS, names.champion_blob(model))
        except BlobNotFound:
            return None
        return cls.decoded(blob.data), blob.etag


@frozen
class Champions:
    """The champions of an account."""

    blobs: Blobs

    def find(self, model: str) -> Champion | None:
        found = Champion.read(self.blobs, model)
        return found[0] if found else None

    def challenge(self, challenger: Champion, gate: When | None) -> bool:
        """Make the challenger the champion unless the present one is newer, or better where the gate asks for that.

        Return whether it is the champion now.
        """
        name = names.champion_blob(challenger.model)
        while True:
            found = Champion.read(self.blobs, challenger.model)
            if found and found[0].version == challenger.version:
                return True
            if found and (
                found[0].sequence > challenger.sequence or refusal(gate, challenger.metrics, found[0].metrics)
            ):
                return False
            try:
                if found:
                    self.blobs.replace(names.MODELS, name, challenger.encoded(), etag=found[1])
                else:
                    self.blobs.create(names.MODELS, name, challenger.encoded())
            except PreconditionFailed:
                continue  # someone else's challenge was faster: look at it
            return True
