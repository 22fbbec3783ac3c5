"""The killer of jobs: SIGKILL from outside, as where a node is taken away with all that ran on it."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter

from attrs import define, field

from function_app.errors import TrainingServiceUnavailable
from local_azure.training.job_process import is_alive
from local_azure.training.job_store import JobState, JobStore, ProcessId, StoredJob
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.schedule import seed_in

KIND = "kill the job"
_POLL = 0.1  # seconds


@define(kw_only=True)
class JobKiller:
    """Kills the processes of jobs as their experiments' schedules say."""

    store: JobStore
    board: Board
    stopping: threading.Event
    _killed: Counter[int] = field(factory=Counter, init=False)
    """Processes that were killed, by the schedule's seed."""
    _dead: set[ProcessId] = field(factory=set, init=False)

    def run(self) -> None:
        """Look for jobs whose time has come, until the machine stops."""
        while not self.stopping.wait(_POLL):
            with contextlib.suppress(TrainingServiceUnavailable):  # the store is locked: the next look
                for job in self.store.unfinished():
                    self._look(job)

    def _look(self, job: StoredJob) -> None:
        schedule = self.board.schedules.get(seed_in(job.name) or 0)
        process = job.process
        if schedule is None or process is None or job.started is None or job.state is not JobState.RUNNING:
            return
        turn = self._killed[schedule.seed]
        if turn == len(schedule.job_deaths) or process in self._dead or not is_alive(process):
            return
        age = time.time() - job.started.timestamp()
        if age >= schedule.job_deaths[turn]:
            self._killed[schedule.seed] += 1
            self._dead.add(process)
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.killpg(process.pid, signal.SIGKILL)
                self.board.note(schedule, KIND, f"{job.name} after {age:.1f} s")
