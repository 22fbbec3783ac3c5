"""Uploaders: who brought the files of a drop, as far as the way they came tells.

Events of storage name nobody. Whoever asks the HTTP API for an upload link is on record with it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import UNKNOWN

LINK_COUNTS = timedelta(days=1)
"""How long before a drop's newest file a link may have been given out. A file may have been written again past its
link since, so that an older one tells nothing."""

Links = Mapping[tuple[str, str], tuple[str, datetime]]
"""Upload links of an experiment: (container, name in its folder) to (who asked, when)."""


class UploadRecords(Protocol):
    """What is on record of upload links."""

    def of(self, experiment: str) -> Links:
        """Return the latest link of each file of an experiment. One listing."""


def uploaded_by(drop: Drop, links: Links) -> tuple[str, ...]:
    """Return who uploaded the drop's files, by name; `unknown` is among them where it is so for any file."""
    if not links:
        return (UNKNOWN,)
    scripts = [*drop.scripts, *([drop.job_yaml] if drop.job_yaml else [])]
    places = [(naming.SCRIPTS, file.name) for file in scripts] + [(naming.DATA, file.name) for file in drop.data]
    found = {_caller(links.get(place), drop.newest) for place in places}
    known = sorted(caller for caller in found if caller is not None)
    return (*known, *([UNKNOWN] if None in found or not known else []))


def _caller(link: tuple[str, datetime] | None, newest: datetime | None) -> str | None:
    if link is None or newest is None or newest - link[1] > LINK_COUNTS:
        return None
    return link[0]
