"""Sends a job's records to its MLflow run. Records that MLflow refuses are skipped, with one warning for each name."""

import logging
import os
import re
from collections.abc import Mapping, Sequence

from training_job.tracking.client import Metric, Param, Record, RecordsRefusedError, Tag, TrackingClient
from training_job.tracking.mlflow_http import Connection, MlflowHttp, can_reach
from training_job.tracking.mlflow_package import MlflowPackage

_NAME_LENGTH, _PARAM_LENGTH, _TAG_LENGTH = 250, 6000, 5000
_NOT_IN_NAMES = re.compile(r"[^\w.\- /]")

logger = logging.getLogger(__name__)


class MlflowRun:
    """A run of an MLflow tracking server: the one that MLFLOW_TRACKING_URI names, unless a client is given."""

    def __init__(self, run_id: str, client: TrackingClient | None = None) -> None:
        self._run_id = run_id
        self._client = client
        self._refused: set[str] = set()  # names that a warning was logged for

    @classmethod
    def from_environment(cls) -> "MlflowRun | None":
        """Return the run that MLFLOW_TRACKING_URI and MLFLOW_RUN_ID name, or None."""
        run_id = os.environ.get("MLFLOW_RUN_ID")
        if run_id is None or "MLFLOW_TRACKING_URI" not in os.environ:
            return None
        # With MLflow's own defaults, a job that has ended would wait for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        return cls(run_id)

    def send(self, metrics: Sequence[Metric], tags: Mapping[str, str]) -> None:
        """Send one batch, without the records that MLflow refuses."""
        self._send(
            [
                *(Metric(name=_clean(one.name), value=one.value, step=one.step, time=one.time) for one in metrics),
                *(Tag(name=_clean(name), value=value[:_TAG_LENGTH]) for name, value in tags.items()),
            ]
        )

    def send_parameters(self, parameters: Mapping[str, str]) -> None:
        """Send the parameters that the run does not have yet, without those that MLflow refuses."""
        there = self._server().param_names(self._run_id)
        cleaned = {_clean(name): value[:_PARAM_LENGTH] for name, value in parameters.items()}
        self._send([Param(name=name, value=value) for name, value in cleaned.items() if name not in there])

    def _server(self) -> TrackingClient:
        """Return the client, which is created on first use, as an invalid setting must not fail the job."""
        if self._client is None:
            by_http = can_reach(os.environ)
            self._client = MlflowHttp(Connection.from_environment(os.environ)) if by_http else MlflowPackage()
        return self._client

    def _send(self, records: Sequence[Record]) -> None:
        """Send records. If they are refused, send each half, until the refused record is found."""
        if not records:
            return
        try:
            self._server().log_batch(self._run_id, records)
        except RecordsRefusedError as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._send(records[:middle])
                self._send(records[middle:])
            elif records[0].name not in self._refused:
                self._refused.add(records[0].name)
                logger.warning("MLflow refuses %r, which is left out: %.300s", records[0].name, error)


def _clean(name: str) -> str:
    """Return a name with only the characters that MLflow allows, and without empty or dotted path components."""
    parts = _NOT_IN_NAMES.sub("_", name)[:_NAME_LENGTH].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
