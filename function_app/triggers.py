"""The triggers: each a few lines over the core."""

import functools
import logging
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import azure.functions as func

from function_app.domain import naming
from function_app.http.lazy import HttpDoor
from function_app.settings import STORAGE

if TYPE_CHECKING:
    from function_app.operations.service import Kedja

logger = logging.getLogger(__name__)

# The worker's root logger is at INFO, where azure-core writes several lines for every call to storage.
logging.getLogger("azure").setLevel(logging.WARNING)


@functools.cache
def kedja() -> "Kedja":
    """Return the service, connected once, when the first trigger needs it: indexing stays fast."""
    from function_app.container import connect  # noqa: PLC0415 - its libraries take several times as long as indexing

    return connect(os.environ)


app = func.AsgiFunctionApp(
    app=HttpDoor(kedja, os.environ), http_auth_level=func.AuthLevel.ANONYMOUS, function_name="http_api"
)


@app.queue_trigger(arg_name="message", queue_name=naming.BLOB_EVENTS, connection=STORAGE)
def on_blob_event(message: func.QueueMessage) -> None:
    """A file was dropped: schedule a look at its experiment."""
    kedja().on_blob_event(message.get_body(), message=str(message.id), delivery=message.dequeue_count or 1)


@app.queue_trigger(arg_name="message", queue_name=naming.SETTLED_DROPS, connection=STORAGE)
def on_settled(message: func.QueueMessage) -> None:
    """A folder has been quiet: take it as a drop."""
    kedja().on_settled(message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=naming.RUN_EVENTS, connection=STORAGE)
def on_run_event(message: func.QueueMessage) -> None:
    """A job changed: look at it."""
    kedja().on_run_event(message.get_body())


@app.event_grid_trigger(arg_name="event")
def receive_event(event: func.EventGridEvent) -> None:
    """Another system's subscription brought an event: put it on the queue that its kind belongs to."""
    kedja().entrance.admit(
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
    """Find what was lost on the way."""
    if timer.past_due:
        logger.warning("Reconciliation is late.")
    kedja().reconciler.run(id=datetime.now(UTC).isoformat())


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def walk(timer: func.TimerRequest) -> None:
    """Look for files that no event told of."""
    if timer.past_due:
        logger.warning("The walk over the experiments is late.")
    kedja().walk.run(id=datetime.now(UTC).isoformat())


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def tidy(timer: func.TimerRequest) -> None:
    """Go on with deletions, and let go of what was kept for long enough."""
    if timer.past_due:
        logger.warning("Deletions and retention are late.")
    kedja().housekeeping.run()


@app.queue_trigger(arg_name="message", queue_name=f"{naming.BLOB_EVENTS}-poison", connection=STORAGE)
def on_blob_event_poison(message: func.QueueMessage) -> None:
    """An event failed ten times: keep it."""
    kedja().on_poison(naming.BLOB_EVENTS, message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=f"{naming.SETTLED_DROPS}-poison", connection=STORAGE)
def on_settled_poison(message: func.QueueMessage) -> None:
    """A look at a folder failed ten times: keep it."""
    kedja().on_poison(naming.SETTLED_DROPS, message.get_body(), message=str(message.id))


@app.queue_trigger(arg_name="message", queue_name=f"{naming.RUN_EVENTS}-poison", connection=STORAGE)
def on_run_event_poison(message: func.QueueMessage) -> None:
    """A look at a job failed ten times: keep it."""
    kedja().on_poison(naming.RUN_EVENTS, message.get_body(), message=str(message.id))
