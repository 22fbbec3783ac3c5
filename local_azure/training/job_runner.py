"""The process that runs jobs on this machine: `python -m local_azure.training.job_runner --help`.

SIGTERM and SIGINT end it: jobs that run get SIGTERM and go back to the queue, to start anew at the next start. After a
SIGKILL its jobs run on, and the next runner takes them over.
"""

import argparse
import fcntl
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
from attrs import define, field

from function_app.errors import TrainingServiceUnavailable
from local_azure.errors import LocalAzureError
from local_azure.event_grid.access_key import LOCAL_KEY
from local_azure.training.job_files import blob_service
from local_azure.training.job_folder import JOBS
from local_azure.training.job_run import JobRun, Workshop
from local_azure.training.job_store import DATABASE, JobState, JobStore, ProcessId, Runner, StoredJob
from local_azure.training.mlflow_client import MlflowClient
from local_azure.training.run_event_publisher import Announcer
from local_azure.training.run_events import RunEvents

_POLL = 0.2  # seconds

_log = logging.getLogger(__name__)


class RunnerError(LocalAzureError):
    """The runner cannot start."""


@define
class TrainingRunner:
    """Takes jobs from the store, the oldest first, and runs up to `concurrency` of them at once."""

    workshop: Workshop
    concurrency: int
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def run(self) -> None:
        """Run jobs until the workshop is stopping, then until each of them has ended or is back in the queue."""
        store = self.workshop.store
        process = ProcessId(pid=os.getpid(), created=psutil.Process().create_time())
        store.set_runner(Runner(process=process, concurrency=self.concurrency))
        self._recover()
        while not self.workshop.stopping.is_set():
            try:
                self._cancel_queued()
                self._take()
            except TrainingServiceUnavailable as error:
                _log.warning("%s", error)
            self.workshop.stopping.wait(_POLL)
        for thread in self._threads:
            thread.join()

    def _take(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        while len(self._threads) < self.concurrency and (job := self.workshop.store.claim()) is not None:
            self._begin(job, JobRun.run)

    def _recover(self) -> None:
        """Go on where an earlier runner was killed."""
        for job in self.workshop.store.unfinished():
            if job.state is JobState.PREPARING:
                self.workshop.store.requeue(job.name)
            elif job.state in (JobState.RUNNING, JobState.FINALIZING):
                self._begin(job, JobRun.resume)

    def _cancel_queued(self) -> None:
        for job in self.workshop.store.unfinished():
            if job.state is JobState.QUEUED and job.cancel_requested:
                JobRun(self.workshop, job).cancel_queued()

    def _begin(self, job: StoredJob, what: Callable[[JobRun], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(JobRun(self.workshop, job), what), name=job.name)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, run: JobRun, what: Callable[[JobRun], None]) -> None:
        try:
            what(run)
        except Exception as error:  # noqa: BLE001  the thread's edge: a fault of ours ends one job, not the others
            _log.exception("job %s", run.job.name)
            run.fail(f"the runner failed: {error!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("azure", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    state = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    try:
        with _only_one(state):
            _serve(options, state)
    except RunnerError as error:
        _log.error("%s", error)
        return 1
    return 0


def _serve(options: argparse.Namespace, state: Path) -> None:
    workshop = Workshop(
        store=JobStore(state / DATABASE),
        mlflow=MlflowClient(options.mlflow),
        blobs=blob_service(options.blob),
        jobs=_one_word(state) / JOBS,
        code=options.code.absolute(),
        python=options.python.absolute(),
        grace=options.grace,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: workshop.stopping.set())
    # Its own event: the ends that jobs come to while the runner stops are published too.
    no_more_ends = threading.Event()
    announcer = threading.Thread(target=_announcements(options, workshop.store), args=(no_more_ends,))
    announcer.start()
    _log.info("runs up to %d jobs of %s", options.concurrency, state)
    try:
        TrainingRunner(workshop, options.concurrency).run()
    finally:
        no_more_ends.set()
        announcer.join()
        workshop.mlflow.close()
        workshop.blobs.close()


def _announcements(options: argparse.Namespace, store: JobStore) -> Callable[[threading.Event], None]:
    if options.event_grid is None:
        return lambda _: None
    return Announcer(store, RunEvents(options.event_grid, options.event_grid_key)).run


@contextmanager
def _only_one(state: Path) -> Iterator[IO[str]]:
    """Hold the folder against a second runner; the system lets go of it when this process ends, however it ends."""
    with (state / "runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunnerError(f"Another training runner works in {state}. Stop it first.") from error
        yield lock


def _one_word(folder: Path) -> Path:
    """Return a path to the folder that a shell takes as one word, however it is quoted.

    Commands hold paths unquoted, as they may on Azure ML, where no path has a space.
    """
    if shlex.quote(str(folder)) == str(folder):
        return folder
    link = Path(tempfile.mkdtemp(prefix="kedja-")) / "training"
    link.symlink_to(folder)
    return link


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_azure.training.job_runner", description="Runs Kedja's jobs here.")
    parser.add_argument("--state", type=Path, required=True, help="folder of the jobs, such as .kedja/training")
    parser.add_argument("--blob", required=True, help="connection string of the storage account")
    parser.add_argument("--mlflow", required=True, help="address of the MLflow server")
    parser.add_argument("--event-grid", help="address of the local Event Grid; no events without it")
    parser.add_argument("--event-grid-key", default=LOCAL_KEY, help="access key of its topic `workspace`")
    parser.add_argument("--python", type=Path, required=True, help="the Python that jobs find as `python`")
    code = Path(__file__).parents[2] / "training_job"
    parser.add_argument("--code", type=Path, default=code, help="the package that jobs can import")
    parser.add_argument("--concurrency", type=int, default=1, help="jobs at once (default: 1)")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds between SIGTERM and SIGKILL (default: 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
