"""Reads the records of the script's processes (see `training_job.metrics`) and sends them to the job's MLflow run.

A separate thread sends them in batches. If MLflow cannot be reached, the job continues: a warning is logged once, and
sending is tried again periodically and at the end. Records that MLflow refuses are skipped with a warning. The last
values are in the manifest in any case.

The command's arguments are sent as parameters when the script has ended, except for names that the script has logged
itself: a parameter can be written once, and the script's own `mlflow.log_param` must not fail.
"""

import json
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training_job.launcher.results.saved_files import SavedFile
from training_job.tracking.client import Metric

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_BATCH = 1000  # MLflow's limit for one request: https://mlflow.org/docs/latest/rest-api.html#log-batch
_PARAMS, _TAGS = 100, 100
MOST_NOTES, LONGEST_NOTE = 50, 500
"""Limits of the notes of a job: how many, and characters in each."""
MOST_SAVED = 10_000
"""Max records of saved files that are kept, the last ones."""


@dataclass
class Records:
    """The records so far: metrics, notes and saved files in order, tags, dead workers and the last reported failure.

    `outs` are the folders of Trainers, each with whether it was new. A dead worker is its process id and its exit code,
    -n for signal n. `missing_module` is the module that the process which failed could not import.
    """

    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    saved: deque[SavedFile] = field(default_factory=lambda: deque(maxlen=MOST_SAVED))
    outs: dict[Path, bool] = field(default_factory=dict)
    dead_workers: list[tuple[int, int]] = field(default_factory=list)
    failure: str | None = None
    refused: bool = False
    missing_module: str | None = None

    def latest(self) -> dict[str, float]:
        """Return the last value of each metric, without those that are nan or infinite."""
        values = {metric.name: metric.value for metric in self.metrics}
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def note(self, text: str, *, first: bool = False) -> None:
        """Add a note, once, up to the limits; before all others if `first`."""
        note = text[:LONGEST_NOTE]
        if note not in self.notes:
            self.notes.insert(0 if first else len(self.notes), note)
            del self.notes[MOST_NOTES:]


class Reader:
    """Reads the growing file of records. Invalid lines are skipped, with one warning."""

    def __init__(self, file: Path) -> None:
        self.records = Records()
        self._file = file
        self._offset = 0
        self._warned = False

    def read(self) -> None:
        """Read the complete lines that were added since the last call."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except FileNotFoundError:
            return
        end = content.rfind(b"\n") + 1
        self._offset += end
        for line in content[:end].splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                if not self._warned:
                    logger.warning("a line in KEDJA_METRICS is no record and is skipped: %.200r", line)
                self._warned = True

    def _take(self, record: Mapping[str, Any]) -> None:
        if "metric" in record:
            step, at = record.get("step"), record.get("time")
            self.records.metrics.append(
                Metric(
                    name=str(record["metric"]),
                    value=float(record["value"]),
                    step=0 if step is None else int(step),
                    time=int(time.time() * 1000) if at is None else int(at),
                )
            )
        elif "tag" in record:
            self.records.tags[str(record["tag"])] = str(record["value"])
        elif "note" in record:
            self.records.note(str(record["note"]), first=bool(record.get("first")))
        elif "worker" in record:
            self.records.dead_workers.append((int(record["worker"]), int(record["exit_code"])))
        elif "saved" in record:
            self.records.saved.append(SavedFile.of(record["saved"]))
        elif "out" in record:
            self.records.outs.setdefault(Path(os.path.realpath(record["out"])), bool(record["is_new"]))
        elif "failure" in record:
            self.records.failure = str(record["failure"])
            self.records.refused = bool(record.get("refused", False))
            module = record.get("module")
            self.records.missing_module = None if module is None else str(module)
        else:
            raise KeyError("metric")


class Sink(Protocol):
    """Receives the records of a run."""

    def send(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        """Send one batch. Any exception means that it was not received."""

    def send_parameters(self, parameters: Mapping[str, str]) -> None:
        """Send the parameters that the run does not have yet. Any exception means that they were not received."""


class RunLog:
    """Forwards the records of a job to a sink, from `start` to `close`."""

    def __init__(self, file: Path, sink: Sink | None) -> None:
        self._reader = Reader(file)
        self._sink = sink
        self._sent = 0
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._sent_tags: dict[str, str] = {}
        self._next_try = 0.0
        self._warned = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def records(self) -> Records:
        """The records that have been read so far."""
        return self._reader.records

    def start(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Start the thread. `tags` are sent first, `params` at the end."""
        self._params = dict(list(params.items())[:_PARAMS])
        self._tags = dict(tags)
        self._thread.start()

    def drain(self) -> Records:
        """Stop the thread, read the remaining records, and return all of them."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._reader.read()
        return self.records

    def close(self) -> None:
        """Read the records that were added since `drain`, and send all that have not been sent."""
        self._reader.read()
        self._next_try = 0.0
        self._flush(parameters=self._params)

    def _follow(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._reader.read()
            self._flush()

    def _flush(self, parameters: Mapping[str, str] | None = None) -> None:
        if self._sink is None or time.monotonic() < self._next_try:
            return
        metrics = self.records.metrics
        try:
            while self._sent < len(metrics) or self._new_tags():
                batch = metrics[self._sent : self._sent + _BATCH - _TAGS]
                tags = dict(list(self._new_tags().items())[:_TAGS])
                self._sink.send(batch, tags)
                self._sent += len(batch)
                self._sent_tags |= tags
            if parameters:
                self._sink.send_parameters(parameters)
        except Exception as error:  # noqa: BLE001 - no job may fail because of the server
            self._next_try = time.monotonic() + _RETRY_SECONDS
            if not self._warned:
                logger.warning("metrics cannot be sent to MLflow, and the job continues without: %s", error)
            self._warned = True

    def _new_tags(self) -> dict[str, str]:
        wanted = self._tags | self.records.tags
        return {name: value for name, value in wanted.items() if self._sent_tags.get(name) != value}
