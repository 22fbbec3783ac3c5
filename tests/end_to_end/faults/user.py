"""The user of one experiment: drops files, cancels, retries, and waits, as the schedule's plot says."""

import base64
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
from attrs import define, field
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from tests.end_to_end.faults.door import USER
from tests.end_to_end.faults.evidence import FINAL, Evidence
from tests.end_to_end.faults.schedule import Plot, Schedule

POLL = 4.0  # seconds
RETRIES = 4
"""How often the user asks for a failed job once more; each schedule has fewer kills than that."""

SCRIPT = b'cat "$KEDJA_DATA"/*.bin > outputs/model.npz\nprintf made > outputs/notes.txt\n'
FAILING = b"exit 3\n"
SPEC = b"command: bash make.sh\n"
SLOW_SPEC = b"command: sleep 4; bash make.sh\n"
SLOWER_SPEC = b"command: sleep 15; bash make.sh\n"


class Stuck(Exception):
    """What the user waits for does not happen."""


@define(kw_only=True)
class User:
    """Plays a schedule, and remembers what was dropped and asked for."""

    schedule: Schedule
    storage: BlobServiceClient
    evidence: Evidence
    hosts: Iterable[str]
    patience: float
    interrupted: threading.Event = field(factory=threading.Event)
    at_rest: list[str] = field(factory=list, init=False)
    """Content-MD5 of what the folder was left to settle with: each has to have its effect."""
    dropped: dict[str, bytes] = field(factory=dict, init=False)
    """Every content that ever lay there, by its Content-MD5."""
    times: Counter[str] = field(factory=Counter, init=False)
    """How often each content was dropped."""
    retried: int = field(default=0, init=False)
    canceled: int = field(default=0, init=False)
    perhaps_canceled: bool = field(default=False, init=False)
    """No answer came to a cancel: it may have been done or not."""
    champion: str | None = field(default=None, init=False)
    """The content whose model the user made the champion."""
    expects_failure: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    @property
    def experiment(self) -> str:
        return self.schedule.experiment

    def play(self) -> None:
        """Do what the plot says, and wait until everything is at rest. Raise Stuck where it does not come to that."""
        plots: Mapping[Plot, Callable[[], None]] = {
            Plot.ONE: self._one,
            Plot.AGAIN: self._again,
            Plot.AGAIN_AT_ONCE: self._again_at_once,
            Plot.NEWER: self._newer,
            Plot.NEWER_AT_ONCE: self._newer_at_once,
            Plot.BACK: self._back,
            Plot.CANCELED: self._canceled,
            Plot.CANCELED_RUNNING: self._canceled_running,
            Plot.CANCELED_AND_RETRIED: self._canceled_and_retried,
            Plot.FAILING: self._failing,
            Plot.LATE_SCRIPT: self._late_script,
            Plot.SNAPSHOT_LOST: self._snapshot_lost,
            Plot.SNAPSHOT_DAMAGED: self._snapshot_damaged,
            Plot.ROLLED_BACK: self._rolled_back,
        }
        plots[self.schedule.plot]()
        self.rest()
        self.ended = True

    def _one(self) -> None:
        self._drop("a", whole=True)

    def _again(self) -> None:
        self._drop("a", whole=True)
        self.rest()
        self._drop_again("a")

    def _again_at_once(self) -> None:
        self._drop("a", whole=True, spec=SLOW_SPEC)
        self._receipt("a")
        self._drop_again("a")

    def _newer(self) -> None:
        self._drop("a", whole=True)
        self._receipt("a")
        time.sleep(1.1)
        self._drop("b")

    def _newer_at_once(self) -> None:
        self._drop("a", whole=True)
        self.at_rest.clear()
        self._drop("b")

    def _back(self) -> None:
        self._drop("a", whole=True)
        self.rest()
        time.sleep(1.1)
        self._drop("b")
        self.rest()
        self._drop_again("a")

    def _canceled(self) -> None:
        self._drop("a", whole=True, spec=SLOW_SPEC)
        self._cancel(self._receipt("a"))

    def _canceled_running(self) -> None:
        self._drop("a", whole=True, spec=SLOWER_SPEC)
        self._until("the job to run", lambda: self._receipt("a")["status"] in {"running", "completed", *FINAL})
        self._cancel(self._receipt("a"))

    def _canceled_and_retried(self) -> None:
        self._canceled()
        self.rest()
        self._retry(self._receipt("a"))

    def _failing(self) -> None:
        self.expects_failure = True
        self._drop("a", whole=True, script=FAILING)
        self.rest()
        self._retry(self._receipt("a"))

    def _late_script(self) -> None:
        self._drop("a")
        self._receipt("a")
        time.sleep(1.1)
        self._upload("scripts", "job.yaml", SPEC)
        self._upload("scripts", "make.sh", SCRIPT)

    def _snapshot_lost(self) -> None:
        self._meddle(lambda name: self.evidence.delete("snapshots", name))

    def _snapshot_damaged(self) -> None:
        self._meddle(
            lambda name: self.storage.get_blob_client("snapshots", name).upload_blob(
                b"{", overwrite=True, user_agent=USER
            )
        )

    def _meddle(self, damage: Callable[[str], object]) -> None:
        """Damage what a job was made of while it runs. If it has to be made again for a fault, drop the files again."""
        self._drop("a", whole=True, spec=SLOWER_SPEC)
        self._until("the job to run", lambda: self._receipt("a")["status"] in {"running", "completed", *FINAL})
        damage(f"{self.experiment}/{self._receipt('a')['drop']}/job.json")
        self._until("everything to come to rest", self._is_at_rest)
        if self._receipt("a")["status"] == "failed":
            self._drop_again("a")

    def _rolled_back(self) -> None:
        for letter in "abc":
            self._drop(letter, whole=letter == "a")
            self.rest()
            time.sleep(1.1)
        champion = f"/api/models/{self.experiment}/champion/rollback"
        key = {"Idempotency-Key": f'"{self.experiment}"'}
        # What the champion is changed by is the request, not how often it arrives.
        self._until("the rollback", lambda: self._ask(champion, headers=key) is True)
        self._ask(champion, headers=key)
        self._ask(champion, headers=key)
        self.champion = md5(f"{self.schedule.seed} b\n".encode())

    # --- what a user can do

    def _drop_again(self, letter: str) -> None:
        """Drop content that was there before, and wait until a receipt knows of it."""
        before = self._newest()
        time.sleep(1.1)  # storage tells times in seconds
        self._drop(letter)
        self._until("the drop to be seen", lambda: self._newest() > before)

    def _newest(self) -> str:
        return max((one["newest_upload"] for one in self.evidence.receipts(self.experiment)), default="")

    def _drop(self, letter: str, *, whole: bool = False, spec: bytes = SPEC, script: bytes = SCRIPT) -> None:
        if whole:
            self._upload("scripts", "job.yaml", spec)
            self._upload("scripts", "make.sh", script)
        content = f"{self.schedule.seed} {letter}\n".encode()
        self._upload("data", "part.bin", content)
        self.times[md5(content)] += 1
        self.dropped[md5(content)] = content
        if md5(content) in self.at_rest:
            self.at_rest.remove(md5(content))  # it is the latest again
        self.at_rest.append(md5(content))

    def _upload(self, container: str, name: str, content: bytes) -> None:
        blob = self.storage.get_blob_client(container, f"{self.experiment}/{name}")
        self._until(f"upload {name}", lambda: blob.upload_blob(content, overwrite=True, user_agent=USER) is not None)

    def _receipt(self, letter: str) -> dict[str, Any]:
        wanted = md5(f"{self.schedule.seed} {letter}\n".encode())
        found: dict[str, Any] = {}

        def there() -> bool:
            for receipt in self.evidence.receipts(self.experiment):
                if content_of(receipt) == wanted:
                    found.update(receipt)
            return bool(found)

        self._until(f"a receipt of {letter}", there)
        return found

    def _cancel(self, receipt: dict[str, Any]) -> None:
        """Cancel the job; where it had ended before, there was nothing to cancel."""
        if not receipt["attempts"]:
            return
        is_done = self._ask(f"/api/jobs/{receipt['attempts'][-1]['job']}/cancel")
        self.canceled += is_done is True
        self.perhaps_canceled |= is_done is None

    def _retry(self, receipt: dict[str, Any]) -> None:
        current = self.evidence.document("receipts", f"{self.experiment}/{receipt['drop']}.json") or receipt
        attempts = current["attempts"]
        if attempts and current["status"] in ("failed", "canceled"):
            self.retried += 1  # also where no answer comes: it may have been done
            self._ask(f"/api/jobs/{attempts[-1]['job']}/retry")

    def _ask(self, path: str, headers: Mapping[str, str] | None = None) -> bool | None:
        """Ask a host for something; return whether it was done, None where that cannot be known."""
        for host in self.hosts:
            try:
                answer = httpx.post(f"{host}{path}", headers=headers, timeout=60, trust_env=False)
            except httpx.ConnectError:
                continue  # it is down: the other one
            except httpx.TransportError:
                return None
            return None if answer.is_server_error else answer.is_success
        return False

    def rest(self) -> None:
        """Wait until nothing is to happen any more. Where faults made a job fail, ask for it once more."""
        self._until("everything to come to rest", self._is_at_rest)
        for _ in range(RETRIES):
            latest = [one for one in self.evidence.receipts(self.experiment) if content_of(one) == self.at_rest[-1]]
            if self.expects_failure or not latest or latest[-1]["status"] != "failed":
                return
            self._retry(latest[-1])
            self._until("everything to come to rest", self._is_at_rest)

    def _is_at_rest(self) -> bool:
        if any(self.evidence.open_marks(self.experiment)):
            return False
        receipts = self.evidence.receipts(self.experiment)
        has_all = {content_of(one) for one in receipts if not _waits(one)} >= {self.at_rest[-1]}
        final = all(one["status"] in FINAL and not one["outbox"] for one in receipts)
        return has_all and final and not any(self.evidence.open_marks(self.experiment))

    def _until(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                if is_so():
                    return
            except (AzureError, httpx.HTTPError) as error:
                problem = f" ({error!r})"
            else:
                problem = ""
            if time.monotonic() > deadline:
                raise Stuck(f"waited {self.patience:.0f} s for {what}{problem}")
            if self.interrupted.wait(POLL):
                raise Stuck(f"was interrupted as it waited for {what}")


def _waits(receipt: Mapping[str, Any]) -> bool:
    return bool(receipt["status"] in ("waiting", "superseded") and not receipt["attempts"])


def md5(content: bytes) -> str:
    """Return the Content-MD5 of a file, as storage and receipts write it."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def content_of(receipt: Mapping[str, Any]) -> str | None:
    """Return the Content-MD5 of the data that a receipt is about."""
    files = receipt["received"]["data_files"]
    return files[0]["md5"] if files else None
