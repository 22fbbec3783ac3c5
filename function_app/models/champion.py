"""The champion: which version of a model consumers are to use.

Automatically it only moves to newer drops, in whatever order their jobs end. Users may promote any version, or roll
back; their choice stays until the next one, or until a model of a newer drop than any champion so far passes its gate.
A version from an experiment that does not own the model has to pass the gate in the owner's `job.yaml` as well.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import REMEMBERED
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.errors import NotFound, PreconditionFailed, Refused
from function_app.jobspec.kedja_block import GateConditions
from function_app.models.gate import OwnersGate, gate_failure
from function_app.models.job_result import METRICS_CARRIED
from function_app.ports.storage import Blobs
from function_app.timing import CONTENTION

HISTORY = 50
"""How many previous champions are kept."""


class ChampionTerm(Document):
    """A period in which a version was the champion. `withdrawn` if somebody rolled back from it.

    Only the first metric is kept, which is the gate's if there is a gate; the version's `manifest.json` has all.
    """

    version: str
    receipt: str
    metrics: Mapping[str, float] = {}
    since: datetime
    until: datetime
    by: str | None = None
    reason: str | None = None
    request: str | None = None
    withdrawn: bool = False


class Candidate(Document):
    """A version that a user wants to be the champion. `sequence` is as in `Champion`."""

    version: str
    sequence: int
    receipt: str
    metrics: Mapping[str, float] = {}
    metrics_total: int | None = None


class Intervention(Document):
    """A user's request for another champion. `request` is the id of the HTTP request."""

    by: str
    reason: str | None = None
    at: datetime
    request: str | None = None


class Champion(Document):
    """`models/<model>/champion.json`.

    `sequence` is the order of its drop's submission among others, or that of an earlier champion if that is higher: a
    champion set by hand (`by`) is only replaced by newer drops. `metrics_total` is how many metrics the version has;
    at most a hundred are kept here.

    `owner` is the experiment that the model belongs to, and `gate` is its gate for versions of other experiments; both
    are those of the owner's last champion. `owner` is None until a champion has recorded it. `request` is the id of the
    request that set a champion by hand, so that a repeat changes nothing.
    """

    model: str
    version: str
    sequence: int
    receipt: str
    metrics: Mapping[str, float] = {}
    metrics_total: int | None = None
    since: datetime
    by: str | None = None
    reason: str | None = None
    request: str | None = None
    owner: str | None = None
    gate: OwnersGate | None = None
    history: tuple[ChampionTerm, ...] = ()

    @property
    def experiment(self) -> str | None:
        """The experiment that registered the version; None if it was registered without Kedja."""
        ref = DropRef.parse(self.receipt)
        return ref.experiment if ref else None

    def came_of(self, wish: Intervention) -> bool:
        """Return whether the same request has already taken effect."""
        known = [(self.request, self.since), *((one.request, one.since) for one in self.history)]
        return wish.request is not None and any(
            request == wish.request and wish.at - since < REMEMBERED for request, since in known
        )

    @classmethod
    def chosen(cls, model: str, candidate: Candidate, wish: Intervention) -> Self:
        """Return the champion that a user has chosen."""
        return cls(model=model, since=wish.at, by=wish.by, reason=wish.reason, request=wish.request, **dict(candidate))

    def succeeding(self, before: Self | None, *, withdrawn: bool = False) -> Self:
        """Return this champion with the previous one in its history."""
        if before is None:
            return self
        first = dict(islice(before.metrics.items(), 1))
        tenure = ChampionTerm.model_validate(
            {**dict(before), "metrics": first, "until": self.since, "withdrawn": withdrawn}
        )
        terms = {"owner": before.owner, "gate": before.gate} if self.owner is None else {}
        return self.replace(
            **terms, sequence=max(self.sequence, before.sequence), history=(*before.history, tenure)[-HISTORY:]
        )

    def rollback_candidates(self) -> Iterator[ChampionTerm]:
        """Yield the terms that a rollback may return to, the latest first."""
        passed = {self.version}
        for tenure in reversed(self.history):
            if tenure.version not in passed and not tenure.withdrawn:
                yield tenure
            passed.add(tenure.version)

    @classmethod
    def read(cls, blobs: Blobs, model: str) -> tuple[Self, str] | None:
        """Return a model's champion and its ETag, or None if there is none.

        Raises:
            Unreadable: The stored champion is not valid.
        """
        return cls.read_document(blobs, naming.MODELS, naming.champion_blob(model))


