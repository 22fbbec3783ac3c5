"""Training requests: what other systems ask for by events.

A job spec may hold secrets, in its `environment_variables`. It lies with the snapshots until it is answered; messages,
and so queues and poison, hold its id alone. Messages of older releases hold the spec: it is taken out of them.
"""

import json
import logging
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

from attrs import frozen
from pydantic import Field

from function_app.domain import incoming_events, naming
from function_app.domain.receipt import Receipt
from function_app.drops import deferral
from function_app.errors import BlobNotFound, InvalidEvent, StorageUnavailable, Unreadable
from function_app.operations.job_commands import Jobs
from function_app.ports.storage import Blobs, Queues
from function_app.store.receipts import Clock
from function_app.timing import Timing

logger = logging.getLogger(__name__)

_OF_OLDER_RELEASES = UUID("5f3c8d8a-6f0e-4d55-9d43-2f8f6c1f6b0e")
"""What the ids are derived in of specs that came in messages."""


class TrainingRequest(deferral.PutOff):
    """A message of `settled-drops`: another system asked for a training by an event. `code` says what it may set."""

    kind: str = "request"
    source: str
    code: bool
    experiment: Annotated[str, Field(pattern="^[a-z0-9-]+$")]
    id: UUID

    @property
    def blob(self) -> str:
        """Where the container `snapshots` has what it asks for."""
        return f"{naming.requests_prefix(self.experiment)}{self.id}.json"


@frozen(kw_only=True)
class TrainingRequests:
    """Takes requests for training, keeps what they ask for, and answers them."""

    blobs: Blobs
    jobs: Jobs
    queues: Queues
    clock: Clock
    timing: Timing

    def check(self, asked: incoming_events.TrainingRequested, *, code: bool) -> TrainingRequest:
        """Return the message that stands for a request; `code` says that its sender may decide what code runs.

        Raises:
            InvalidJobSpec, RoleMissing: where it asks for what cannot be, or not of this sender.
        """
        folder = self.jobs.check(asked.spec, code=code)
        return TrainingRequest(source=asked.source, code=code, experiment=naming.slug(folder), id=uuid4())

    def send(self, request: TrainingRequest, spec: Mapping[str, Any]) -> None:
        """Keep what a request asks for, and then put its message on the queue."""
        self._keep(request.experiment, request.id, spec)
        self._send(request)

    def settle(self, request: TrainingRequest) -> None:
        """Answer a request; put it off where something stands in its way."""
        deferral.or_later(request, self.answer, self._send, clock=self.clock, timing=self.timing)

    def answer(self, request: TrainingRequest) -> Receipt | None:
        """Submit what was asked for, and forget it; return None where that was done already."""
        spec = self._spec(request)
        if spec is None:
            logger.info("%s is gone: it was answered already, or its experiment was deleted.", request.blob)
            return None
        receipt = self.jobs.answer(spec, source=request.source, code=request.code)
        self.blobs.delete(naming.SNAPSHOTS, request.blob)
        return receipt

    def kept_apart(self, message: Mapping[str, Any], *, of: str) -> Mapping[str, Any]:
        """Return a message without the spec that an older release put into it; the spec is kept, its id in the message.

        The id is made of `of`, so that doing this twice does it once.
        """
        if message.get("kind") != "request" or "spec" not in message:
            return message
        spec = message["spec"]
        folder = spec.get("experiment_name") if isinstance(spec, Mapping) else None
        experiment = naming.slug(folder if isinstance(folder, str) else "")
        id_ = uuid5(_OF_OLDER_RELEASES, of)
        self._keep(experiment, id_, spec)
        others = {key: value for key, value in message.items() if key != "spec"}
        return {**others, "experiment": experiment, "id": str(id_)}

    def without_spec(self, text: str, *, of: str) -> str:
        """Do as `kept_apart` with the text of any message."""
        try:
            message = incoming_events.decode(text)
        except InvalidEvent:
            return text
        if not isinstance(message, dict) or (without := self.kept_apart(message, of=of)) is message:
            return text
        return json.dumps(without)

    def is_gone(self, message: Mapping[str, Any]) -> bool:
        """Return whether a message is a request, and what it asks for is not there any more."""
        try:
            request = TrainingRequest.model_validate(message) if message.get("kind") == "request" else None
        except ValueError:
            return False  # working on it tells what is wrong
        return request is not None and not self._is_there(request)

    def _spec(self, request: TrainingRequest) -> Mapping[str, Any] | None:
        try:
            data = self.blobs.read(naming.SNAPSHOTS, request.blob).data
        except BlobNotFound as error:
            if self._is_there(request):  # one odd answer does not make it answered
                raise StorageUnavailable(f"{naming.SNAPSHOTS}/{request.blob} is there, and was not found.") from error
            return None
        try:
            spec = json.loads(data)
        except ValueError:
            spec = None
        if not isinstance(spec, dict):
            raise Unreadable(f"{naming.SNAPSHOTS}/{request.blob} is no JSON object. Restore an earlier version of it.")
        return spec

    def _is_there(self, request: TrainingRequest) -> bool:
        return bool(self.blobs.page(naming.SNAPSHOTS, request.blob, size=1).items)

    def _keep(self, experiment: str, id_: UUID, spec: object) -> None:
        name = f"{naming.requests_prefix(experiment)}{id_}.json"
        self.blobs.replace(naming.SNAPSHOTS, name, json.dumps(spec).encode())

    def _send(self, request: TrainingRequest, delay: float = 0) -> None:
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"), delay=delay)
