"""Publishes each job's state after it has been written, and so at least once, whatever is killed in between."""

import logging
import threading
import time

from attrs import define, field

from function_app.errors import TrainingServiceUnavailable
from local_azure.training.job_store import JobState, JobStore
from local_azure.training.run_events import RunEvents, RunEventsError

_ATTEMPTS = 6
_FIRST_PAUSE = 0.5  # seconds; doubled after each failure
_POLL = 0.2  # seconds

_log = logging.getLogger(__name__)


@define
class Announcer:
    """Tells `events` of every change in the store.

    An event is given up after six attempts: Kedja's reconcile looks at the jobs too.
    """

    store: JobStore
    events: RunEvents
    _failures: dict[tuple[str, JobState], tuple[int, float]] = field(factory=dict, init=False)

    def run(self, stopping: threading.Event) -> None:
        """Publish until `stopping` is set, and once more then."""
        is_last = False
        while not is_last:
            is_last = stopping.wait(_POLL)
            try:
                self.publish()
            except TrainingServiceUnavailable as error:
                _log.warning("%s", error)

    def publish(self) -> None:
        """Publish what is due now."""
        for job in self.store.unannounced():
            failures, due = self._failures.get((job.name, job.state), (0, 0.0))
            if time.monotonic() < due:
                continue
            try:
                self.events.publish(job, job.state)
            except RunEventsError as error:
                failures += 1
                pause = _FIRST_PAUSE * 2**failures
                self._failures[job.name, job.state] = (failures, time.monotonic() + pause)
                _log.warning("job %s is %s, attempt %d of %d: %s", job.name, job.state, failures, _ATTEMPTS, error)
                if failures < _ATTEMPTS:
                    continue
            self._failures.pop((job.name, job.state), None)
            self.store.set_announced(job.name, job.state)
