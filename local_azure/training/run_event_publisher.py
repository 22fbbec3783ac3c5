"""Publishes changes of jobs' states from the store: at least once, even if the process is killed."""

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
class RunEventPublisher:
    """Publishes every change of a job's state to `events`.

    After six failed attempts an event is given up: Kedja's reconcile checks the jobs too.
    """

    store: JobStore
    events: RunEvents
    _failures: dict[tuple[str, JobState], tuple[int, float]] = field(factory=dict, init=False)

    def run(self, stopping: threading.Event) -> None:
        """Publish until `stopping` is set, and then a last time."""
        is_last = False
        while not is_last:
            is_last = stopping.wait(_POLL)
            try:
                self.publish()
            except TrainingServiceUnavailable as error:
                _log.warning("%s", error)

    def publish(self) -> None:
        """Publish the changes that are due now.

        Raises:
            TrainingServiceUnavailable: the job store cannot be used.
        """
        for job in self.store.unpublished():
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
            self.store.mark_published(job.name, job.state)
