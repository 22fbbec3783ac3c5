"""MLflow's own client, for tracking servers that need one of its plugins, such as Azure ML's (`azureml://`).

Importing MLflow takes 1.5 s of processor time, so it happens in the thread that sends, with the first batch.
"""

from collections.abc import Collection, Sequence
from typing import Any

from training_job.tracking.client import REFUSALS, Metric, Param, Record, RecordsRefusedError, Tag


class MlflowPackage:
    """The server that MLFLOW_TRACKING_URI names, through the `mlflow` package."""

    def log_batch(self, run_id: str, records: Sequence[Record]) -> None:
        """See `TrackingClient`."""
        from mlflow import MlflowClient, entities, exceptions  # noqa: PLC0415 - slow, see above

        client = (
            MlflowClient()
        )  # outside of `try`: fails without a plugin for MLFLOW_TRACKING_URI, which no record causes
        try:
            client.log_batch(
                run_id,
                metrics=[
                    entities.Metric(one.name, one.value, one.time, one.step)
                    for one in records
                    if isinstance(one, Metric)
                ],
                params=[entities.Param(one.name, one.value) for one in records if isinstance(one, Param)],
                tags=[entities.RunTag(one.name, one.value) for one in records if isinstance(one, Tag)],
            )
        except exceptions.MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            raise RecordsRefusedError(str(error)) from error
        except (ValueError, OverflowError) as error:  # a number too large for the request, or text that is no Unicode
            raise RecordsRefusedError(str(error)) from error

    def param_names(self, run_id: str) -> Collection[str]:
        """See `TrackingClient`."""
        from mlflow import MlflowClient  # noqa: PLC0415 - as above

        params: dict[str, Any] = MlflowClient().get_run(run_id).data.params
        return params.keys()
