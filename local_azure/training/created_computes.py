"""Computes that were created through the API, beside those that the settings name. All of them are this machine."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from function_app.errors import ComputeRefused

COMPUTES_FILE = "computes.json"


@frozen(kw_only=True)
class CreatedComputes:
    """The created computes, in a JSON file: for each name its size and max number of nodes."""

    path: Path

    def read(self) -> Mapping[str, tuple[str, int]]:
        """Return (size, max nodes) by name."""
        try:
            found: dict[str, list[str | int]] = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {name: (str(size), int(nodes)) for name, (size, nodes) in found.items()}

    def create(self, name: str, size: str, max_nodes: int) -> None:
        """Add a compute, or change its max number of nodes.

        Raises:
            ComputeRefused: it exists with another size.
        """
        known = dict(self.read())
        if name in known and known[name][0].casefold() != size.casefold():
            raise ComputeRefused(
                f"Compute {name!r} cannot be created: it exists already, with the size {known[name][0]}."
            )
        known[name] = (size, max_nodes)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{COMPUTES_FILE}.{os.getpid()}")
        draft.write_text(json.dumps(known), encoding="utf-8")
        draft.replace(self.path)
