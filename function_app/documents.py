"""What JSON documents in storage, on queues and in events have in common."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """An immutable JSON document. Keys that a newer release added are kept out of the way of an older one."""

    # JSON has no NaN, and metrics of a training that diverged do: they are written as text, and read back as numbers.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    def encoded(self) -> bytes:
        """Return the document as indented JSON, since people read it in storage."""
        return self.model_dump_json(indent=2, exclude_none=True).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        return cls.model_validate_json(data)
