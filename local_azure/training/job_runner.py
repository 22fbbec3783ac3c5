"""The process that runs jobs on this machine: `python -m local_azure.training.job_runner --help`.

On SIGTERM or SIGINT it stops: running jobs get SIGTERM and return to the queue, and restart with the next runner. After
a SIGKILL its jobs continue, and the next runner resumes them.
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
from local_azure.credentials import TOPIC_KEY
from local_azure.errors import LocalAzureError
from local_azure.training.job_files import blob_service
from local_azure.training.job_folder import JOBS
from local_azure.training.job_run import JobRun, RunnerContext
from local_azure.training.job_store import DATABASE, JobState, JobStore, ProcessId, Runner, StoredJob
from local_azure.training.mlflow_client import MlflowClient
from local_azure.training.run_event_publisher import RunEventPublisher
from local_azure.training.run_events import RunEvents

PACKAGES = "packages"
"""Name of the folder with the packages that jobs have installed, in the training service's folder."""

_ROOT = Path(__file__).parents[2]
_POLL = 0.2  # seconds

_log = logging.getLogger(__name__)


class RunnerError(LocalAzureError):
    """The runner cannot start."""


@define
class JobRunner:
    """Runs jobs from the store, oldest first, up to `concurrency` of them at once."""

    context: RunnerContext
    concurrency: int
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def run(self) -> None:
        """Run jobs until `context.stopping` is set, then wait until each has ended or is back in the queue.

        Raises:
            TrainingServiceUnavailable: the job store cannot be used at the start.
        """
        store = self.context.store
        process = ProcessId(pid=os.getpid(), created=psutil.Process().create_time())
        store.set_runner(Runner(process=process, concurrency=self.concurrency))
        self._recover()
        while not self.context.stopping.is_set():
            try:
                self._cancel_queued()
                self._start_queued_jobs()
            except TrainingServiceUnavailable as error:
                _log.warning("%s", error)
            self.context.stopping.wait(_POLL)
        for thread in self._threads:
            thread.join()

    def _start_queued_jobs(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        while len(self._threads) < self.concurrency and (job := self.context.store.claim()) is not None:
            self._start_thread(job, JobRun.run)

    def _recover(self) -> None:
        """Continue with the jobs of a runner that was killed."""
        for job in self.context.store.unfinished():
            if job.state is JobState.PREPARING:
                self.context.store.requeue(job.name)
            elif job.state in (JobState.RUNNING, JobState.FINALIZING):
                self._start_thread(job, JobRun.resume)

    def _cancel_queued(self) -> None:
        for job in self.context.store.unfinished():
            if job.state is JobState.QUEUED and job.cancel_requested:
                JobRun(self.context, job).cancel_queued()

    def _start_thread(self, job: StoredJob, what: Callable[[JobRun], None]) -> None:
        thread = threading.Thread(target=self._run_safely, args=(JobRun(self.context, job), what), name=job.name)
        thread.start()
        self._threads.append(thread)

    def _run_safely(self, run: JobRun, what: Callable[[JobRun], None]) -> None:
        try:
            what(run)
        except Exception as error:  # noqa: BLE001 - an error of the runner ends this job only
            _log.exception("job %s", run.job.name)
            run.fail(f"the runner failed: {error!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run jobs until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("azure", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    state = options.state.absolute()
    state.mkdir(parents=True, exist_ok=True)
    try:
        with _exclusive(state):
            _serve(options, state)
    except RunnerError as error:
        _log.error("%s", error)
        return 1
    return 0


def _serve(options: argparse.Namespace, state: Path) -> None:
    context = RunnerContext(
        store=JobStore(state / DATABASE),
        mlflow=MlflowClient(options.mlflow),
        blobs=blob_service(options.blob),
        jobs=_unquoted_path(state) / JOBS,
        code=options.code.absolute(),
        python=options.python.absolute(),
        packages=state / PACKAGES,
        uv=options.uv.absolute(),
        grace=options.grace,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.stopping.set())
    # A separate event: jobs that end while the runner stops are published too.
    publishing_ends = threading.Event()
    publisher = threading.Thread(target=_publish_events(options, context.store), args=(publishing_ends,))
    publisher.start()
    _log.info("running up to %d jobs of %s", options.concurrency, state)
    try:
        JobRunner(context, options.concurrency).run()
    finally:
        publishing_ends.set()
        publisher.join()
        context.mlflow.close()
        context.blobs.close()


def _publish_events(options: argparse.Namespace, store: JobStore) -> Callable[[threading.Event], None]:
    if options.event_grid is None:
        return lambda _: None
    return RunEventPublisher(store, RunEvents(options.event_grid, options.event_grid_key)).run


@contextmanager
def _exclusive(state: Path) -> Iterator[IO[str]]:
    """Lock the folder against a second runner; the system releases the lock when this process ends.

    Raises:
        RunnerError: another runner holds the lock.
    """
    with (state / "runner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunnerError(f"Another training runner uses {state}. Stop it first.") from error
        yield lock


def _unquoted_path(folder: Path) -> Path:
    """Return a path to the folder that a shell reads as one word without quotes.

    Commands may contain unquoted paths, as on Azure ML, where no path has a space.
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
    parser.add_argument("--mlflow", required=True, help="URL of the MLflow server")
    parser.add_argument("--event-grid", help="URL of the local Event Grid (default: publish no events)")
    parser.add_argument("--event-grid-key", default=TOPIC_KEY, help="access key of the topic `workspace`")
    parser.add_argument("--python", type=Path, required=True, help="the Python that jobs run as `python`")
    uv = _ROOT / ".venv-tools" / "bin" / "uv"
    parser.add_argument("--uv", type=Path, default=uv, help="the program that installs a job's packages")
    code = _ROOT / "training_job"
    parser.add_argument("--code", type=Path, default=code, help="the package that jobs can import")
    parser.add_argument("--concurrency", type=int, default=1, help="jobs at once (default: 1)")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds between SIGTERM and SIGKILL (default: 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
