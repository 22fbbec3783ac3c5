"""The jobs of the local training service, in an SQLite file that the functions host and the runner share.

The functions host only adds jobs and requests cancellation; the runner changes their state. Each change is one
statement, so that a killed process leaves either the old state or the new one.
"""

import enum
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from function_app.errors import JobConflict, JobNotFound, TrainingServiceUnavailable
from function_app.ports.training_service import RECEIPT_TAG

DATABASE = "jobs.db"
"""Name of the store's file in the training service's folder."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    state TEXT NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    run_id TEXT, experiment_id TEXT, artifacts TEXT,
    pid INTEGER, pid_created REAL,
    created REAL NOT NULL, started REAL, ended REAL,
    outcome TEXT, error TEXT,
    announced TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE TABLE IF NOT EXISTS runner (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    pid INTEGER NOT NULL, pid_created REAL NOT NULL, concurrency INTEGER NOT NULL
) STRICT;
"""


class JobState(enum.StrEnum):
    """The state of a job, by Azure ML's names."""

    QUEUED = "Queued"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in FINAL


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
ON_A_NODE = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.FINALIZING})
"""The states in which a job counts towards the runner's concurrency."""

_FINAL_SQL = "('Completed', 'Failed', 'Canceled')"


@frozen(kw_only=True)
class ProcessId:
    """A process. `created`, in seconds since 1970, distinguishes it from a later one with the same id."""

    pid: int
    created: float


@frozen(kw_only=True)
class RunRecord:
    """A job's MLflow run. `artifacts` is the prefix of its artifacts in their container, without a trailing slash."""

    run_id: str
    experiment_id: str
    artifacts: str


@frozen(kw_only=True)
class Runner:
    """The process that runs jobs, as registered at its start."""

    process: ProcessId
    concurrency: int


@frozen(kw_only=True)
class StoredJob:
    """A job in the store.

    `outcome` is the final state that the job gets once its outputs are uploaded; `published_state` is the last state
    that was published.
    """

    number: int
    name: str
    document: Mapping[str, Any]
    state: JobState
    cancel_requested: bool
    created: datetime
    started: datetime | None
    ended: datetime | None
    run: RunRecord | None
    process: ProcessId | None
    outcome: JobState | None
    error: str | None
    published_state: JobState | None

    @property
    def tags(self) -> Mapping[str, str]:
        """The job's tags, as text."""
        return {str(key): str(value) for key, value in (self.document.get("tags") or {}).items()}

    @property
    def experiment(self) -> str:
        """The experiment's name; `Default` if the document has none, as in Azure ML."""
        return str(self.document.get("experiment_name") or "Default")


