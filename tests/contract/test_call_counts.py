"""How many calls to storage and to the training service each step costs: counted, never timed.

`docs/scale.md` reckons with these numbers, and its table is held to them here. The port's calls are counted in memory,
where there may be 10,000 files; over Azurite the requests behind them are counted at the client's transport.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, field
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from function_app.azure.storage import AzureBlobs, AzureQueues
from function_app.container import assemble
from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Status
from function_app.operations.service import Kedja
from function_app.ports.storage import MAX_LIST_PAGE, Blobs, Queues, iter_pages
from function_app.ports.training_service import JobStatus
from function_app.settings import Settings
from tests.contract.counted_world import Counted, CountedWorld, Counts, less, row
from tests.profiles import examples
from tests.unit.memory import MemoryBlobs, VirtualClock
from tests.unit.memory_training import MemoryPublisher, MemoryTraining
from tests.unit.simulation import SCRIPT, blob_created, encoded, run_status_changed

DOCS = Path(__file__).parents[2] / "docs" / "scale.md"


def a_first_event() -> Counts:
    return CountedWorld.make().event("data/digits/a.npz")


def a_further_event() -> Counts:
    counted = CountedWorld.make()
    counted.event("data/digits/a.npz")
    return counted.event("data/digits/b.npz")


def a_look_that_is_too_early() -> Counts:
    counted = CountedWorld.make()
    counted.drop()
    counted.world.clock.advance(9)
    counted.world.blobs.upload(naming.DATA, "digits/late.npz", b"x")
    return counted.cost(lambda: counted.world.go_on(2))


def settled(*, data: int = 1, scripts: int = 1) -> Counts:
    counted = CountedWorld.make()
    counted.drop(data=data, scripts=scripts)
    return counted.settle()


def settled_again() -> Counts:
    """The same files once more, after their model was registered."""
    counted = CountedWorld.make()
    counted.register(1)
    counted.world.clock.advance(60)
    counted.drop()
    return counted.settle()


def looked(status: JobStatus) -> Counts:
    counted = CountedWorld.make()
    return counted.look(counted.submitted(), status)


def reconciled(*, open_receipts: int = 0, experiments: int = 0) -> Counts:
    counted = CountedWorld.make()
    for number in range(open_receipts):
        counted.look(counted.submitted(folder=f"open{number}"), JobStatus.RUNNING)
        for container in (naming.DATA, naming.SCRIPTS):  # so that the walk costs nothing
            for name in counted.world.blobs.names_in(container):
                del counted.world.blobs.stored[container, name]
    for number in range(experiments):
        counted.world.blobs.upload(naming.DATA, f"e{number}/a.tmp", b"")
    return counted.reconcile()


def an_experiment() -> Counts:
    """What the walk costs for each experiment that has files in both containers and is at rest."""

    def at_rest(number: int) -> Counts:
        counted = CountedWorld.make()
        for experiment in range(number):
            job = counted.submitted(folder=f"e{experiment}")
            counted.world.training.write_outputs(job, {"model.npz": b"w"}, metrics={}, exit_code=0)
            counted.look(job, JobStatus.COMPLETED)
        return counted.reconcile()

    return less(at_rest(2), at_rest(1))


STEPS: Mapping[str, Callable[[], Counts]] = {
    "first event of a folder": a_first_event,
    "each further event": a_further_event,
    "look that comes too early": a_look_that_is_too_early,
    "settle and submit, 1 script, up to 5,000 data files": settled,
    "each further 5,000 data files": lambda: less(settled(data=MAX_LIST_PAGE + 1), settled()),
    "each further script": lambda: less(settled(scripts=3), settled(scripts=2)),
    "same files dropped again": settled_again,
    "look at a job that starts running": lambda: looked(JobStatus.RUNNING),
    "look at a job that failed": lambda: looked(JobStatus.FAILED),
    "complete, register and copy 1 file": lambda: CountedWorld.make().register(1),
    "each further file of the model": lambda: less(CountedWorld.make().register(3), CountedWorld.make().register(2)),
    "a round of the three timers, nothing open": reconciled,
    "each open receipt": lambda: less(reconciled(open_receipts=3), reconciled(open_receipts=2)),
    "each experiment at rest": an_experiment,
}
"""What the table in docs/scale.md has a line for."""


def table() -> Iterator[str]:
    for step, count in STEPS.items():
        yield f"| {step} | {' | '.join(map(str, row(count())))} |"


class TestEvents:
    def test_ten_thousand_cost_one_conditional_write_each_and_one_message_in_all(self) -> None:
        counted = CountedWorld.make()
        costs = [counted.event(f"data/digits/{number}.npz") for number in range(10_000)]
        once = {"blobs.create": 1, "conditional": 1}
        assert costs[0] == once | {"queues.send": 1}
        assert all(cost == once for cost in costs[1:])

    def test_of_another_account_or_of_no_dropped_file_cost_nothing(self) -> None:
        counted = CountedWorld.make()
        assert [counted.event(path) for path in ("models/m/1/a", "data/digits/.hidden", "data/digits/a.tmp")] == [
            {}
        ] * 3

    @pytest.mark.parametrize("deliveries", [2, 5])
    def test_that_come_again_make_no_second_message_for_one_look(self, deliveries: int) -> None:
        counted = CountedWorld.make()
        for _ in range(deliveries):
            counted.event("data/digits/a.npz")
        assert counted.counts["queues.send"] == 1


class TestOneDrop:
    def test_of_ten_thousand_files_is_one_job_and_costs_what_one_file_does_beside_the_listing(self) -> None:
        counted = CountedWorld.make()
        counted.drop(data=10_000)
        cost = counted.settle()
        assert len(counted.world.training.jobs) == 1
        assert counted.world.receipt().received.data == 10_000
        assert less(cost, settled()) == {"blobs.page": 10_000 // MAX_LIST_PAGE - 1}

    def test_costs_the_same_in_an_experiment_with_a_long_history(self) -> None:
        def dropped_again(drops: int) -> Counts:
            counted = CountedWorld.make()
            for number in range(drops):
                counted.world.clock.advance(60)
                counted.world.blobs.upload(naming.DATA, "digits/000000.npz", str(number).encode())
                counted.event("data/digits/000000.npz")
                counted.world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
                cost = counted.settle()
                counted.world.run_job()
            return cost

        assert dropped_again(7) == dropped_again(3)


class TestManyDrops:
    @pytest.mark.generated  # a thousand of them in full
    def test_are_as_many_jobs_at_as_many_times_the_calls_of_one(self) -> None:
        def cost(drops: int) -> Counts:
            counted = CountedWorld.make(max_jobs=0, max_jobs_per_experiment=0)
            counted.world.shuffled = True
            for number in range(drops):
                counted.world.drop(f"scripts/e{number}/train.py", SCRIPT)
                counted.world.drop(f"data/e{number}/a.npz")
            counted.world.tells_of_runs = False
            counted.counts.clear()
            counted.world.rest()
            requests = counted.world.training.requests.values()
            assert Counter(request.document["experiment_name"] for request in requests) == {
                f"e{number}": 1 for number in range(drops)
            }
            return counted.counts

        drops = examples(1000)
        assert cost(drops) == Counter({call: drops * number for call, number in cost(1).items()})

    def test_that_wait_for_their_turn_are_one_job_each_and_cost_no_more_for_their_number(self) -> None:
        def cost(drops: int) -> float:
            counted = CountedWorld.make(max_jobs=10)
            world = counted.world
            for number in range(drops):
                world.drop(f"scripts/e{number}/train.py", SCRIPT)
                world.drop(f"data/e{number}/a.npz")
            world.rest()
            assert len(world.training.jobs) == 10
            while live := world.live_jobs():
                world.run_job(live[0].name)
            assert len(world.training.jobs) == drops
            assert [receipt.status for n in range(drops) for receipt in world.receipts(f"e{n}")] == (
                [Status.REGISTERED] * drops
            )
            return sum(number for call, number in counted.counts.items() if call != "conditional") / drops

        few, many = cost(20), cost(80)
        assert many < 1.25 * few


class CountingTransport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it late, untyped
    """Counts the requests that really leave the client, retries and all."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.journals = 0

    def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - azure-core's own signature
        self.sent.append(request.method)
        self.journals += request.headers.get("x-ms-blob-type") == "AppendBlob"
        return super().send(request, **options)


