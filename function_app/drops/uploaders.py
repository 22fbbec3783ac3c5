"""Uploaders: who uploaded the files of a drop, as far as that is known.

Storage events do not name a user, but the HTTP API records who requests an upload link.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import UNKNOWN

LINK_COUNTS = timedelta(days=1)
"""Max age of a link at the time of the drop's newest file. A file may have been overwritten without its link since, so
an older link proves nothing."""

Links = Mapping[tuple[str, str], tuple[str, datetime]]
"""Upload links of an experiment: (container, name in its folder) to (who asked, when)."""


class UploadRecords(Protocol):
    """The records of upload links."""

    def latest_links(self, experiment: str) -> Links:
        """Return the latest link of each file of an experiment. One listing."""


def uploaded_by(drop: Drop, links: Links) -> tuple[str, ...]:
    """Return who uploaded the drop's files, sorted by name, with `unknown` last if that is true for any file."""
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
