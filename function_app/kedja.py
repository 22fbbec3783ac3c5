"""Kedja, put together: every part connected to the storage, the training service and the topic that settings name."""

import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

from attrs import frozen
from azure.core.credentials import AzureKeyCredential, TokenCredential
from azure.eventgrid import EventGridPublisherClient

from function_app import events, names
from function_app.announcements import Announcement, EventGridPublisher, Publisher
from function_app.artifacts import Artifacts
from function_app.azure_storage import StorageAccount
from function_app.champion import Champions
from function_app.completion import LookRequest, Watcher
from function_app.errors import InvalidEvent, InvalidSettings, KedjaError
from function_app.intake import Intake, SettleRequest
from function_app.jobs import Jobs
from function_app.planning import Planner
from function_app.poison import PoisonCabinet
from function_app.receipt import Receipt
from function_app.receipts import Clock, Receipts, utc_now
from function_app.reconciliation import Reconciler
from function_app.registration import Registrar
from function_app.settings import STORAGE, Settings
from function_app.settling import Settler
from function_app.snapshot import Snapshots
from function_app.storage import Blobs, Queues
from function_app.submission import SubmitRequest, Submitter
from function_app.supersession import Supersession
from function_app.training_service import TrainingService

logger = logging.getLogger(__name__)


class Unannounced:
    """Publishes nowhere, where no topic is configured. Receipts say the same that the events would."""

    def publish(self, announcements: Sequence[Announcement]) -> None:
        """Take note of nothing."""


