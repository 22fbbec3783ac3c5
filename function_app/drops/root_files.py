"""Outsiders: files that were dropped outside of any folder, so that they belong to no experiment."""

from datetime import datetime

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import Rejected
from function_app.ports.storage import Blobs


def refused(blobs: Blobs, name: str, *, now: datetime) -> Rejected | None:
    """Return the refusal of the file of this name, in whichever container it is; None where it is in none."""
    found = [
        (container, item)
        for container in (naming.DATA, naming.SCRIPTS)
        if (item := blobs.get(container, name)) is not None
    ]
    if not found:
        return None
    container = found[0][0]
    return Rejected(
        drop=Drop.of_outsiders(name, found, now=now),
        reason=f"{container}/{name} lies outside of any experiment's folder.",
        what_to_do=f"Drop it into a folder: {container}/<experiment>/{name}.",
    )
