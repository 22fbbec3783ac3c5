"""Ownership: which experiment a model belongs to, and which others may register versions of it.

A model named like an experiment belongs to that experiment; any other belongs to the first that uses it. `owner.json`
records this once another experiment wants the model. It is created once, and its owner never changes.
"""

import enum
import fnmatch
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan
from function_app.errors import Conflict, NotFound, PreconditionFailed, Refused
from function_app.jobspec.kedja_block import GateConditions, RegisterOptions
from function_app.models.champion import Champion, Champions
from function_app.models.gate import OwnersGate, gate_failure
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, iter_items
from function_app.ports.training_service import RECEIPT_TAG, TrainingService
from function_app.store.snapshots import Snapshots, UnreadableSnapshot

logger = logging.getLogger(__name__)

UNSTORED = "none"
"""The ETag of an owner without an `owner.json`."""
_EXPERIMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,46}")
"""What `naming.slug` returns."""


class Standing(enum.Enum):
    """What an experiment may do with a model."""

    OWNER = enum.auto()
    """Register versions that pass its own gate."""
    GUEST = enum.auto()
    """Register versions that pass its own gate and the owner's."""
    STRANGER = enum.auto()
    """Nothing."""


class ModelNotShared(Refused):
    """The experiment may not register versions of the model. The owner is not named, as it may be confidential."""

    code = "model-not-shared"
    title = "The model belongs to another experiment."

    def __init__(self, model: str, experiment: str) -> None:
        self.reason = (
            f"The model {model} belongs to another experiment, and {experiment} may not register versions of it."
        )
        self.what_to_do = (
            f"Name another model in job.yaml (kedja.register.model), or have the owner of {model} share it "
            f"(kedja share {model} --with {experiment}). Then drop again."
        )
        super().__init__(f"{self.reason} {self.what_to_do}")


class OwnerChanged(Conflict):
    """The owner's record has changed since the caller read it."""

    code = "changed"
    title = "It has changed since it was read."
    advice = "Read it again, then send your change again."


class ModelOwner(Document):
    """`models/<model>/owner.json`. `allowed` are patterns (fnmatch) of experiment names, as for API keys.

    `by` is who changed the list last, or None if nobody has changed it since Kedja created it.
    """

    version: int = 1
    model: str
    owner: str
    allowed: tuple[str, ...] = ()
    since: datetime
    by: str | None = None

    def standing_of(self, experiment: str) -> Standing:
        """Return what an experiment may do with the model."""
        if experiment == self.owner:
            return Standing.OWNER
        admitted = any(fnmatch.fnmatchcase(experiment, pattern) for pattern in self.allowed)
        return Standing.GUEST if admitted else Standing.STRANGER

    @classmethod
    def read(cls, blobs: Blobs, model: str) -> tuple[Self, str] | None:
        """Return a model's owner and the blob's ETag, or None if none is stored.

        Raises:
            Unreadable: The stored owner is not valid.
        """
        return cls.read_document(blobs, naming.MODELS, naming.owner_blob(model))


@frozen(kw_only=True)
class Claim:
    """An experiment that is about to register a version, and the model's champion at that moment."""

    model: str
    experiment: str
    standing: Standing
    champion: Champion | None

    @property
    def is_owner(self) -> bool:
        """Whether the model belongs to the experiment."""
        return self.standing is Standing.OWNER

    @property
    def is_allowed(self) -> bool:
        """Whether the experiment may register versions of the model."""
        return self.standing is not Standing.STRANGER

    def refusal(self, gate: GateConditions | None, metrics: Mapping[str, float]) -> ModelNotShared | str | None:
        """Return why a version with these metrics is not to be registered, or None if it is."""
        if not self.is_allowed:
            return ModelNotShared(self.model, self.experiment)
        best = self.champion.metrics if self.champion else None
        if (own := gate_failure(gate, metrics, best)) or self.is_owner or self.champion is None:
            return own
        owners = gate_failure(self.champion.gate, metrics, best)
        return f"{owners} The owner of the model {self.model} requires that." if owners else None


