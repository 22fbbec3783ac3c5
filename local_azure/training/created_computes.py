"""The names that a job may have as its compute on one machine: those of the settings, and those that were made."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from function_app.errors import ComputeRefused

FILE = "computes.json"


@frozen(kw_only=True)
class MadeComputes:
    """What was made: a file of names, each with its size and the most nodes. All of them are this machine."""

    path: Path

    def read(self) -> Mapping[str, tuple[str, int]]:
        """Return (size, nodes at most) by name."""
        try:
            found: dict[str, list[str | int]] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {name: (str(size), int(nodes)) for name, (size, nodes) in found.items()}

    def make(self, name: str, size: str, max_nodes: int) -> None:
        """Add a compute. Raise ComputeRefused where there is one of another size."""
        there = dict(self.read())
        if name in there and there[name][0].casefold() != size.casefold():
            raise ComputeRefused(
                f"Compute {name!r} cannot be created: there is one already, of the size {there[name][0]}."
            )
        there[name] = (size, max_nodes)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{FILE}.{os.getpid()}")
        draft.write_text(json.dumps(there), encoding="utf-8")
        draft.replace(self.path)
