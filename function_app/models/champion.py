"""The champion: which version of a model consumers are to use.

By itself it only moves forward, whatever order jobs end in. Somebody may promote any version, or roll back; what they
set stays until it is set again, or until a model of a newer drop than any champion before passes its gate. If the model
belongs to another experiment, it has to pass the gate of that one's `job.yaml` as well.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.backoff import lost_race
from function_app.domain.document import Document
from function_app.errors import NotFound, PreconditionFailed, Refused
from function_app.jobspec.kedja_block import When
from function_app.models.gate import OwnersGate, refusal
from function_app.models.job_result import METRICS_CARRIED
from function_app.ports.storage import Blobs

HISTORY = 50
"""How many champions before the present one are remembered."""
REPEATED_FOR = timedelta(days=1)
"""How long a request that changed the champion is recognized if it is sent again: as long as its answer is kept."""


class Tenure(Document):
    """A time in which a version was the champion. `withdrawn` where somebody rolled back from it.

    Of its metrics it keeps the first, the gate's where there is one: the version's `manifest.json` has all.
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
    """A version that somebody wants to be the champion. `sequence` as the champion has it."""

    version: str
    sequence: int
    receipt: str
    metrics: Mapping[str, float] = {}
    metrics_total: int | None = None


class Intervention(Document):
    """Somebody's wish for another champion. `request` identifies the request that it came with."""

    by: str
    reason: str | None = None
    at: datetime
    request: str | None = None


class Champion(Document):
    """`models/<model>/champion.json`.

    `sequence` is the order of its drop's submission among others, or the highest of any champion before, where that is
    higher: what was set by hand (`by`) gives way to newer drops alone. `metrics_total` is how many metrics the version
    has, of which a hundred stand here at most.

    `owner` is the experiment that the model belongs to, and `gate` what that asks of the versions of others; both are
    as the owner's last champion had them. Without an owner, no champion has said so yet. `request` identifies the
    request that set a champion by hand, so that a repeat of it changes nothing.
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
    history: tuple[Tenure, ...] = ()

    @property
    def experiment(self) -> str:
        """The experiment that registered the version."""
        return self.receipt.partition("/")[0]

    def came_of(self, wish: Intervention) -> bool:
        """Return whether the same request has had its effect already."""
        known = [(self.request, self.since), *((one.request, one.since) for one in self.history)]
        return wish.request is not None and any(
            request == wish.request and wish.at - since < REPEATED_FOR for request, since in known
        )

    @classmethod
    def chosen(cls, model: str, candidate: Candidate, wish: Intervention) -> Self:
        """Return the champion that somebody wants."""
        return cls(model=model, since=wish.at, by=wish.by, reason=wish.reason, request=wish.request, **dict(candidate))

    def following(self, before: Self | None, *, withdrawn: bool = False) -> Self:
        """Return this champion with the one before it in its history."""
        if before is None:
            return self
        first = dict(islice(before.metrics.items(), 1))
        tenure = Tenure.model_validate({**dict(before), "metrics": first, "until": self.since, "withdrawn": withdrawn})
        terms = {"owner": before.owner, "gate": before.gate} if self.owner is None else {}
        return self.model_copy(
            update={
                **terms,
                "sequence": max(self.sequence, before.sequence),
                "history": (*before.history, tenure)[-HISTORY:],
            }
        )

    def before(self) -> Iterator[Tenure]:
        """Yield the tenures that a rollback may go back to, the latest first."""
        passed = {self.version}
        for tenure in reversed(self.history):
            if tenure.version not in passed and not tenure.withdrawn:
                yield tenure
            passed.add(tenure.version)

    @classmethod
    def read(cls, blobs: Blobs, model: str) -> tuple[Self, str] | None:
        """Return a model's champion and its ETag, or None where there is none. Raise Unreadable for a broken one."""
        return cls.found(blobs, naming.MODELS, naming.champion_blob(model))


