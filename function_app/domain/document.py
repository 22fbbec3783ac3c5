"""What JSON documents in storage, on queues and in events have in common."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from function_app.errors import Unreadable
from function_app.ports.storage import Blobs, read_if_there


class Document(BaseModel):
    """An immutable JSON document. Keys that a newer release added are kept out of the way of an older one."""

    # JSON has no NaN, and metrics of a training that diverged do: they are written as text, and read back as numbers.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    def to_bytes(self) -> bytes:
        """Return the document as indented JSON, since people read it in storage."""
        return self.model_dump_json(indent=2, exclude_none=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls.model_validate_json(data)

    @classmethod
    def read_document(cls, blobs: Blobs, container: str, name: str) -> tuple[Self, str] | None:
        """Return the document in a blob, and the blob's ETag, or None where there is none.

        Raises:
            Unreadable: where what lies there is no such document.
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
