"""What lies in a storage account in memory: blobs by their names, and those in order."""

import itertools
from bisect import bisect_left, insort
from collections import defaultdict
from datetime import UTC, datetime

from attrs import define

from function_app.ports.storage import BlobItem

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@define
class Stored:
    """A blob, and the lease on it."""

    item: BlobItem
    data: bytes
    lease: str | None = None
    leased_until: datetime = LONG_AGO


class Account(dict[tuple[str, str], Stored]):
    """Blobs by container and name, with the names of each container in order, as listings have them."""

    def __init__(self) -> None:
        super().__init__()
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def __setitem__(self, place: tuple[str, str], stored: Stored) -> None:
        container, name = place
        if place not in self:
            insort(self._names[container], name)
        super().__setitem__(place, stored)

    def __delitem__(self, place: tuple[str, str]) -> None:
        super().__delitem__(place)
        container, name = place
        del self._names[container][bisect_left(self._names[container], name)]

    def names_in(self, container: str, prefix: str) -> list[str]:
        found = self._names[container]
        first = bisect_left(found, prefix)
        return list(itertools.takewhile(lambda name: name.startswith(prefix), itertools.islice(found, first, None)))
