"""Training requests, which other systems send as events.

A job spec may contain secrets, in its `environment_variables`. It is stored with the snapshots until the request is
answered; messages, and so queues and poison, contain only its id. The spec is removed from messages of older releases.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4, uuid5

from attrs import frozen

from function_app.domain import incoming_events, naming
from function_app.domain.messages import TrainingRequestMessage
from function_app.domain.receipt import Receipt
from function_app.drops import deferral
from function_app.errors import InvalidEvent, Unreadable
from function_app.operations.job_commands import JobCommands
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Queues, get_if_there, read_if_there
from function_app.timing import Timing

logger = logging.getLogger(__name__)

_OF_OLDER_RELEASES = UUID("5f3c8d8a-6f0e-4d55-9d43-2f8f6c1f6b0e")
"""Namespace of the ids of specs that messages of older releases contain."""


@frozen(kw_only=True)
class TrainingRequests:
    """Accepts training requests, stores their job specs, and answers them."""

    blobs: Blobs
    job_commands: JobCommands
    queues: Queues
    clock: Clock
    timing: Timing

    def check(self, asked: incoming_events.TrainingRequested, *, code: bool) -> TrainingRequestMessage:
        """Validate a request; return its message. `code`: the sender may decide what code runs.

        Raises:
            InvalidJobSpec: the job spec is invalid.
            RoleMissing: the sender may not set a key.
        """
        folder = self.job_commands.validate(asked.spec, code=code)
        return TrainingRequestMessage(source=asked.source, code=code, experiment=naming.slug(folder), id=uuid4())

    def send(self, request: TrainingRequestMessage, spec: Mapping[str, Any]) -> None:
        """Store the job spec of a request, then put its message on the queue."""
        self._keep(request.experiment, request.id, spec)
        self._send(request)

    def settle(self, request: TrainingRequestMessage) -> None:
        """Answer a request, or defer it if a transient error prevents that."""
        deferral.run_or_defer(request, self.answer, self._send, clock=self.clock, timing=self.timing)

    def answer(self, request: TrainingRequestMessage) -> Receipt | None:
        """Submit the requested job and delete its stored spec; return None if that was already done.

        Raises:
            Unreadable: the spec is not a JSON object.
        """
        spec = self._spec(request)
        if spec is None:
            logger.info(
                "%s no longer exists: the request was already answered, or its experiment was deleted.", request.blob
            )
            return None
        receipt = self.job_commands.submit_requested(spec, source=request.source, code=request.code)
        self.blobs.delete(naming.SNAPSHOTS, request.blob)
        return receipt

    def kept_apart(self, message: Mapping[str, Any], *, of: str) -> Mapping[str, Any]:
        """Return a message of an older release with the id of its spec in place of the spec, which is stored.

        The id is derived from `of`, so that repeating this has no further effect.
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
        """Do the same as `kept_apart` for the text of any message."""
        try:
            message = incoming_events.decode(text)
        except InvalidEvent:
            return text
        if not isinstance(message, dict) or (without := self.kept_apart(message, of=of)) is message:
            return text
        return json.dumps(without)

    def is_gone(self, message: Mapping[str, Any]) -> bool:
        """Return whether a message is a request whose job spec no longer exists."""
        try:
            request = TrainingRequestMessage.model_validate(message) if message.get("kind") == "request" else None
        except ValueError:
            return False  # processing it reports what is wrong
        return request is not None and get_if_there(self.blobs, naming.SNAPSHOTS, request.blob) is None

    def _spec(self, request: TrainingRequestMessage) -> Mapping[str, Any] | None:
        blob = read_if_there(self.blobs, naming.SNAPSHOTS, request.blob)
        if blob is None:
            return None
        try:
            spec = json.loads(blob.data)
        except ValueError:
            spec = None
        if not isinstance(spec, dict):
            raise Unreadable(
                f"{naming.SNAPSHOTS}/{request.blob} is not a JSON object. Restore an earlier version of it."
            )
        return spec

    def _keep(self, experiment: str, id_: UUID, spec: object) -> None:
        name = f"{naming.requests_prefix(experiment)}{id_}.json"
        self.blobs.replace(naming.SNAPSHOTS, name, json.dumps(spec).encode())

    def _send(self, request: TrainingRequestMessage, delay: float = 0) -> None:
        self.queues.send(naming.SETTLED_DROPS, request.model_dump(mode="json"), delay=delay)
