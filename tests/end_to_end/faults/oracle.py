"""The oracle: compares what a user dropped with what storage, the registry and the published events say came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from local_azure.stack.webhook_receiver import WebhookReceiver
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.evidence import FINAL, Evidence, Version
from tests.end_to_end.faults.job_killer import KIND
from tests.end_to_end.faults.user import User, content_of

_EVENT_OF = {
    "submitted": "JobSubmitted",
    "rejected": "DropRejected",
    "completed": "JobCompleted",
    "failed": "JobFailed",
    "canceled": "JobCanceled",
    "superseded": "JobCanceled",
    "registered": "ModelRegistered",
    "not_registered": "ModelNotRegistered",
}
"""The event that each status publishes; a drop that is superseded without a job publishes none."""


@define
class Recorder(WebhookReceiver):
    """A subscriber that keeps every delivery, repeats too."""

    deliveries: list[Mapping[str, Any]] = field(factory=list, init=False)

    def keep(self, events: list[Mapping[str, Any]]) -> None:
        WebhookReceiver.keep(self, events)
        self.deliveries += events

    def of(self, experiment: str) -> list[Mapping[str, Any]]:
        return [event for event in list(self.deliveries) if event["data"].get("experiment") == experiment]


@frozen(kw_only=True)
class Verdict:
    """What came of one experiment; `lost` and `doubled` and `wrong` are in words, and empty where all is well."""

    drops: int
    jobs: int
    models: int
    copies: int
    events: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


@define(kw_only=True)
class Oracle:
    """Judges experiments."""

    evidence: Evidence
    recorder: Recorder
    board: Board

    def judge(self, user: User) -> Verdict:
        case = _Case(
            user=user,
            receipts=self.evidence.receipts(user.experiment),
            jobs=self.evidence.jobs(user.experiment),
            versions=self.evidence.versions(user.experiment),
            events=self.recorder.of(user.experiment),
            evidence=self.evidence,
            killed=self.board.count(user.schedule.seed, KIND),
        )
        case.look()
        return Verdict(
            drops=len(user.dropped),
            jobs=len(case.jobs),
            models=len(case.versions),
            copies=case.copies,
            events=len({event["id"] for event in case.events}),
            lost=tuple(case.lost),
            doubled=tuple(case.doubled),
            wrong=tuple(case.wrong),
        )


@define(kw_only=True)
class _Case:
    user: User
    receipts: Sequence[dict[str, Any]]
    jobs: Sequence[str]
    versions: Sequence[Version]
    events: Sequence[Mapping[str, Any]]
    evidence: Evidence
    killed: int
    """How many processes of jobs were killed: each lets a receipt go on as its next attempt."""
    copies: int = field(default=0, init=False)
    lost: list[str] = field(factory=list, init=False)
    doubled: list[str] = field(factory=list, init=False)
    wrong: list[str] = field(factory=list, init=False)

    def look(self) -> None:
        self._drops()
        for receipt in self.receipts:
            self._receipt(receipt)
        self._jobs()
        self._models()
        self._events()
        self._pointers()
        self._champion()

    def _drops(self) -> None:
        """Each content that lay at rest has one receipt with an effect."""
        worked = Counter(content_of(one) for one in self.receipts if one["attempts"])
        for wanted in self.user.at_rest:
            if not worked[wanted]:
                self.lost.append(f"no job for the drop {wanted}")
        for content, count in worked.items():
            if content is not None and content not in self.user.dropped:
                self.wrong.append(f"a receipt of {content}, which nobody dropped")
            if content is not None and count > 1:
                self.doubled.append(f"{count} receipts with jobs for the drop {content}")
        if self.user.at_rest:
            self._outcome(self.user.at_rest[-1])

    def _outcome(self, content: str) -> None:
        """The latest content came to what its user may expect."""
        allowed = {"registered"}
        if self.user.expects_failure:
            allowed = {"failed"}
        elif self.user.canceled and not self.user.retried:
            allowed = {"canceled"}
        elif self.user.canceled or self.user.perhaps_canceled:
            allowed = {"registered", "canceled"}
        found = [one["status"] for one in self.receipts if content_of(one) == content and one["attempts"]]
        if found and found[-1] not in allowed:
            self.lost.append(f"the latest drop is {found[-1]}, not {' or '.join(sorted(allowed))}")

    def _receipt(self, receipt: Mapping[str, Any]) -> None:
        name = f"receipt {receipt['drop'][:8]}"
        if receipt["status"] not in FINAL and (receipt["attempts"] or receipt["status"] != "waiting"):
            self.wrong.append(f"{name} is {receipt['status']}, which is no end")
        if receipt["outbox"]:
            self.lost.append(f"{name} has events that were never sent")
        content = content_of(receipt)
        most = (self.user.times[content] if content else 1) + self.user.retried + self.killed
        if len(receipt["attempts"]) > most:
            self.doubled.append(f"{name} has {len(receipt['attempts'])} attempts, and {most} were asked for")
        registered = sum(change["status"] == "registered" for change in receipt["history"])
        if registered > 1:
            self.doubled.append(f"{name} was registered {registered} times")
        if receipt["status"] == "registered":
            self._registered(name, receipt, content)

    def _registered(self, name: str, receipt: Mapping[str, Any], content: str | None) -> None:
        """A receipt that says registered is true: the version is there, and the copy is what the script wrote."""
        model, job = receipt["model"], receipt["attempts"][-1]["job"]
        if not any(version.job == job and version.number == str(model["version"]) for version in self.versions):
            self.wrong.append(f"{name} says version {model['version']} of {job}, which the registry has not")
        folder = f"{self.user.experiment}/{model['version']}"
        manifest = self.evidence.document("models", f"{folder}/manifest.json")
        if manifest is None:
            self.lost.append(f"{name}: {folder}/manifest.json is not there")
            return
        expected = {"model.npz": self.user.dropped.get(content or "", b""), "notes.txt": b"made"}
        listed = {file["path"] for file in manifest["files"]}
        if listed != set(expected):
            self.wrong.append(f"{name}: the manifest lists {sorted(listed)}")
        for path, wanted in expected.items():
            copy = self.evidence.read("models", f"{folder}/{path}")
            self.copies += copy == wanted
            if copy != wanted:
                self.lost.append(f"{name}: the copy {folder}/{path} is {copy!r} and was to be {wanted!r}")

    def _jobs(self) -> None:
        """The training service has the jobs that receipts speak of, each once, and no other."""
        told = {attempt["job"] for receipt in self.receipts for attempt in receipt["attempts"]}
        for job, count in Counter(self.jobs).items():
            if count > 1:
                self.doubled.append(f"{count} runs of the job {job}")
            if job not in told:
                self.wrong.append(f"the job {job}, of which no receipt speaks")
        for receipt in self.receipts:
            for attempt in receipt["attempts"]:
                if attempt["job"] not in self.jobs and _ran(receipt, attempt):
                    self.lost.append(f"the job {attempt['job']} was never made")

    def _models(self) -> None:
        """Each job has one version at most, and only jobs whose receipt says so."""
        registered = {
            one["attempts"][-1]["job"] for one in self.receipts if one["attempts"] and one["status"] == "registered"
        }
        for job, count in Counter(version.job for version in self.versions).items():
            if count > 1:
                self.doubled.append(f"{count} versions of the job {job}")
            if job not in registered:
                self.wrong.append(f"a version of the job {job}, whose receipt does not say registered")

    def _events(self) -> None:
        """Each state's event was published, under one id, and nothing else was."""
        expected = {key for receipt in self.receipts for key in _expected(receipt)}
        seen: dict[tuple[str, int, str], set[str]] = {}
        for event in self.events:
            data, kind = event["data"], str(event["type"]).removeprefix("Kedja.")
            seen.setdefault((data["drop"], int(data.get("attempt") or 0), kind), set()).add(str(event["id"]))
        for drop, attempt, kind in sorted(expected - seen.keys()):
            self.lost.append(f"the event {kind} of {drop[:8]}, attempt {attempt}")
        for drop, attempt, kind in sorted(seen.keys() - expected):
            self.wrong.append(f"the event {kind} of {drop[:8]}, attempt {attempt}, whose receipt has no such state")
        states = Counter(key for receipt in self.receipts for key in _expected(receipt))
        for (drop, attempt, kind), ids in seen.items():
            # A job that was taken for gone, and then seen again, may end a second time.
            if len(ids) > max(1, states[drop, attempt, kind]):
                self.doubled.append(f"the event {kind} of {drop[:8]} under {len(ids)} ids")

    def _pointers(self) -> None:
        """`latest.json` points to the newest drop, and nothing is left open."""
        latest = self.evidence.document("receipts", f"{self.user.experiment}/latest.json")
        drops = [one["drop"] for one in self.receipts if content_of(one) == self.user.at_rest[-1]]
        if latest is None or (drops and latest["drop"] not in drops and self.user.times[self.user.at_rest[-1]] == 1):
            self.wrong.append(f"latest.json points to {latest and latest['drop'][:8]}")
        for mark in self.evidence.open_marks(self.user.experiment):
            self.wrong.append(f"{mark} is still there")

    def _champion(self) -> None:
        """The champion is the one that the user went back to."""
        if self.user.champion is None:
            return
        champion = self.evidence.document("models", f"{self.user.experiment}/champion.json") or {}
        versions = [
            str(one["model"]["version"])
            for one in self.receipts
            if content_of(one) == self.user.champion and one.get("model")
        ]
        if champion.get("version") not in versions:
            self.wrong.append(f"the champion is version {champion.get('version')}, and was to be one of {versions}")


def _ran(receipt: Mapping[str, Any], attempt: Mapping[str, Any]) -> bool:
    """Return whether the receipt says that the attempt's job came to run."""
    is_last = attempt["job"] == receipt["attempts"][-1]["job"]
    return attempt.get("started") is not None or (is_last and receipt["status"] in ("registered", "failed"))


def _expected(receipt: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Yield (drop, attempt, type) of the events that a receipt's history published."""
    attempt = 0
    for change in receipt["history"]:
        status = change["status"]
        attempt += status == "submitting"
        kind = _EVENT_OF.get(status)
        if kind and (attempt or status != "superseded"):
            yield receipt["drop"], attempt, kind
