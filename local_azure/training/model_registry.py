"""Model versions in MLflow's registry, as the training service's port defines them.

A property is a tag whose key starts with `property.`; an archived version has the tag `kedja_archived` (MLflow's stages
are deprecated). Tags that MLflow or a person adds remain visible.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from function_app.ports.training_service import JOB_TAG, ModelRegistration, ModelVersion
from local_azure.training.mlflow_client import MlflowClient, MlflowRefused, quoted, tag_list

_PROPERTY = "property."
_ARCHIVED_TAG = "kedja_archived"
_PAGE = 1000


class ModelRegistry:
    """Kedja's model versions on one MLflow server.

    Raises:
        TrainingServiceUnavailable: from every method, as MlflowClient.
        MlflowRefused: from every method, as MlflowClient.
    """

    def __init__(self, mlflow: MlflowClient) -> None:
        self._mlflow = mlflow

    def find(self, model: str, job: str) -> Sequence[ModelVersion]:
        """Return the versions that this job created and that are not archived, lowest first."""
        condition = f"name = {quoted(model)} AND tag.`{JOB_TAG}` = {quoted(job)}"
        return sorted(self._unarchived(condition), key=_number)

    def versions(self, model: str | None) -> Sequence[ModelVersion]:
        """Return the versions of one or all models that are not archived: by model, highest version first."""
        versions = self._unarchived("" if model is None else f"name = {quoted(model)}")
        kedjas = (version for version in versions if JOB_TAG in version.tags)
        return sorted(kedjas, key=lambda version: (version.model, -_number(version)))

    def names(self) -> Sequence[str]:
        """Return the names of all models, sorted."""
        found = self._mlflow.pages("registered-models/search", {"max_results": _PAGE}, "registered_models")
        return sorted(str(model["name"]) for model in found)

    def register(self, registration: ModelRegistration, run_id: str) -> ModelVersion:
        """Create a version from a path in the run's artifacts; create the model if it is new."""
        try:
            self._mlflow.call("POST", "registered-models/create", {"name": registration.model})
        except MlflowRefused as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        properties = {f"{_PROPERTY}{key}": value for key, value in registration.properties.items()}
        body = {
            "name": registration.model,
            "source": f"runs:/{run_id}/{registration.path.strip('/')}",
            "run_id": run_id,
            "description": registration.description,
            "tags": tag_list({**registration.tags, **properties}),
        }
        return _version(self._mlflow.call("POST", "model-versions/create", body)["model_version"])

    def archive(self, model: str, version: str) -> None:
        """Remove a version from all lists. Nothing happens if it does not exist."""
        body = {"name": model, "version": version, "key": _ARCHIVED_TAG, "value": "true"}
        try:
            self._mlflow.call("POST", "model-versions/set-tag", body)
        except MlflowRefused as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _unarchived(self, condition: str) -> Iterable[ModelVersion]:
        query = {"max_results": _PAGE, **({"filter": condition} if condition else {})}
        found = self._mlflow.pages("model-versions/search", query, "model_versions")
        return (version for version in map(_version, found) if not version.archived)


def _number(version: ModelVersion) -> int:
    return int(version.version)


def _version(version: Mapping[str, Any]) -> ModelVersion:
    tags = {str(tag["key"]): str(tag.get("value", "")) for tag in version.get("tags", [])}
    return ModelVersion(
        model=version["name"],
        version=str(version["version"]),
        tags={key: value for key, value in tags.items() if not key.startswith(_PROPERTY) and key != _ARCHIVED_TAG},
        properties={key.removeprefix(_PROPERTY): value for key, value in tags.items() if key.startswith(_PROPERTY)},
        created=datetime.fromtimestamp(int(version["creation_timestamp"]) / 1000, UTC),
        archived=tags.get(_ARCHIVED_TAG) == "true",
    )
