"""Looks receipts up by what people give: an experiment, and the beginning of a drop's id or `latest`."""

import re
from collections.abc import Mapping

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.errors import NotFound
from function_app.ports.storage import Blobs
from function_app.store.latest_drop import LatestDrop
from function_app.store.receipts import Receipts

LATEST = "latest"
"""What stands for the id of an experiment's latest drop."""

_DROP = re.compile(r"[0-9a-f]{8,64}")
_WHOLE = 64


@frozen(kw_only=True)
class ReceiptLookup:
    """Finds receipts, without reading more than their names and metadata."""

    blobs: Blobs
    receipts: Receipts

    def ref(self, experiment: str, drop: str) -> DropRef:
        """Return which drop it is, given its id, the id's first eight or more digits, or `latest`.

        A complete id is returned as it is: its receipt may not exist.

        Raises:
            NotFound: there is no such receipt, or several ids begin with these digits.
        """
        if drop == LATEST and (latest := self.receipts.latest(experiment)) is not None:
            return latest.ref
        if not _DROP.fullmatch(drop):
            raise _missing(experiment, drop)
        return DropRef(experiment, drop) if len(drop) == _WHOLE else self._completed(experiment, drop)

    def latest(self, experiment: str) -> tuple[LatestDrop, Mapping[str, str]] | None:
        """Return an experiment's latest drop with the metadata of its receipt, which is empty if that was deleted."""
        latest = self.receipts.latest(experiment)
        if latest is None:
            return None
        found = self.blobs.get(naming.RECEIPTS, naming.receipt_blob(latest.ref))
        return latest, found.metadata if found else {}

    def _completed(self, experiment: str, start: str) -> DropRef:
        items = self.blobs.page(naming.RECEIPTS, f"{experiment}/{start}", size=2).items
        if len(items) > 1:
            raise NotFound(f"Several drops' ids start with {experiment}/{start}: give more digits.")
        if not items:
            raise _missing(experiment, start)
        return DropRef.of_blob(items[0].name)


def _missing(experiment: str, drop: str) -> NotFound:
    return NotFound(f"There is no receipt {experiment}/{drop}. GET /api/drops lists all drops.")
