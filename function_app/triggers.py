"""The triggers of the Functions app. Each passes its event to the service."""

import functools
import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import azure.functions as func

from function_app.domain import naming
from function_app.http.lazy import LazyApi
from function_app.settings import STORAGE

if TYPE_CHECKING:
    from function_app.operations.service import Kedja

logger = logging.getLogger(__name__)

# The worker's root logger is at INFO, a level at which azure-core writes several lines for every call to storage.
logging.getLogger("azure").setLevel(logging.WARNING)


@functools.cache
def kedja() -> "Kedja":
    """Return the service. It connects when the first trigger needs it, so that indexing stays fast."""
    from function_app.container import connect  # noqa: PLC0415 - its imports take several times as long as indexing

    return connect(os.environ)


app = func.AsgiFunctionApp(
    app=LazyApi(kedja, os.environ), http_auth_level=func.AuthLevel.ANONYMOUS, function_name="http_api"
)


@app.queue_trigger(arg_name="message", queue_name=naming.BLOB_EVENTS, connection=STORAGE)
def on_blob_event(message: func.QueueMessage) -> None:
    """Schedule a check of the experiment that a file was dropped into."""
    kedja().on_blob_event(message.get_body(), message=str(message.id), delivery=message.dequeue_count or 1)


@app.queue_trigger(arg_name="message", queue_name=naming.SETTLED_DROPS, connection=STORAGE)
def on_settled(message: func.QueueMessage) -> None:
    """Process a folder as a drop once it has not changed for the quiet period."""
    kedja().on_settled(message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=naming.RUN_EVENTS, connection=STORAGE)
def on_run_event(message: func.QueueMessage) -> None:
    """Check a job whose status changed."""
    kedja().on_run_event(message.get_body())


@app.event_grid_trigger(arg_name="event")
def receive_event(event: func.EventGridEvent) -> None:
    """Put an event from another system's subscription on the queue for its type."""
    kedja().event_ingest.ingest(
        {
            "id": event.id,
            "topic": event.topic,
            "subject": event.subject,
            "eventType": event.event_type,
            "eventTime": (event.event_time or datetime.now(UTC)).isoformat(),
            "data": event.get_json(),
            "dataVersion": event.data_version,
        }
    )


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def reconcile(timer: func.TimerRequest) -> None:
    """Recover from lost messages and interrupted work."""
    if timer.past_due:
        logger.warning("Reconciliation is late.")
    kedja().reconciler.run(id=datetime.now(UTC).isoformat())


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def walk(timer: func.TimerRequest) -> None:
    """Find dropped files for which no event arrived."""
    if timer.past_due:
        logger.warning("The walk over the experiments is late.")
    kedja().walk.run(id=datetime.now(UTC).isoformat())


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def tidy(timer: func.TimerRequest) -> None:
    """Continue deletions, and apply retention."""
    if timer.past_due:
        logger.warning("Deletions and retention are late.")
    kedja().housekeeping.run()


@app.queue_trigger(arg_name="message", queue_name=f"{naming.BLOB_EVENTS}-poison", connection=STORAGE)
def on_blob_event_poison(message: func.QueueMessage) -> None:
    """Keep a blob event that failed ten times."""
    kedja().on_poison(naming.BLOB_EVENTS, message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=f"{naming.SETTLED_DROPS}-poison", connection=STORAGE)
def on_settled_poison(message: func.QueueMessage) -> None:
    """Keep a message about a folder that failed ten times."""
    kedja().on_poison(naming.SETTLED_DROPS, message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=f"{naming.RUN_EVENTS}-poison", connection=STORAGE)
def on_run_event_poison(message: func.QueueMessage) -> None:
    """Keep a message about a job that failed ten times."""
    kedja().on_poison(naming.RUN_EVENTS, message.get_body(), message=str(message.id))