class JobStore:
    """The jobs, in an SQLite file that is created if it is missing.

    Safe to share between threads and processes: each call opens its own connection, which takes about 0.1 ms.

    Raises:
        TrainingServiceUnavailable: from every method, if the file is locked for half a minute or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def submit(self, name: str, document: Mapping[str, Any]) -> StoredJob:
        """Add a job, or return the existing one if it is equal.

        Raises:
            JobConflict: a job of this name has a different document.
        """
        text = _canonical(document)
        with self._connection() as connection:
            connection.execute(
                "INSERT INTO jobs (name, document, state, created) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                (name, text, JobState.QUEUED, time.time()),
            )
            row = connection.execute("SELECT * FROM jobs WHERE name = ?", (name,)).fetchone()
        if row["document"] != text:
            raise JobConflict(f"A job {name!r} exists and its document differs. Use another name.")
        return _job(row)

    def get(self, name: str) -> StoredJob:
        """Return the job.

        Raises:
            JobNotFound: there is no such job.
        """
        rows = self._select("WHERE name = ?", name)
        if not rows:
            raise JobNotFound(f"There is no job {name!r} in {self.path}.")
        return rows[0]

    def newest(self) -> Sequence[StoredJob]:
        """Return Kedja's jobs (those with a receipt's tag), newest first."""
        path = f'$.tags."{RECEIPT_TAG}"'
        return self._select("WHERE json_extract(document, ?) IS NOT NULL ORDER BY number DESC", path)

    def unfinished(self) -> Sequence[StoredJob]:
        """Return every job that has not ended, oldest first."""
        return self._select(f"WHERE state NOT IN {_FINAL_SQL} ORDER BY number")

    def unpublished(self) -> Sequence[StoredJob]:
        """Return the jobs whose state has changed since it was last published, oldest first."""
        return self._select("WHERE state <> 'Queued' AND state IS NOT announced ORDER BY number")

    def request_cancel(self, name: str) -> None:
        """Ask the runner to end the job; nothing changes if it has ended.

        Raises:
            JobNotFound: there is no such job.
        """
        self.get(name)
        self._change(f"SET cancel_requested = 1 WHERE name = ? AND state NOT IN {_FINAL_SQL}", name)

    def claim(self) -> StoredJob | None:
        """Change the oldest queued job without a cancellation to `Preparing`, and return it, if there is one."""
        statement = (
            "UPDATE jobs SET state = 'Preparing' WHERE number = "
            "(SELECT number FROM jobs WHERE state = 'Queued' AND NOT cancel_requested ORDER BY number LIMIT 1) "
            "RETURNING *"
        )
        with self._connection() as connection:
            row = connection.execute(statement).fetchone()
        return _job(row) if row else None

    def requeue(self, name: str) -> bool:
        """Put an interrupted job back into the queue, to restart. Return False if it has ended."""
        return self._change(
            f"SET state = 'Queued', pid = NULL, pid_created = NULL, started = NULL, announced = NULL "
            f"WHERE name = ? AND state NOT IN {_FINAL_SQL}",
            name,
        )

    def set_run(self, name: str, run: RunRecord) -> StoredJob:
        """Store the job's MLflow run unless it has one, and return the job: the first caller's run is kept."""
        self._change(
            "SET run_id = ?, experiment_id = ?, artifacts = ? WHERE name = ? AND run_id IS NULL",
            *(run.run_id, run.experiment_id, run.artifacts, name),
        )
        return self.get(name)

    def set_running(self, name: str, process: ProcessId) -> bool:
        """Store the process that runs the job. Return False if the job is not in `Preparing`."""
        return self._change(
            "SET state = 'Running', pid = ?, pid_created = ?, started = ? WHERE name = ? AND state = 'Preparing'",
            *(process.pid, process.created, time.time(), name),
        )

    def set_finalizing(self, name: str, outcome: JobState, error: str | None) -> bool:
        """Store that the process has ended, and the job's outcome. Return False if the job is not `Running`."""
        return self._change(
            "SET state = 'Finalizing', outcome = ?, error = ? WHERE name = ? AND state = 'Running'",
            outcome,
            error,
            name,
        )

    def end(self, name: str, state: JobState, error: str | None = None) -> bool:
        """Store the job's final state. Return False, and change nothing, if it has already ended."""
        return self._change(
            f"SET state = ?, error = ?, ended = ? WHERE name = ? AND state NOT IN {_FINAL_SQL}",
            state,
            error,
            time.time(),
            name,
        )

    def mark_published(self, name: str, state: JobState) -> None:
        """Store that this state of the job was published."""
        self._change("SET announced = ? WHERE name = ?", state, name)

    def set_runner(self, runner: Runner) -> None:
        """Store the process that runs jobs, in place of an earlier one."""
        with self._connection() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO runner VALUES (1, ?, ?, ?)",
                (runner.process.pid, runner.process.created, runner.concurrency),
            )

    def runner(self) -> Runner | None:
        """Return the runner that was started last, which may have ended; None if there was none."""
        with self._connection() as connection:
            row = connection.execute("SELECT * FROM runner").fetchone()
        if row is None:
            return None
        process = ProcessId(pid=row["pid"], created=row["pid_created"])
        return Runner(process=process, concurrency=row["concurrency"])

    def _select(self, condition: str, *values: object) -> Sequence[StoredJob]:
        with self._connection() as connection:
            rows = connection.execute(f"SELECT * FROM jobs {condition}", values).fetchall()  # noqa: S608 - constants of this module
        return [_job(row) for row in rows]

    def _change(self, change: str, *values: object) -> bool:
        with self._connection() as connection:
            return connection.execute(f"UPDATE jobs {change}", values).rowcount == 1

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            try:
                connection.row_factory = sqlite3.Row
                yield connection
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise TrainingServiceUnavailable(f"The job store {self.path} cannot be used now: {error}.") from error


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _job(row: sqlite3.Row) -> StoredJob:
    run = RunRecord(run_id=row["run_id"], experiment_id=row["experiment_id"], artifacts=row["artifacts"] or "")
    return StoredJob(
        number=row["number"],
        name=row["name"],
        document=json.loads(row["document"]),
        state=JobState(row["state"]),
        cancel_requested=bool(row["cancel_requested"]),
        created=datetime.fromtimestamp(row["created"], UTC),
        started=_time(row["started"]),
        ended=_time(row["ended"]),
        run=run if row["run_id"] else None,
        process=ProcessId(pid=row["pid"], created=row["pid_created"]) if row["pid"] else None,
        outcome=_state(row["outcome"]),
        error=row["error"],
        published_state=_state(row["announced"]),
    )


def _state(text: str | None) -> JobState | None:
    return None if text is None else JobState(text)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
