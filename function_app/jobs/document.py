"""The document of a drop's job: its job.yaml, completed with the service's settings."""

from collections.abc import Mapping
from typing import Any

from function_app.jobspec.azureml_document import job_document
from function_app.jobspec.schema import JobSpec
from function_app.ports.training_service import RECEIPT_TAG
from function_app.settings import Settings


def document_of(
    spec: JobSpec,
    *,
    experiment: str,
    folder: str,
    drop: str,
    entry_script: str | None,
    has_data: bool,
    settings: Settings,
) -> Mapping[str, Any]:
    """Return the complete Azure ML document of the job."""
    return job_document(
        spec,
        experiment=experiment,
        folder=folder,
        drop=drop,
        entry_script=entry_script,
        has_data=has_data,
        compute=settings.compute,
        environment=settings.environment,
        tags={RECEIPT_TAG: f"{experiment}/{drop}", "kedja_folder": folder},
        goes_on=settings.max_preemptions > 0,
    )
