"""A receipt in any status, for tests of what is done with one."""

from datetime import UTC, datetime

from function_app.domain.attempt import Attempt
from function_app.domain.contents import DropContents
from function_app.domain.receipt import Receipt, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make(status: Status = Status.SUBMITTING, *, attempts: int = 1) -> Receipt:
    return Receipt(
        experiment="digits",
        folder="Digits",
        drop="d" * 64,
        sequence=1,
        status=status,
        received_at=NOW,
        updated_at=NOW,
        newest_upload=NOW,
        trigger="t",
        received=DropContents(scripts=0, data=0, size=0, manifest="m", scripts_sha256="s", data_sha256="d"),
        attempts=tuple(
            Attempt(number=number, job=f"digits-{number}", why="first drop", claimed=NOW, sequence=1)
            for number in range(1, attempts + 1)
        ),
    )