@frozen(kw_only=True)
class Owners:
    """The owners of an account's models."""

    blobs: Blobs
    champions: Champions
    snapshots: Snapshots
    training: TrainingService
    clock: Clock

    def standing(self, model: str, experiment: str, *, claim: bool = True) -> Standing:
        """Return what an experiment may do with a model. With `claim`, a model without an owner becomes its own.

        For a model named like the experiment this costs one read once its champion names the owner, else two.

        Raises:
            TrainingServiceUnavailable: The model has no owner yet, and its versions cannot be listed.
        """
        champion = self.champions.find(model) if model == experiment else None
        return self.standing_beside(champion, model, experiment, claim=claim)

    def standing_beside(
        self, champion: Champion | None, model: str, experiment: str, *, claim: bool = True
    ) -> Standing:
        """Return the same as `standing` to a caller that has read the model's champion already."""
        if champion is not None and champion.owner == experiment:
            return Standing.OWNER
        if stored := ModelOwner.read(self.blobs, model):
            # Two experiments may have claimed the model at the same moment: the one with a champion owns it.
            if champion is not None and champion.owner not in (None, stored[0].owner):
                return Standing.STRANGER
            return stored[0].standing_of(experiment)
        if model == experiment and (champion is None or champion.experiment == experiment):
            return Standing.OWNER
        owner = self._computed(model, experiment)
        return (self._create(owner) if claim else owner).standing_of(experiment)

    def claim(self, model: str, experiment: str) -> Claim:
        """Return what an experiment that is about to register a version of a model may do with it."""
        champion = self.champions.find(model)
        standing = self.standing_beside(champion, model, experiment)
        if standing is Standing.GUEST:
            champion = self._marked(champion, model)
        return Claim(model=model, experiment=experiment, standing=standing, champion=champion)

    def check(self, model: str | None, experiment: str) -> None:
        """Check that an experiment may register versions of a model (by default its own).

        Raises:
            ModelNotShared: It may not.
        """
        model = model or experiment
        if self.standing(model, experiment) is Standing.STRANGER:
            raise ModelNotShared(model, experiment)

    def planned(self, plan: Plan, options: RegisterOptions, *, claim: bool = True, strict: bool = False) -> Plan:
        """Return the plan, or a rejection if the drop's model belongs to another experiment.

        Raises:
            ModelNotShared: Instead of the rejection, if `strict`.
        """
        if not isinstance(plan, ReadyPlan):
            return plan
        experiment = plan.drop.experiment
        model = options.model or experiment
        if self.standing(model, experiment, claim=claim) is not Standing.STRANGER:
            return plan
        refused = ModelNotShared(model, experiment)
        if strict:
            raise refused
        return RejectedPlan(drop=plan.drop, reason=refused.reason, what_to_do=refused.what_to_do)

    def _marked(self, champion: Champion | None, model: str) -> Champion | None:
        """Return the champion with its model's owner and gate, which champions of earlier releases lack."""
        if champion is None or champion.owner is not None:
            return champion
        owner = self.find(model)
        if owner is None:
            return champion
        gate = self._gate_of(champion) if champion.experiment == owner.owner else None
        return self.champions.mark(model, owner.owner, gate)

    def find(self, model: str) -> ModelOwner | None:
        """Return a model's owner, stored or as it would be stored; None if the model has no owner."""
        return self.read(model)[0]

    def read(self, model: str) -> tuple[ModelOwner | None, str]:
        """Return a model's owner, and the ETag of its record."""
        if stored := ModelOwner.read(self.blobs, model):
            return stored
        found = self._computed(model, "")
        return (found if found.owner else None), UNSTORED

    def share(
        self, model: str, allowed: Iterable[str], *, by: str, is_current: Callable[[str], bool]
    ) -> tuple[ModelOwner, str]:
        """Set which other experiments may register versions of a model; return its owner, and the new ETag.

        `is_current` returns whether an ETag is that of the record that the caller read.

        Raises:
            NotFound: The model has no owner.
            OwnerChanged: The record has changed since the caller read it.
        """
        found, etag = self.read(model)
        if found is None:
            raise NotFound(f"There is no model {model!r}.")
        others = tuple(dict.fromkeys(one for one in allowed if one != found.owner))
        changed = found.replace(allowed=others, by=by)
        try:
            if is_current(etag):
                return changed, self._store(changed, etag)
        except PreconditionFailed:
            logger.info("%s was changed by another caller at the same moment.", naming.owner_blob(model))
        raise OwnerChanged(
            f"The experiments that may register the model {model} were changed meanwhile. Read them again."
        )

    def _store(self, owner: ModelOwner, etag: str) -> str:
        """Replace the record that has this ETag; return the new ETag."""
        name = naming.owner_blob(owner.model)
        if etag != UNSTORED:
            return self.blobs.replace(naming.MODELS, name, owner.to_bytes(), etag=etag)
        self.blobs.create(naming.MODELS, name, owner.to_bytes())
        return self.blobs.read(naming.MODELS, name).etag

    def _create(self, owner: ModelOwner) -> ModelOwner:
        """Store a model's owner, or return the owner that another call stored first."""
        try:
            self.blobs.create(naming.MODELS, naming.owner_blob(owner.model), owner.to_bytes())
        except PreconditionFailed:
            stored = ModelOwner.read(self.blobs, owner.model)
            if stored is None:
                raise
            return stored[0]
        return owner

    def _computed(self, model: str, asker: str) -> ModelOwner:
        """Return the owner of a model without a record: who registered it, its namesake, or else the asker.

        The experiment of the model's name comes first if it has registered versions, or is older than all versions.
        """
        versions = sorted(self.training.models(model), key=lambda one: int(one.version))
        tagged = [one for one in versions if RECEIPT_TAG in one.tags]
        receipts = [one.tags[RECEIPT_TAG] for one in tagged]
        if champion := self.champions.find(model):
            receipts += [*(one.receipt for one in champion.history), champion.receipt]
        holders = list(dict.fromkeys(ref.experiment for ref in map(DropRef.parse, receipts) if ref))
        first = min((one.created for one in tagged if one.created), default=None)
        is_older = bool(first or not holders) and self._existed(model, before=first)
        owner = model if model in holders or is_older else next(iter(holders), asker)
        allowed = tuple(one for one in holders if one != owner)
        return ModelOwner(model=model, owner=owner, allowed=allowed, since=self.clock())

    def _existed(self, name: str, *, before: datetime | None) -> bool:
        """Return whether an experiment received a drop `before` that time; for None, whether it has any files."""
        if not _EXPERIMENT.fullmatch(name):
            return False
        if before is None:
            containers = (naming.RECEIPTS, naming.DATA, naming.SCRIPTS)
            return any(self.blobs.page(container, f"{name}/", size=1).items for container in containers)
        items = iter_items(self.blobs, naming.RECEIPTS, f"{name}/")
        received = (item.metadata["received"] for item in items if "received" in item.metadata)
        return any(datetime.fromisoformat(one) < before for one in received)

    def _gate_of(self, champion: Champion) -> OwnersGate | None:
        """Return the gate that a champion passed, if its job spec is still kept."""
        ref = DropRef.parse(champion.receipt)
        if ref is None:
            return None
        try:
            return OwnersGate.of(self.snapshots.spec(ref).kedja.registration.when)
        except UnreadableSnapshot:
            return None