@define
class OverAzurite:
    """The real clients over Azurite, with a counter of calls at the port and one of requests below it."""

    blobs: AzureBlobs
    queues: AzureQueues
    transport: CountingTransport
    counts: Counts = field(factory=Counter)

    def kedja(self, training: MemoryTraining) -> Kedja:
        return assemble(
            Settings(quiet_period=0),
            blobs=cast("Blobs", Counted(self.blobs, "blobs", self.counts)),
            queues=cast("Queues", Counted(self.queues, "queues", self.counts)),
            training=training,
            publisher=MemoryPublisher(),
            account_url=self.blobs.client.url.rstrip("/"),
        )

    def requests(self, step: Callable[[], object]) -> int:
        """Return how many requests a step makes."""
        before = len(self.transport.sent)
        step()
        return len(self.transport.sent) - before

    def upload(self, container: str, name: str, data: bytes) -> None:
        """Write a file, as MemoryBlobs does, so that a job's outputs can lie here."""
        self.blobs.client.get_blob_client(container, name).upload_blob(data, overwrite=True)


_numbers = itertools.count(1)


@pytest.fixture
def azure(azurite: str) -> Iterator[OverAzurite]:
    transport = CountingTransport()
    with (
        BlobServiceClient.from_connection_string(azurite, transport=transport, retry_total=0) as blobs,
        QueueServiceClient.from_connection_string(azurite, transport=transport, retry_total=0) as queues,
    ):
        existing = {queue.name for queue in queues.list_queues()}
        for name in {*naming.QUEUES} - existing:
            queues.create_queue(name)
        yield OverAzurite(AzureBlobs(blobs), AzureQueues(queues), transport)