@frozen
class Champions:
    """The champions of an account."""

    blobs: Blobs
    sleep: Callable[[float], None] = time.sleep

    def find(self, model: str) -> Champion | None:
        found = Champion.read(self.blobs, model)
        return found[0] if found else None

    def challenge(
        self, challenger: Champion, gate: When | None, *, measured: Mapping[str, float] | None = None
    ) -> bool:
        """Make the challenger the champion unless the present one is newer, or better where the gate asks for that.

        A challenger without an owner comes of another experiment than the model's: the owner's gate applies to it too.
        `measured` are all its metrics; by default those that it carries. Return whether it is the champion now.
        """
        metrics = challenger.metrics if measured is None else measured

        def succeeding(present: Champion | None) -> Champion | None:
            if present is None:
                return challenger
            if present.version == challenger.version:
                return None
            newest = present.sequence - (present.by is None)  # what somebody set gives way to newer drops alone
            if challenger.sequence <= newest or refusal(gate, metrics, present.metrics):
                return None
            if challenger.owner is not None or present.gate is None:
                return challenger.following(present)
            if refusal(present.gate, metrics, present.metrics):
                return None
            return _with_metric(challenger, present.gate.metric, metrics).following(present)

        return self._change(challenger.model, succeeding).version == challenger.version

    def mark(self, model: str, owner: str, gate: OwnersGate | None) -> Champion:
        """Write down who owns the model of a champion that does not say so yet; return the champion as it is then."""

        def marked(present: Champion | None) -> Champion | None:
            if present is None or present.owner is not None:
                return None
            return present.model_copy(update={"owner": owner, "gate": gate})

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
        """Make a version the champion, whatever the gate says; nothing changes where it is one already.

        Nor does anything change if the same request had its effect before, whoever changed the champion since.

        Raises:
            NotFound: where its files are not there any more.
            Refused: where the present champion, or its absence, may not be replaced.
        """

        def succeeding(present: Champion | None) -> Champion | None:
            _check_replaceable(model, present, may_replace)
            if present is not None and present.version == candidate.version:
                return None
            if present is not None and present.came_of(wish):
                return None
            # After the champion was read: whoever deletes a version writes the champion anew behind that.
            if not is_there(candidate.version):
                raise NotFound(f"The version {candidate.version} of the model {model} has no files any more.")
            return Champion.chosen(model, candidate, wish).following(present)

        return self._change(model, succeeding)

    def roll_back(
        self,
        model: str,
        candidate_of: Callable[[str], Candidate | None],
        *,
        may_replace: Callable[[Champion], bool],
        wish: Intervention,
    ) -> Champion:
        """Make the champion before the present one the champion again, of those that are candidates still.

        If the same request had its effect before, nothing changes: the present champion is returned.

        Raises:
            Refused: where there is none, the present one may not be replaced, or somebody changed it meanwhile.
        """
        nothing = Refused(f"There is no champion of {model} before the present one: nothing to roll back to.")
        found = Champion.read(self.blobs, model)
        if found is None:
            raise nothing
        present, etag = found
        _check_replaceable(model, present, may_replace)
        if present.came_of(wish):
            return present
        candidate = next(filter(None, (candidate_of(one.version) for one in present.before())), None)
        if candidate is None:
            raise nothing
        again = Champion.chosen(model, candidate, wish).following(present, withdrawn=True)
        try:
            self.blobs.replace(naming.MODELS, naming.champion_blob(model), again.encoded(), etag=etag)
        except PreconditionFailed as error:  # to go on would be to go back two
            now = self.find(model)
            if now is not None and now.came_of(wish):  # the answer to this very write was lost
                return now
            raise Refused(f"The champion of {model} changed at the same moment. Look at it, and try again.") from error
        return again

    def _change(self, model: str, edit: Callable[[Champion | None], Champion | None]) -> Champion:
        """Write what `edit` makes of the champion as it is now; return who it is then. None changes nothing."""
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
                    self.blobs.replace(naming.MODELS, name, changed.encoded(), etag=found[1])
                else:
                    self.blobs.create(naming.MODELS, name, changed.encoded())
            except PreconditionFailed:  # someone else was faster, or holds a lease, until its end where it was killed
                self.sleep(lost_race(tries, name))
                tries += 1
                continue
            return changed


def _with_metric(challenger: Champion, name: str, measured: Mapping[str, float]) -> Champion:
    """Return the challenger with a metric that the next one is compared by, first, whatever else it carries."""
    metrics = {name: measured[name], **challenger.metrics}
    return challenger.model_copy(update={"metrics": dict(islice(metrics.items(), METRICS_CARRIED))})


def _check_replaceable[C: (Champion, Champion | None)](
    model: str, champion: C, may_replace: Callable[[C], bool]
) -> None:
    if not may_replace(champion):
        raise Refused(
            f"The champion of {model} is not yours to replace. Ask somebody who may act for the model's owner."
        )
