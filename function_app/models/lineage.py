"""Lineage: what a model was trained from, which the registry keeps in the model's tags and properties."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from function_app.domain.receipt import Receipt
from function_app.models.job_result import OUTPUTS, JobResult
from function_app.ports.training_service import JOB_TAG, RECEIPT_TAG, ModelRegistration

LONGEST_VALUE = 1000
"""Max characters of a tag's or property's value in Azure ML
(https://learn.microsoft.com/azure/machine-learning/resource-limits-capacity)."""


def metrics_property(metrics: Mapping[str, float]) -> str:
    """Return as many metrics as fit into a property, by name; `manifest.json` has all."""
    kept: dict[str, float] = {}
    room = LONGEST_VALUE
    for name in sorted(metrics):
        taken = len(json.dumps({name: metrics[name]}))  # with braces, which are as long as the separator ", "
        if taken <= room:
            kept[name] = metrics[name]
            room -= taken
    return json.dumps(kept)


def _environment(spec: Mapping[str, Any]) -> str:
    """Return the name of the job's environment; for an inline one, its image and the SHA-256 of its definition."""
    work = spec.get("trial", spec)  # where a sweep has it
    environment = work.get("environment", "")
    if isinstance(environment, str):
        return environment
    digest = hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()
    return f"{environment['image']} sha256:{digest}"


def lineage(receipt: Receipt) -> dict[str, str]:
    """Return what a model was trained from: hashes of its data and scripts, its environment, and its trigger."""
    values = {
        "kedja_experiment": receipt.folder,
        "kedja_drop": receipt.drop,
        "kedja_data_sha256": receipt.received.data_sha256,
        "kedja_scripts_sha256": receipt.received.scripts_sha256,
        "kedja_environment": _environment(receipt.spec),
        "kedja_trigger": receipt.trigger,
    }
    return {name: value[:LONGEST_VALUE] for name, value in values.items()}


def registration_of(receipt: Receipt, job: str, model: str, path: str, result: JobResult) -> ModelRegistration:
    """Return the model version to create from the path below the outputs of a receipt's job."""
    return ModelRegistration(
        model=model,
        job=job,
        path=f"{OUTPUTS}{path}",
        is_mlflow=result.is_mlflow(path),
        description=f"Trained by {job} on the drop {receipt.drop[:16]} of {receipt.folder}.",
        tags={JOB_TAG: job, RECEIPT_TAG: receipt.name, **lineage(receipt)},
        properties={"kedja_metrics": metrics_property(result.metrics)},
    )
