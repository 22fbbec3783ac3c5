"""Root files: files dropped outside of any folder, which belong to no experiment."""

from datetime import datetime

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import RejectedPlan
from function_app.ports.storage import Blobs


def reject_root_file(blobs: Blobs, name: str, *, now: datetime) -> RejectedPlan | None:
    """Return the rejection of a root file, in any container; None if no container has it."""
    found = [
        (container, item)
        for container in (naming.DATA, naming.SCRIPTS)
        if (item := blobs.get(container, name)) is not None
    ]
    if not found:
        return None
    container = found[0][0]
    return RejectedPlan(
        drop=Drop.of_root_file(name, found, now=now),
        reason=f"{container}/{name} is outside of any experiment's folder.",
        what_to_do=f"Drop it into a folder: {container}/<experiment>/{name}.",
    )