@pytest.fixture
def experiment() -> str:
    return f"counted{next(_numbers)}"


class TestRequests:
    def test_of_each_call_are_one(self, azure: OverAzurite, experiment: str) -> None:
        blobs, box, name = azure.blobs, naming.RECEIPTS, f"{experiment}/a"
        blobs.create(box, f"{experiment}/source", b"x")
        etag = blobs.replace(box, f"{experiment}/source", b"y")
        target = f"{experiment}/copy"
        steps: Mapping[str, Callable[[], object]] = {
            "create": lambda: blobs.create(box, name, b"x"),
            "replace": lambda: blobs.replace(box, name, b"y"),
            "read": lambda: blobs.read(box, name),
            "read some": lambda: blobs.read(box, name, limit=10),
            "get": lambda: blobs.get(box, name),
            "get nothing": lambda: blobs.get(box, f"{experiment}/nothing"),
            "list": lambda: blobs.list(box, f"{experiment}/", uncommitted=True),
            "page": lambda: blobs.page(box, f"{experiment}/", size=2),
            "folders": lambda: blobs.folders(box, size=2),
            "copy": lambda: blobs.copy((box, f"{experiment}/source"), (box, target), etag=etag),
            "delete": lambda: blobs.delete(box, name),
            "send": lambda: azure.queues.send(naming.RUN_EVENTS, {"kind": "none"}),
        }
        assert {step: azure.requests(call) for step, call in steps.items()} == dict.fromkeys(steps, 1)

    def test_of_a_lease_are_two_and_one_for_each_renewal_that_is_due(self, azure: OverAzurite, experiment: str) -> None:
        azure.blobs.create(naming.RECEIPTS, experiment, b"x")

        def lease() -> None:
            with azure.blobs.lease(naming.RECEIPTS, experiment, 15) as held:
                held.renew()

        assert azure.requests(lease) == 2

    def test_of_a_long_listing_are_one_for_each_page(self, azure: OverAzurite, experiment: str) -> None:
        for number in range(7):
            azure.blobs.create(naming.RECEIPTS, f"{experiment}/{number}", b"")
        listing = partial(iter_pages, azure.blobs, naming.RECEIPTS, f"{experiment}/", size=3)
        assert azure.requests(lambda: list(listing())) == 3

    def test_of_a_drop_from_its_events_to_its_model_are_as_many_as_calls(
        self, azure: OverAzurite, experiment: str
    ) -> None:
        clock = VirtualClock()
        training = MemoryTraining(clock, cast("MemoryBlobs", azure))
        kedja = azure.kedja(training)
        files = [f"scripts/{experiment}/train.py", *(f"data/{experiment}/{number}.npz" for number in range(20))]
        for path in files:
            container, _, name = path.partition("/")
            azure.upload(container, name, SCRIPT)
        account = azure.blobs.client.url.rstrip("/")
        events = [encoded(blob_created(path, account_url=account)) for path in files]
        look = {"kind": "settle", "experiment": experiment, "folder": experiment, "trigger": "test"}

        def events_come() -> None:
            for number, event in enumerate(events):
                kedja.on_blob_event(event, message=str(number), delivery=1)

        assert azure.requests(events_come) == len(events) + 1
        assert azure.counts == {"blobs.create": len(events), "conditional": len(events), "queues.send": 1}
        self.check(azure, lambda: kedja.on_settled(json.dumps(look).encode(), message="m"))
        (job,) = training.jobs
        training.finish(job)
        self.check(azure, lambda: kedja.on_run_event(encoded(run_status_changed(job, "Completed"))))
        assert (
            kedja.receipts.load(DropRef(*training.jobs[job].tags["kedja_receipt"].split("/"))).status
            is Status.REGISTERED
        )

    @staticmethod
    def check(azure: OverAzurite, step: Callable[[], object]) -> None:
        azure.counts.clear()
        journals = azure.transport.journals
        requests = azure.requests(step)
        azure.counts.pop("conditional")
        # The first line of ten minutes finds no journal, makes it and is written then.
        assert requests - 2 * (azure.transport.journals - journals) == azure.counts.total() > 0


class TestDocs:
    def test_say_what_is_counted(self) -> None:
        said = [line for line in DOCS.read_text().splitlines() if line.startswith("|")]
        missing = [line for line in table() if line not in said]
        assert not missing, "docs/scale.md needs these lines:\n" + "\n".join(missing)
