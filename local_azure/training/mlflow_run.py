"""The MLflow run of a job: made once, by whoever needs it first."""

import contextlib

from local_azure.training.job_store import JobStore, RunRecord, StoredJob
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused, MlflowRun
from local_azure.training.mlflow_server import artifact_prefix

_JOB_TAG = "kedja.job"
"""On every run: the job's name, by which the run of a process killed between two steps is found again."""


def ensure_run(store: JobStore, mlflow: MlflowClient, job: StoredJob) -> RunRecord:
    """Return the job's MLflow run, after making it where there is none.

    A job has one run, however many processes ask at once: the store takes the first, and the others delete theirs.
    Raises TrainingServiceUnavailable while MLflow does not answer.
    """
    if job.run is not None:
        return job.run
    experiment_id = mlflow.experiment_id(job.experiment)
    run = mlflow.find_run(experiment_id, _JOB_TAG, job.name) or _create(mlflow, experiment_id, job)
    record = RunRecord(run_id=run.run_id, experiment_id=run.experiment_id, artifacts=artifact_prefix(run.artifact_uri))
    kept = store.set_run(job.name, record).run or record
    if kept.run_id != run.run_id:
        with contextlib.suppress(MlflowRefused):  # whoever else found it has deleted it
            mlflow.delete_run(run.run_id)
    return kept


def _create(mlflow: MlflowClient, experiment_id: str, job: StoredJob) -> MlflowRun:
    description = str(job.document.get("description") or "")
    note = {"mlflow.note.content": description} if description else {}
    return mlflow.create_run(experiment_id, job.name, {**job.tags, **note, _JOB_TAG: job.name})