@frozen
class Champions:
    """The champions of a storage account."""

    blobs: Blobs
    sleep: Callable[[float], None] = time.sleep

    def find(self, model: str) -> Champion | None:
        """Return a model's champion, or None if there is none."""
        found = Champion.read(self.blobs, model)
        return found[0] if found else None

    def challenge(
        self, challenger: Champion, gate: GateConditions | None, *, measured: Mapping[str, float] | None = None
    ) -> bool:
        """Make the challenger the champion unless the present one is newer, or the gate does not let it pass.

        A challenger without an owner comes from an experiment that does not own the model: the owner's gate applies to
        it too. `measured` are all its metrics; by default those that it carries. Return whether it is the champion now.
        """
        metrics = challenger.metrics if measured is None else measured

        def succeeding(present: Champion | None) -> Champion | None:
            if present is None:
                return challenger
            if present.version == challenger.version:
                return None
            newest = present.sequence - (present.by is None)  # a champion set by hand is only replaced by newer drops
            if challenger.sequence <= newest or gate_failure(gate, metrics, present.metrics):
                return None
            if challenger.owner is not None or present.gate is None:
                return challenger.succeeding(present)
            if gate_failure(present.gate, metrics, present.metrics):
                return None
            return _with_metric(challenger, present.gate.metric, metrics).succeeding(present)

        return self._change(challenger.model, succeeding).version == challenger.version

    def mark(self, model: str, owner: str, gate: OwnersGate | None) -> Champion:
        """Record the model's owner and gate on a champion without an owner; return the champion as it is afterwards."""

        def marked(present: Champion | None) -> Champion | None:
            if present is None or present.owner is not None:
                return None
            return present.replace(owner=owner, gate=gate)

        return self._change(model, marked)

    def promote(
        self,
        model: str,
        candidate: Candidate,
        is_there: Callable[[str], bool],
        *,
        may_replace: Callable[[Champion | None], bool],
        wish: Intervention,
    ) -> Champion:
        """Make a version the champion, regardless of the gate; nothing changes if it is the champion already.

        Nor does anything change if the same request took effect before, even if the champion was changed since.

        Raises:
            NotFound: The version's files no longer exist.
            Refused: The caller may not replace the present champion, or set the first.
        """

        def succeeding(present: Champion | None) -> Champion | None:
            _check_replaceable(model, present, may_replace)
            if present is not None and present.version == candidate.version:
                return None
            if present is not None and present.came_of(wish):
                return None
            # Checked after the champion was read: a deletion of the version rewrites the champion afterwards.
            if not is_there(candidate.version):
                raise NotFound(f"The files of version {candidate.version} of the model {model} no longer exist.")
            return Champion.chosen(model, candidate, wish).succeeding(present)

        return self._change(model, succeeding)

    def roll_back(
        self,
        model: str,
        candidate_of: Callable[[str], Candidate | None],
        *,
        may_replace: Callable[[Champion], bool],
        wish: Intervention,
    ) -> Champion:
        """Make the latest of the previous champions that are still candidates the champion again.

        If the same request took effect before, nothing changes: the present champion is returned.

        Raises:
            Refused: There is none, the caller may not replace the present one, or it was changed meanwhile.
        """
        nothing = Refused(f"The model {model} has no previous champion: there is nothing to roll back to.")
        found = Champion.read(self.blobs, model)
        if found is None:
            raise nothing
        present, etag = found
        _check_replaceable(model, present, may_replace)
        if present.came_of(wish):
            return present
        candidate = next(filter(None, (candidate_of(one.version) for one in present.rollback_candidates())), None)
        if candidate is None:
            raise nothing
        again = Champion.chosen(model, candidate, wish).succeeding(present, withdrawn=True)
        try:
            self.blobs.replace(naming.MODELS, naming.champion_blob(model), again.to_bytes(), etag=etag)
        except PreconditionFailed as error:  # another try could roll back by two champions
            now = self.find(model)
            if now is not None and now.came_of(wish):  # the response to this very write was lost
                return now
            raise Refused(
                f"The champion of {model} was changed at the same moment. Check which version it is now, and try again."
            ) from error
        return again

    def _change(self, model: str, edit: Callable[[Champion | None], Champion | None]) -> Champion:
        """Write what `edit` returns for the present champion, if not None; return the champion afterwards."""
        name = naming.champion_blob(model)
        tries = 0
        while True:
            found = Champion.read(self.blobs, model)
            changed = edit(found[0] if found else None)
            try:
                if changed is None and found:
                    return found[0]
                if changed is None:
                    raise NotFound(f"The model {model} has no champion.")
                if found:
                    self.blobs.replace(naming.MODELS, name, changed.to_bytes(), etag=found[1])
                else:
                    self.blobs.create(naming.MODELS, name, changed.to_bytes())
            except (
                PreconditionFailed
            ):  # another call wrote first, or holds a lease, which a killed one keeps to its end
                self.sleep(CONTENTION.delay(tries, name))
                tries += 1
                continue
            return changed


def _with_metric(challenger: Champion, name: str, measured: Mapping[str, float]) -> Champion:
    """Return the challenger with the metric that the next challenger is compared by as its first."""
    metrics = {name: measured[name], **challenger.metrics}
    return challenger.replace(metrics=dict(islice(metrics.items(), METRICS_CARRIED)))


def _check_replaceable[C: (Champion, Champion | None)](
    model: str, champion: C, may_replace: Callable[[C], bool]
) -> None:
    if not may_replace(champion):
        raise Refused(f"You may not replace the champion of {model}. Ask somebody who may act for the model's owner.")
