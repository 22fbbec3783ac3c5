"""The base of JSON documents in storage, on queues and in events."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from function_app.errors import Unreadable
from function_app.ports.storage import Blobs, read_if_there


class Document(BaseModel):
    """An immutable JSON document. Keys that a newer release added are ignored."""

    # JSON has no NaN, but metrics of a diverged training may be NaN: written as strings, and read back as numbers.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    def to_bytes(self) -> bytes:
        """Return the document as indented JSON, since people read it in storage."""
        return self.model_dump_json(indent=2, exclude_none=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return the document from JSON."""
        return cls.model_validate_json(data)

    @classmethod
    def read_document(cls, blobs: Blobs, container: str, name: str) -> tuple[Self, str] | None:
        """Return the document in a blob, and the blob's ETag, or None if there is no such blob.

        Raises:
            Unreadable: The blob holds no such document.
        """
        blob = read_if_there(blobs, container, name)
        if blob is None:
            return None
        try:
            return cls.from_bytes(blob.data), blob.etag
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            what_to_do = "Restore an earlier version of this blob."
            raise Unreadable(f"{container}/{name} cannot be read: {reason}. {what_to_do}") from error
