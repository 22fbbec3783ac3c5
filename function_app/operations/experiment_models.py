"""The model versions that an experiment produced. Only models that its attempts name are queried."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from attrs import field, frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt
from function_app.models.deletion import Deleter
from function_app.ports.storage import BlobItem
from function_app.ports.training_service import JOB_TAG, RECEIPT_TAG, ModelVersion, TrainingService
from function_app.store.deletions import DeletedModel
from function_app.store.snapshots import Snapshots, UnreadableSnapshot

_READS = 16
_MOST_READ = 100
"""Max job specs to read for drops whose receipts no longer name their model."""


@frozen(kw_only=True)
class ExperimentModels:
    """Finds versions in the registry, with one query for each model."""

    experiment: str
    deleter: Deleter
    snapshots: Snapshots
    training: TrainingService
    _asked: set[str] = field(factory=set, init=False)

    def named_by(self, receipt: Receipt) -> set[str]:
        """Return the models that a receipt's attempts registered, or may have registered, versions of."""
        if receipt.model is not None:
            return {receipt.model.model}
        if not receipt.attempts:
            return set()
        kept = [attempt.options for attempt in receipt.attempts if attempt.options is not None]
        if len(kept) < len(receipt.attempts):  # an earlier release claimed some of them
            return {self._asked_for(receipt.ref)}
        return {options.registration.get("model") or self.experiment for options in kept}

    def _asked_for(self, ref: DropRef) -> str:
        """Return the model that a drop's job.yaml asks for."""
        try:
            spec = self.snapshots.spec(ref)
        except UnreadableSnapshot:  # deleted before its receipt, or unreadable
            return self.experiment
        return spec.kedja.registration.model or self.experiment

    def listed(self, items: Iterable[BlobItem]) -> set[str]:
        """Return the models that the listed receipts name. For retried drops, read up to 100 job specs instead."""
        named, again = {self.experiment}, list[DropRef]()
        for item in items:
            if "model" in item.metadata:
                named.add(item.metadata["model"].rpartition(":")[0])
            elif (job := naming.JOB_NAME.fullmatch(item.metadata.get("job", ""))) and int(job["number"]) > 1:
                again.append(DropRef.of_blob(item.name))
        with ThreadPoolExecutor(_READS) as pool:
            return named.union(pool.map(self._asked_for, again[:_MOST_READ]))

    def of(self, models: Iterable[str]) -> list[DeletedModel]:
        """Return the experiment's versions of the models not queried before, each with the reason for keeping it."""
        found: list[DeletedModel] = []
        for model in sorted({*models} - self._asked):
            versions = self.training.models(model)
            found += [self._told(one) for one in versions if self._is_ours(one)]
            self._asked.add(model)
        return found

    def _is_ours(self, version: ModelVersion) -> bool:
        ref = DropRef.parse(version.tags.get(RECEIPT_TAG, ""))
        return ref is not None and ref.experiment == self.experiment

    def _told(self, version: ModelVersion) -> DeletedModel:
        why = self.deleter.keep_reason(version)
        return DeletedModel(model=version.model, version=version.version, job=version.tags.get(JOB_TAG), why=why)
