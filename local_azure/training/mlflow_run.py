"""The MLflow run of a job, which is created when it is first needed."""

import contextlib

from local_azure.training.job_store import JobStore, RunRecord, StoredJob
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused, MlflowRun
from local_azure.training.mlflow_server import artifact_prefix

_JOB_TAG = "kedja.job"
"""Tag of every run: the job's name, so that a run is found if its process was killed before it was stored."""


def ensure_run(store: JobStore, mlflow: MlflowClient, job: StoredJob) -> RunRecord:
    """Return the job's MLflow run; create it if there is none.

    A job has one run, even if several processes create it at once: the store keeps the first, the others are deleted.

    Raises:
        TrainingServiceUnavailable: MLflow or the job store does not answer.
        TrainingServiceError: MLflow keeps its artifacts elsewhere, or refuses the run.
    """
    if job.run is not None:
        return job.run
    experiment_id = mlflow.experiment_id(job.experiment)
    run = mlflow.find_run(experiment_id, _JOB_TAG, job.name) or _create(mlflow, experiment_id, job)
    record = RunRecord(run_id=run.run_id, experiment_id=run.experiment_id, artifacts=artifact_prefix(run.artifact_uri))
    kept = store.set_run(job.name, record).run or record
    if kept.run_id != run.run_id:
        with contextlib.suppress(MlflowRefused):  # another process has deleted it already
            mlflow.delete_run(run.run_id)
    return kept


def _create(mlflow: MlflowClient, experiment_id: str, job: StoredJob) -> MlflowRun:
    description = str(job.document.get("description") or "")
    note = {"mlflow.note.content": description} if description else {}
    return mlflow.create_run(experiment_id, job.name, {**job.tags, **note, _JOB_TAG: job.name})
