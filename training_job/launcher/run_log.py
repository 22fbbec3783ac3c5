"""Reads what the script's processes record (see `training_job.metrics`) and sends it to the job's MLflow run.

MLflow is asked in a thread of its own, in batches. Where it cannot be reached the job goes on: one warning, another
try now and then and at the end. A record that it refuses is left out with a warning. The last values reach the manifest
either way.

The command's arguments become parameters when the script has ended, where it has logged none of the name itself: a
parameter can be written once, and a script's own `mlflow.log_param` must not fail because of ours.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training_job.tracking.client import Metric

logger = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_BATCH = 1000  # what MLflow takes in one request: https://mlflow.org/docs/latest/rest-api.html#log-batch
_PARAMS, _TAGS = 100, 100


@dataclass
class Records:
    """What has been recorded so far: all metrics in order, tags, and why a process failed (the last that said so)."""

    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    refused: bool = False

    def latest(self) -> dict[str, float]:
        """Return the last value of each metric. One whose last value is nan or infinite is left out."""
        values = {metric.name: metric.value for metric in self.metrics}
        return {name: value for name, value in values.items() if math.isfinite(value)}


class Reader:
    """Reads the records file as it grows. A line that is no record is reported once and skipped."""

    def __init__(self, file: Path) -> None:
        self.records = Records()
        self._file = file
        self._offset = 0
        self._warned = False

    def read(self) -> None:
        """Take in the whole lines that are new."""
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
        elif "failure" in record:
            self.records.failure = str(record["failure"])
            self.records.refused = bool(record.get("refused", False))
        else:
            raise KeyError("metric")


class Sink(Protocol):
    """Where a run's records go."""

    def send(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        """Send one batch; any exception means that it did not arrive."""

    def send_parameters(self, parameters: Mapping[str, str]) -> None:
        """Send the parameters of whose names the run has none; any exception means that they did not arrive."""


class RunLog:
    """Follows the records of a job from `start` to `close` and sends them on."""

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
        """What has been read so far."""
        return self._reader.records

    def start(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Begin to follow, and send the job's tags first, its parameters last."""
        self._params = dict(list(params.items())[:_PARAMS])
        self._tags = dict(tags)
        self._thread.start()

    def drain(self) -> Records:
        """Stop to follow, read what is left, and return all records."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._reader.read()
        return self.records

    def close(self) -> None:
        """Read what was recorded since `drain`, and send what has not been sent."""
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
        except Exception as error:  # noqa: BLE001 - the edge to a server that no job may fail for
            self._next_try = time.monotonic() + _RETRY_SECONDS
            if not self._warned:
                logger.warning("metrics do not reach MLflow, and the job goes on without: %s", error)
            self._warned = True

    def _new_tags(self) -> dict[str, str]:
        wanted = self._tags | self.records.tags
        return {name: value for name, value in wanted.items() if self._sent_tags.get(name) != value}
