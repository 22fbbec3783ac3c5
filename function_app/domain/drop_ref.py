"""Which drop: the reference that receipts, snapshots, jobs and models know a drop by."""

import re
from typing import Self

from attrs import frozen

_NAME = re.compile(r"(?P<experiment>[a-z0-9_-]+)/(?P<drop>[0-9a-f]{64})")


@frozen(order=True)
class DropRef:
    """A drop by its experiment's slug and its id (SHA-256, in hex). As text, `<experiment>/<drop>`."""

    experiment: str
    drop: str

    def __str__(self) -> str:
        """Return the name of the drop's receipt, which the tag of its jobs and models has."""
        return f"{self.experiment}/{self.drop}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the drop that a text names, such as a tag, which anybody may change; None if it names none."""
        found = _NAME.fullmatch(text)
        return cls(found["experiment"], found["drop"]) if found else None

    @classmethod
    def of_blob(cls, name: str) -> Self:
        """Return the drop of a blob whose name ends with that of the drop, perhaps with the suffix `.json`."""
        experiment, drop = name.removesuffix(".json").split("/")[-2:]
        return cls(experiment, drop)
