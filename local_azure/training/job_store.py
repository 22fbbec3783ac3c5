"""The jobs of the local training service: one sqlite file that the functions host and the runner share.

The functions host only adds jobs and asks for cancellation; the runner moves them on. Each change is one statement, so
that a process killed anywhere leaves either the old state or the new one.
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
from function_app.training_service import RECEIPT_TAG

DATABASE = "jobs.db"
"""The store's file in the training service's folder."""

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
    """Where a job is, in Azure ML's own words."""

    QUEUED = "Queued"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
ON_A_NODE = frozenset({JobState.PREPARING, JobState.RUNNING, JobState.FINALIZING})
"""The states in which a job takes one of the runner's places."""

_FINAL_SQL = "('Completed', 'Failed', 'Canceled')"


@frozen(kw_only=True)
class ProcessId:
    """A process, told apart from a later one with the same number. `created` is in seconds since 1970."""

    pid: int
    created: float


@frozen(kw_only=True)
class RunRecord:
    """A job's MLflow run. `artifacts` is the prefix of its artifacts in their container, without a closing slash."""

    run_id: str
    experiment_id: str
    artifacts: str


@frozen(kw_only=True)
class Runner:
    """The process that runs jobs, as it entered itself at its start."""

    process: ProcessId
    concurrency: int


@frozen(kw_only=True)
class StoredJob:
    """A job as the store knows it.

    `outcome` is how the job will end once its outputs are uploaded; `announced` the last state that was published.
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
    announced: JobState | None

    @property
    def tags(self) -> Mapping[str, str]:
        return {str(key): str(value) for key, value in (self.document.get("tags") or {}).items()}

    @property
    def experiment(self) -> str:
        """The experiment's name; `Default` where the document names none, as in Azure ML."""
        return str(self.document.get("experiment_name") or "Default")


class JobStore:
    """The jobs in one sqlite file, which is created with its folder where it is absent.

    Every method may raise TrainingServiceUnavailable (file locked for half a minute, disk full). Safe to share between
    threads and processes: each call has a connection of its own, which costs about 0.1 ms.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def submit(self, name: str, document: Mapping[str, Any]) -> StoredJob:
        """Add a job, or return the equal one that is there. Raise JobConflict where the one of this name differs."""
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
        """Raise JobNotFound where there is none."""
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

    def unannounced(self) -> Sequence[StoredJob]:
        """Return the jobs whose state has changed since it was last published, oldest first."""
        return self._select("WHERE state <> 'Queued' AND state IS NOT announced ORDER BY number")

    def request_cancel(self, name: str) -> None:
        """Ask the runner to end the job; a job that has ended stays as it is. Raise JobNotFound."""
        self.get(name)
        self._change(f"SET cancel_requested = 1 WHERE name = ? AND state NOT IN {_FINAL_SQL}", name)

    def claim(self) -> StoredJob | None:
        """Take the oldest queued job that nobody canceled, and return it as `Preparing`."""
        statement = (
            "UPDATE jobs SET state = 'Preparing' WHERE number = "
            "(SELECT number FROM jobs WHERE state = 'Queued' AND NOT cancel_requested ORDER BY number LIMIT 1) "
            "RETURNING *"
        )
        with self._connection() as connection:
            row = connection.execute(statement).fetchone()
        return _job(row) if row else None

    def requeue(self, name: str) -> bool:
        """Put a job that was interrupted back into the queue, to start anew."""
        return self._change(
            f"SET state = 'Queued', pid = NULL, pid_created = NULL, started = NULL, announced = NULL "
            f"WHERE name = ? AND state NOT IN {_FINAL_SQL}",
            name,
        )

    def set_run(self, name: str, run: RunRecord) -> StoredJob:
        """Enter the job's MLflow run if it has none, and return the job: the first caller's run stays."""
        self._change(
            "SET run_id = ?, experiment_id = ?, artifacts = ? WHERE name = ? AND run_id IS NULL",
            run.run_id,
            run.experiment_id,
            run.artifacts,
            name,
        )
        return self.get(name)

    def set_running(self, name: str, process: ProcessId) -> bool:
        """Enter the process that runs the job."""
        return self._change(
            "SET state = 'Running', pid = ?, pid_created = ?, started = ? WHERE name = ? AND state = 'Preparing'",
            process.pid,
            process.created,
            time.time(),
            name,
        )

    def set_finalizing(self, name: str, outcome: JobState, error: str | None) -> bool:
        """Say that the job's process has ended, and how the job will end once its outputs are uploaded."""
        return self._change(
            "SET state = 'Finalizing', outcome = ?, error = ? WHERE name = ? AND state = 'Running'",
            outcome,
            error,
            name,
        )

    def end(self, name: str, state: JobState, error: str | None = None) -> bool:
        """Write the job's end. Return False, and change nothing, where it has ended before."""
        return self._change(
            f"SET state = ?, error = ?, ended = ? WHERE name = ? AND state NOT IN {_FINAL_SQL}",
            state,
            error,
            time.time(),
            name,
        )

    def set_announced(self, name: str, state: JobState) -> None:
        """Note that this state of the job was published."""
        self._change("SET announced = ? WHERE name = ?", state, name)

    def set_runner(self, runner: Runner) -> None:
        """Enter the process that runs jobs, in place of an earlier one."""
        with self._connection() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO runner VALUES (1, ?, ?, ?)",
                (runner.process.pid, runner.process.created, runner.concurrency),
            )

    def runner(self) -> Runner | None:
        """Return the runner that was started last, alive or not."""
        with self._connection() as connection:
            row = connection.execute("SELECT * FROM runner").fetchone()
        if row is None:
            return None
        process = ProcessId(pid=row["pid"], created=row["pid_created"])
        return Runner(process=process, concurrency=row["concurrency"])

    def _select(self, condition: str, *values: object) -> Sequence[StoredJob]:
        with self._connection() as connection:
            rows = connection.execute(f"SELECT * FROM jobs {condition}", values).fetchall()  # noqa: S608  ours
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
        announced=_state(row["announced"]),
    )


def _state(text: str | None) -> JobState | None:
    return None if text is None else JobState(text)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
