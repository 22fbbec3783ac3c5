"""Messages: what the service puts on its own queues, for itself."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef


class DeferrableMessage(Document):
    """A message of `settled-drops` that is deferred after a transient error.

    `since` is the time of the first deferral. Without `again` it is not deferred: its sender sends another message.
    """

    tries: int = 0
    since: datetime | None = None
    again: bool = True


class SettleMessage(Document):
    """A message of `settled-drops`: settle the experiment's folder.

    `since` is when its files began to arrive, `tries` the number of earlier transient errors.
    """

    kind: Literal["settle"] = "settle"
    experiment: str
    folder: str
    trigger: str
    since: datetime | None = None
    tries: int = 0

    @property
    def marker(self) -> str:
        """The marker blob of this request, until settling begins.

        Files outside of any folder are unrelated, so each has its own marker.
        """
        if self.experiment != naming.ROOT_EXPERIMENT:
            return naming.settling_blob(self.experiment)
        return naming.settling_blob(f"{self.experiment}-{hashlib.sha256(self.folder.encode()).hexdigest()[:16]}")


class SubmitMessage(Document):
    """A message of `settled-drops`: submit a claimed attempt that got its slot, or whose submission is retried."""

    kind: Literal["submit"] = "submit"
    experiment: str
    drop: str
    tries: int = 0

    @property
    def ref(self) -> DropRef:
        """Which drop it is about."""
        return DropRef(self.experiment, self.drop)


class ApprovedMessage(DeferrableMessage):
    """A message of `settled-drops`: resume a drop whose code has been approved."""

    kind: Literal["approved"] = "approved"
    digest: str
    experiment: str
    drop: str

    @property
    def ref(self) -> DropRef:
        """Which drop it is about."""
        return DropRef(self.experiment, self.drop)


class TrainingRequestMessage(DeferrableMessage):
    """A message of `settled-drops`: an event requested a training. `code`: the sender may decide what code runs."""

    kind: Literal["request"] = "request"
    source: str
    code: bool
    experiment: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    id: UUID

    @property
    def blob(self) -> str:
        """The blob of the requested job spec, in the container `snapshots`."""
        return f"{naming.requests_prefix(self.experiment)}{self.id}.json"


class SyncJobMessage(Document):
    """A message of `run-events`: sync a job again. `since` is when its first sync failed."""

    kind: Literal["look"] = "look"
    job: str
    tries: int = 0
    since: datetime


type SettledDropsMessage = Annotated[
    SettleMessage | SubmitMessage | ApprovedMessage | TrainingRequestMessage, Field(discriminator="kind")
]
"""A message of `settled-drops`."""
