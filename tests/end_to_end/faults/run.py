"""A run: schedules played on one machine, some at a time, and judged when everything is at rest."""

import itertools
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
from attrs import define, field, frozen
from azure.storage.blob import BlobServiceClient

from local_azure.stack.supervisor import ROOT
from tests.end_to_end.faults.board import Board
from tests.end_to_end.faults.evidence import Evidence
from tests.end_to_end.faults.machine import Machine
from tests.end_to_end.faults.oracle import Oracle, Recorder, Verdict
from tests.end_to_end.faults.pace import SHORT, Pace
from tests.end_to_end.faults.schedule import Schedule
from tests.end_to_end.faults.user import Stuck, User
from tests.end_to_end.stacks import TIMERS

PATIENCE = 600.0
"""Seconds that a schedule may take to come to rest before it is stuck."""
AT_ONCE = 12
RECONCILE_EVERY = 15.0


@frozen(kw_only=True)
class Outcome:
    """What came of one schedule. `stuck` says what its user waited for in vain."""

    schedule: Schedule
    verdict: Verdict
    stuck: str | None
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.stuck is None and self.verdict.is_good

    def problems(self) -> list[str]:
        verdict = self.verdict
        stuck = [f"lost: {self.stuck}"] if self.stuck else []
        named = (("lost", verdict.lost), ("doubled", verdict.doubled), ("wrong", verdict.wrong))
        return stuck + [f"{kind}: {text}" for kind, texts in named for text in texts]


@define(kw_only=True)
class Harness:
    """A machine, and the users on it."""

    machine: Machine
    board: Board
    evidence: Evidence
    recorder: Recorder
    storage: BlobServiceClient
    patience: float
    reconciles: bool
    _done: threading.Event = field(factory=threading.Event, init=False)

    def run(self, schedules: Sequence[Schedule], *, at_once: int = AT_ONCE, seconds: float = math.inf) -> list[Outcome]:
        """Run the schedules, some at a time; return what came of each, judged when everything is at rest.

        None begins after so many seconds.
        """
        until = time.monotonic() + seconds

        def play(schedule: Schedule) -> list[tuple[User, str | None, float]]:
            return [self._play(schedule)] if time.monotonic() < until else []

        reconciling = threading.Thread(target=self._reconcile, daemon=True)
        reconciling.start()
        try:
            with ThreadPoolExecutor(at_once) as pool:
                try:
                    played = list(itertools.chain.from_iterable(pool.map(play, schedules)))
                except KeyboardInterrupt:
                    self._done.set()
                    pool.shutdown(cancel_futures=True)
                    raise
            self._calm()
        finally:
            self._done.set()
            reconciling.join()
        oracle = Oracle(evidence=self.evidence, recorder=self.recorder, board=self.board)
        return [
            Outcome(schedule=user.schedule, verdict=oracle.judge(user), stuck=stuck, seconds=lasted)
            for user, stuck, lasted in played
        ]

    def _play(self, schedule: Schedule) -> tuple[User, str | None, float]:
        self.board.add(schedule)
        user = User(
            schedule=schedule,
            storage=self.storage,
            evidence=self.evidence,
            hosts=self.machine.parts.host_urls,
            patience=self.patience,
            interrupted=self._done,
        )
        began, stuck = time.monotonic(), None
        try:
            user.play()
        except Stuck as reason:
            stuck = str(reason)
        if stuck is None and self.reconciles:
            # The folder of an experiment that is over goes, or each of so many rounds would list all of them.
            for container in ("data", "scripts"):
                for name in self.evidence.names(container, f"{schedule.experiment}/"):
                    self.evidence.delete(container, name)
        return user, stuck, time.monotonic() - began

    def _reconcile(self) -> None:
        """Poke the timers that are due every five minutes, on the two hosts in turn."""
        turn = 0
        while self.reconciles and not self._done.wait(RECONCILE_EVERY):
            turn += 1
            host = self.machine.parts.host_urls[turn % len(self.machine.parts.host_urls)]
            try:
                for timer in TIMERS:
                    httpx.post(f"{host}/admin/functions/{timer}", json={"input": ""}, timeout=30, trust_env=False)
            except httpx.TransportError:
                continue  # it was killed; the other one is next

    def _calm(self) -> None:
        """Wait until no message is left, for two rounds of reconcile."""
        deadline = time.monotonic() + self.patience
        since = time.monotonic()
        while time.monotonic() - since < 2 * RECONCILE_EVERY + 2 and time.monotonic() < deadline:
            if self.evidence.waiting_messages():
                since = time.monotonic()
            self._done.wait(0.5)


def run(
    schedules: Sequence[Schedule],
    state: Path,
    *,
    source: Path = ROOT,
    board: Board | None = None,
    at_once: int = AT_ONCE,
    pace: Pace = SHORT,
    patience: float = PATIENCE,
    seconds: float = math.inf,
) -> list[Outcome]:
    """Start a machine, run the schedules on it, and stop it. At the real pace, only the hosts' own timers reconcile."""
    board = board or Board()
    with ExitStack() as stack:
        machine = stack.enter_context(Machine.running(state, board, source=source, pace=pace))
        recorder = stack.enter_context(Recorder.running())
        storage = stack.enter_context(
            BlobServiceClient.from_connection_string(machine.stack.account.connection_string, retry_total=20)
        )
        evidence = Evidence(machine.parts.behind, machine.parts.registry_url)
        stack.callback(evidence.close)
        subscribe(machine, recorder)
        harness = Harness(
            machine=machine,
            board=board,
            evidence=evidence,
            recorder=recorder,
            storage=storage,
            patience=patience,
            reconciles=pace is SHORT,
        )
        return harness.run(schedules, at_once=at_once, seconds=seconds)


def subscribe(machine: Machine, recorder: Recorder) -> None:
    """Have the published events sent to the recorder."""
    subscription = {
        "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": recorder.url}},
        "eventDeliverySchema": "CloudEventSchemaV1_0",
    }
    address = f"http://127.0.0.1:{machine.parts.inner.event_grid}/topics/kedja/subscriptions/oracle"
    httpx.put(address, json=subscription, timeout=30, trust_env=False).raise_for_status()
