"""The model catalogue: registered versions and their files, and the champions that people choose among them."""

from collections.abc import Callable, Sequence

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.models.artifacts import ModelManifest
from function_app.models.champion import Candidate, Champion, Champions, Intervention
from function_app.models.downloads import Download, Downloads
from function_app.models.job_result import truncate_metrics
from function_app.models.ownership import Owners
from function_app.ports.clock import Clock
from function_app.ports.training_service import ModelService, ModelVersion
from function_app.store.receipts import Receipts


@frozen(kw_only=True)
class ModelCatalogue:
    """The models of an account. Which of them a caller may see or change is up to the caller of these methods."""

    champions: Champions
    downloads: Downloads
    owners: Owners
    receipts: Receipts
    service: ModelService
    clock: Clock

    def names(self) -> Sequence[str]:
        """Return the names of all models, sorted."""
        return self.service.model_names()

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """Return the registered versions of a model, highest first."""
        return self.service.models(model) if naming.MODEL_NAME.fullmatch(model) else []

    def champion(self, model: str) -> Champion | None:
        """Return the champion of a model, or None if it has none."""
        return self.champions.find(model) if naming.MODEL_NAME.fullmatch(model) else None

    def owner(self, model: str) -> str | None:
        """Return the experiment that owns a model, or None if it has no owner. A champion carries the owner."""
        champion = self.champion(model)
        if champion is not None and champion.owner is not None:
            return champion.owner
        found = self.owners.find(model)
        return found.owner if found is not None else None

    def manifest(self, model: str, version: str) -> ModelManifest | None:
        """Return what a version consists of, or None if it does not exist or is not completely copied yet."""
        return self.downloads.manifest(model, version)

    def links(self, manifest: ModelManifest, *, start: int, limit: int) -> Sequence[Download]:
        """Return up to `limit` files of a manifest, with links to download them."""
        return self.downloads.links(manifest, start=start, limit=limit)

    def wish(self, *, by: str, reason: str | None, request: str) -> Intervention:
        """Return a wish for another champion that someone expresses now. `request` is the id of the HTTP request."""
        return Intervention(by=by, reason=reason, at=self.clock(), request=request)

    def promote(
        self,
        model: str,
        manifest: ModelManifest,
        *,
        may_replace: Callable[[Champion | None], bool],
        wish: Intervention,
    ) -> Champion:
        """Make a version the champion, regardless of the gate.

        Raises:
            NotFound: The version's files no longer exist.
            Refused: The present champion may not be replaced.
        """
        return self.champions.promote(
            model,
            self._candidate(manifest),
            lambda version: self.manifest(model, version) is not None,
            may_replace=may_replace,
            wish=wish,
        )

    def roll_back(
        self,
        model: str,
        *,
        may_use: Callable[[ModelManifest], bool],
        may_replace: Callable[[Champion], bool],
        wish: Intervention,
    ) -> Champion:
        """Make the latest of the previous champions that exist and `may_use` accepts the champion again.

        Raises:
            Refused: There is none, the present one may not be replaced, or it was changed meanwhile.
        """

        def candidate_of(version: str) -> Candidate | None:
            manifest = self.manifest(model, version)
            return self._candidate(manifest) if manifest is not None and may_use(manifest) else None

        return self.champions.roll_back(model, candidate_of, may_replace=may_replace, wish=wish)

    def _candidate(self, manifest: ModelManifest) -> Candidate:
        """Return a version as a candidate, with data from its receipt, or from its manifest if there is no receipt."""
        ref = DropRef.parse(manifest.receipt)
        receipt = self.receipts.find(ref) if ref else None
        attempt = next((one for one in receipt.attempts if one.job == manifest.job), None) if receipt else None
        known = attempt.metrics if attempt else {}
        return Candidate(
            version=manifest.model_version,
            sequence=attempt.sequence if attempt else 0,
            receipt=manifest.receipt,
            **truncate_metrics(manifest.metrics, first=next(iter(known), None), total=manifest.metrics_total),
        )