@frozen(kw_only=True)
class Kedja:
    """The service's parts."""

    settings: Settings
    blobs: Blobs
    queues: Queues
    training: TrainingService
    receipts: Receipts
    intake: Intake
    settler: Settler
    submitter: Submitter
    watcher: Watcher
    reconciler: Reconciler
    jobs: Jobs
    champions: Champions
    poison: PoisonCabinet

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        *,
        blobs: Blobs,
        queues: Queues,
        training: TrainingService,
        publisher: Publisher,
        account_url: str,
        clock: Clock = utc_now,
    ) -> Self:
        """Put the parts together over the given ports."""
        receipts = Receipts(blobs, publisher, clock)
        snapshots, champions = Snapshots(blobs), Champions(blobs)
        planner = Planner(settings=settings, training=training)
        intake = Intake(blobs=blobs, queues=queues, account_url=account_url, quiet_period=settings.quiet_period)
        submitter = Submitter(planner=planner, queues=queues, receipts=receipts, snapshots=snapshots, training=training)
        settler = Settler(
            blobs=blobs,
            intake=intake,
            planner=planner,
            receipts=receipts,
            snapshots=snapshots,
            submitter=submitter,
            supersession=Supersession(receipts=receipts, training=training),
        )
        registrar = Registrar(
            artifacts=Artifacts(blobs=blobs),
            blobs=blobs,
            champions=champions,
            receipts=receipts,
            snapshots=snapshots,
            training=training,
        )
        watcher = Watcher(
            blobs=blobs,
            queues=queues,
            receipts=receipts,
            registrar=registrar,
            submitter=submitter,
            training=training,
        )
        return cls(
            settings=settings,
            blobs=blobs,
            queues=queues,
            training=training,
            receipts=receipts,
            intake=intake,
            settler=settler,
            submitter=submitter,
            watcher=watcher,
            reconciler=Reconciler(
                blobs=blobs,
                intake=intake,
                receipts=receipts,
                submitter=submitter,
                training=training,
                watcher=watcher,
            ),
            jobs=Jobs(blobs=blobs, receipts=receipts, settler=settler, submitter=submitter),
            champions=champions,
            poison=PoisonCabinet(blobs=blobs, receipts=receipts),
        )

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Self:
        """Connect to what the environment names.

        Raises:
            InvalidSettings: where something is missing or wrong, with its name.
        """
        settings = Settings.read(environ)
        credential = None if environ.get(STORAGE) else _credential(settings)
        account = StorageAccount.connect(environ, credential, prefix=STORAGE)
        account_url = account.blobs.client.url.rstrip("/")
        return cls.assemble(
            settings,
            blobs=account.blobs,
            queues=account.queues,
            training=_training(settings, environ),
            publisher=_publisher(settings, credential, account_url),
            account_url=account_url,
        )

    def on_blob_event(self, body: bytes, *, message: str, delivery: int) -> None:
        """Work on a message of `blob-events`."""
        for number, raw in enumerate(events.each(events.decode(body))):
            event = events.parse(raw)
            if isinstance(event, events.BlobCreated):
                self.intake.receive(event, message=f"{message}/{number}", delivery=delivery)

    def on_settled(self, body: bytes, *, message: str) -> None:
        """Work on a message of `settled-drops`: a folder to look at, or an attempt to submit again."""
        values = _object(events.decode(body))
        if values.get("kind") == "submit":
            request = SubmitRequest.model_validate(values)
            self.submitter.submit(self.receipts.load(request.experiment, request.drop), tries=request.tries)
        else:
            self.settler.settle(SettleRequest.model_validate(values), message=message)

    def on_run_event(self, body: bytes) -> None:
        """Work on a message of `run-events`: the training service's event, or a request to look again."""
        for raw in events.each(events.decode(body)):
            if raw.get("kind") == "look":
                request = LookRequest.model_validate(raw)
                self.watcher.look(request.job, tries=request.tries, since=request.since)
            elif isinstance(event := events.parse(raw), events.RunChanged):
                self.watcher.look(event.job)

    def admit(self, event: Mapping[str, Any]) -> bool:
        """Put an event that came in by a door of its own on the queue that its kind belongs to.

        Return whether it is of a kind that Kedja acts on.

        Raises:
            InvalidEvent: where a known kind lacks what it must have.
        """
        parsed = events.parse(event)
        if parsed is None:
            logger.info("An event of type %s is none of Kedja's business.", events.type_of(event))
            return False
        queue = names.BLOB_EVENTS if isinstance(parsed, events.BlobCreated) else names.RUN_EVENTS
        self.queues.send(queue, events.message(parsed))
        return True

    def on_poison(self, queue: str, body: bytes, *, message: str) -> None:
        """Work on a message of a poison queue: try it once more, keep it, and note it where people look."""
        work = {
            names.BLOB_EVENTS: lambda: self.on_blob_event(body, message=message, delivery=2),
            names.SETTLED_DROPS: lambda: self.on_settled(body, message=message),
            names.RUN_EVENTS: lambda: self.on_run_event(body),
        }[queue]
        kept = self.poison.take(queue, message, body, work)
        if kept is not None:
            self.poison.draw_attention(kept, self._receipt_of(body))

    def _receipt_of(self, body: bytes) -> Receipt | None:
        """Return the receipt that a message is about, or its experiment's latest, as far as the message tells."""
        try:
            values = _object(events.decode(body))
            if values.get("kind") == "look":
                return self.jobs.find(str(values.get("job")))
            if values.get("kind") == "submit":
                return self.receipts.find(str(values.get("experiment")), str(values.get("drop")))
            if values.get("kind") == "settle":
                latest = self.receipts.latest(str(values.get("experiment")))
                return self.receipts.find(latest.experiment, latest.drop) if latest else None
            event = events.parse(values)
            return self.jobs.find(event.job) if isinstance(event, events.RunChanged) else None
        except KedjaError:
            return None


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(f"A message is a JSON object; here is {type(value).__name__}.")
    return value


def _credential(settings: Settings) -> TokenCredential:
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 - slow, and not local

    if settings.client_id:
        return ManagedIdentityCredential(client_id=settings.client_id)
    return DefaultAzureCredential()


def _training(settings: Settings, environ: Mapping[str, str]) -> TrainingService:
    try:
        connect = cast(
            "Callable[[Mapping[str, str]], TrainingService]", pkgutil.resolve_name(settings.training_service)
        )
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidSettings(
            f"KEDJA_TRAINING_SERVICE is {settings.training_service!r}, which names no function: {error}."
        ) from error
    return connect(environ)


def _publisher(settings: Settings, credential: TokenCredential | None, account_url: str) -> Publisher:
    if settings.event_grid_endpoint is None:
        return Unannounced()
    key = AzureKeyCredential(settings.event_grid_key) if settings.event_grid_key else None
    return EventGridPublisher(
        EventGridPublisherClient(settings.event_grid_endpoint, key or credential or _credential(settings)), account_url
    )
