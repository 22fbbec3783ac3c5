"""The model versions that came of an experiment. Only the models are asked for that its attempts name."""

from collections.abc import Iterable

from attrs import field, frozen

from function_app.deletion import DeletedModel
from function_app.errors import BlobNotFound, InvalidJobSpec
from function_app.receipt import Receipt
from function_app.removal import Remover
from function_app.snapshot import Snapshots
from function_app.training_service import JOB_TAG, RECEIPT_TAG, ModelVersion, TrainingService


@frozen(kw_only=True)
class ExperimentModels:
    """Looks for versions in the registry, once for each model."""

    experiment: str
    remover: Remover
    snapshots: Snapshots
    training: TrainingService
    _asked: set[str] = field(factory=set, init=False)

    def named_by(self, receipt: Receipt) -> set[str]:
        """Return the models that a receipt's attempts have made versions of, or may have."""
        if receipt.model is not None:
            return {receipt.model.model}
        if not receipt.attempts:
            return set()
        try:
            spec = self.snapshots.spec(receipt.experiment, receipt.drop)
        except (BlobNotFound, InvalidJobSpec, ValueError):  # it went before its receipt, or cannot be read
            return {self.experiment}
        return {spec.kedja.registration.model or self.experiment}

    def of(self, models: Iterable[str]) -> list[DeletedModel]:
        """Return the experiment's versions of those models that were not asked for before; each says why it stays."""
        found: list[DeletedModel] = []
        for model in sorted({*models} - self._asked):
            versions = self.training.models(model)
            found += [self._told(one) for one in versions if self._is_ours(one)]
            self._asked.add(model)
        return found

    def _is_ours(self, version: ModelVersion) -> bool:
        return version.tags.get(RECEIPT_TAG, "").partition("/")[0] == self.experiment

    def _told(self, version: ModelVersion) -> DeletedModel:
        why = self.remover.why_kept(version)
        return DeletedModel(model=version.model, version=version.version, job=version.tags.get(JOB_TAG), why=why)
