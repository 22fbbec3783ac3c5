"""How many events and drops a second the service works off, against the bare storage client making the same requests.

Run `python benchmarks/scale.py [--events 10000] [--drops 1000] [--files 10000] [--rounds 5]`; 0 leaves one out. The
service runs in this process over Azurite, with a training service that answers at once and no limit on jobs, so that
none waits for its turn. Whatever it asks of storage is written down; the bare client then asks for the same, with
bodies as long, in turn with it. So the emulator is in both, and the ratio says what the service adds. Processor time is
this process's alone, without Azurite's.
"""

import argparse
import contextlib
import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from attrs import define, field, frozen  # noqa: E402 - after the path is set
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError  # noqa: E402
from azure.storage.blob import BlobServiceClient  # noqa: E402
from azure.storage.queue import QueueServiceClient  # noqa: E402

from function_app.azure.connections import NullPublisher  # noqa: E402
from function_app.azure.storage import AzureBlobs, AzureQueues  # noqa: E402
from function_app.container import assemble  # noqa: E402
from function_app.domain import naming  # noqa: E402
from function_app.operations.service import Kedja  # noqa: E402
from function_app.ports.storage import Blobs, Queues  # noqa: E402
from function_app.ports.training_service import Compute, Job, JobRequest, JobStatus, TrainingService  # noqa: E402
from function_app.settings import Settings  # noqa: E402
from local_azure.storage.azurite import AzuriteAccount, running_azurite  # noqa: E402

AT_ONCE = 12
"""How many messages one instance works on at a time, as host.json says (batchSize + newBatchThreshold)."""
FLOOR = "floor"
SCRIPT = b"print('trained')\\n"


class Instant:
    """A training service that takes every job and never runs it."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def submit(self, request: JobRequest) -> Job:
        job = Job(name=request.name, status=JobStatus.STARTING, detail="Queued", experiment="e", tags={})
        return self.jobs.setdefault(request.name, job)

    def get(self, name: str) -> Job:
        return self.jobs[name]

    def cancel(self, name: str) -> None:
        """Nothing runs."""

    def list(self, *, limit: int = 100) -> Sequence[Job]:
        return [*self.jobs.values()][:limit]

    def computes(self) -> Sequence[Compute]:
        return [Compute(name="gpu-cluster", state="Succeeded", size="s", nodes=0, max_nodes=4)]


@frozen
class Asked:
    """A call to storage, as the floor repeats it. `size` is that of a body, in bytes."""

    operation: str
    container: str
    name: str
    size: int


@define
class Written:
    """A port that writes down what is asked of it."""

    port: object
    asked: list[Asked] = field(factory=list)

    def __getattr__(self, operation: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self.port, operation)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            size = len(args[2]) if operation in ("create", "replace", "append") else len(str(args[1:]))
            container, name = ("", "") if operation in ("copy", "send") else args[:2]
            self.asked.append(Asked(operation, container, name, size))
            return found(*args, **options)

        return call


@define
class Bare:
    """The storage clients and nothing else."""

    blobs: BlobServiceClient
    queues: QueueServiceClient
    numbers: Iterator[int] = field(factory=itertools.count)

    def prepare(self) -> None:
        self.blobs.create_container(FLOOR)
        self.queues.create_queue(FLOOR)
        self.blobs.get_blob_client(FLOOR, "there").upload_blob(b"{}")
        self.blobs.get_blob_client(FLOOR, "written").upload_blob(b"{}")
        self.blobs.get_blob_client(FLOOR, "journal").create_append_blob()

    def ask(self, asked: Asked) -> None:
        """Make one request of the kind."""
        there, body = self.blobs.get_blob_client(FLOOR, "there"), b"x" * asked.size
        new = self.blobs.get_blob_client(FLOOR, f"new/{next(self.numbers)}")
        steps: dict[str, Callable[[], object]] = {
            "create": lambda: new.upload_blob(body, overwrite=False),
            "refused": lambda: there.upload_blob(body, overwrite=False),
            "replace": lambda: self.blobs.get_blob_client(FLOOR, "written").upload_blob(body, overwrite=True),
            "append": lambda: self.blobs.get_blob_client(FLOOR, "journal").append_block(body),
            "read": lambda: there.download_blob().readall(),
            "get": there.get_blob_properties,
            "delete": new.delete_blob,
            "copy": lambda: new.start_copy_from_url(there.url),
            "send": lambda: self.queues.get_queue_client(FLOOR).send_message("x" * asked.size),
            "page": lambda: self.listed(asked),
            "list": lambda: self.listed(asked),
        }
        with contextlib.suppress(ResourceExistsError, ResourceNotFoundError):
            steps[asked.operation]()

    def listed(self, asked: Asked) -> int:
        container = self.blobs.get_container_client(asked.container)
        pages = container.list_blobs(asked.name, include=["metadata", "copy"], results_per_page=5000).by_page()
        return len([*next(pages, ())])


@define
class Bench:
    """The service over Azurite, and the floor beside it."""

    account: AzuriteAccount
    bare: Bare
    training: Instant
    blobs: Written
    queues: Written
    kedja: Kedja

    @classmethod
    def make(cls, account: AzuriteAccount) -> "Bench":
        blobs = BlobServiceClient.from_connection_string(account.connection_string)
        queues = QueueServiceClient.from_connection_string(account.connection_string)
        for container in naming.CONTAINERS:
            blobs.create_container(container)
        for queue in naming.QUEUES:
            queues.create_queue(queue)
        bare = Bare(blobs, queues)
        bare.prepare()
        training, port, messages = Instant(), Written(AzureBlobs(blobs)), Written(AzureQueues(queues))
        kedja = assemble(
            Settings(quiet_period=0, max_jobs=0, max_jobs_per_experiment=0),
            blobs=cast("Blobs", port),
            queues=cast("Queues", messages),
            training=cast("TrainingService", training),
            publisher=NullPublisher(),
            account_url=account.blob_endpoint,
        )
        return cls(account, bare, training, port, messages, kedja)

    def upload(self, path: str, data: bytes = SCRIPT) -> None:
        container, _, name = path.partition("/")
        self.bare.blobs.get_blob_client(container, name).upload_blob(data, overwrite=True)

    def event(self, path: str) -> None:
        """Have the event of a file worked on, as the queue brings it."""
        url = f"{self.account.blob_endpoint}/{quote(path)}"
        data = {"api": "PutBlob", "contentLength": 6, "blobType": "BlockBlob", "url": url}
        kind, subject = "Microsoft.Storage.BlobCreated", f"/blobServices/default/containers/{path}"
        event = {"id": path, "eventType": kind, "subject": subject, "eventTime": "2026-03-01T12:00:00Z", "data": data}
        self.kedja.on_blob_event(json.dumps(event).encode(), message=path, delivery=1)

    def settle(self, experiment: str) -> None:
        request = {"kind": "settle", "experiment": experiment, "folder": experiment, "trigger": "benchmark"}
        self.kedja.on_settled(json.dumps(request).encode(), message=experiment)

    def asked(self) -> list[Asked]:
        """Return what was asked since the last time."""
        asked = [*self.blobs.asked, *self.queues.asked]
        self.blobs.asked.clear()
        self.queues.asked.clear()
        return asked


@define
class Measured:
    """Seconds of the service and of the floor, a round each: by the clock, and of this process's processor time."""

    clock: tuple[list[float], list[float]] = field(factory=lambda: ([], []))
    processor: tuple[list[float], list[float]] = field(factory=lambda: ([], []))
    requests: Counter[str] = field(factory=Counter)

    def take(self, contestant: int, work: Iterable[Callable[[], None]]) -> None:
        """Do the work with as many threads as an instance has, and time it."""
        began, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(one) for one in work]:
                done.result()
        self.clock[contestant].append(time.perf_counter() - began)
        self.processor[contestant].append(time.process_time() - used)

    def row(self, what: str, number: int) -> str:
        """Return the line of a table; `number` is how many of it there are in a round."""
        service, floor = (statistics.median(times) for times in self.clock)
        own, bare = (statistics.median(times) for times in self.processor)
        requests = self.requests.total() / (number * len(self.clock[0]))
        return (
            f"| {what} | {number / service:,.1f} | {number / floor:,.1f} | {service / floor:.2f} | "
            f"{1000 * own / number:.2f} ms | {own / bare:.2f} | {requests:.1f} |"
        )


def rounds(bench: Bench, work: Iterable[Sequence[Callable[[], None]]], *, refused: bool = False) -> Measured:
    """Have the service work, and then the floor ask for the same, round by round."""
    measured = Measured()
    for one in work:
        bench.asked()
        measured.take(0, one)
        asked = bench.asked()
        measured.requests.update(call.operation for call in asked)
        if refused:  # all but the first of these creations find the marker
            asked = [Asked("refused", "", "", call.size) if call.operation == "create" else call for call in asked]
        measured.take(1, [lambda call=call: bench.bare.ask(call) for call in asked])  # type: ignore[misc]
    return measured


def events(bench: Bench, number: int, repeats: int) -> str:
    """Events of one folder, of which the first makes the marker."""
    each = number // repeats
    work = [
        [lambda n=n: bench.event(f"data/storm/{n}.npz") for n in range(start, start + each)]
        for start in range(0, each * repeats, each)
    ]
    measured = rounds(bench, work, refused=True)
    assert measured.requests == {"create": each * repeats, "send": 1}, measured.requests
    return measured.row(f"events of one folder, {number:,}", each)


def drops(bench: Bench, number: int, repeats: int) -> str:
    """Drops of as many experiments: two events each, the look, the job."""
    for n in range(number):
        bench.upload(f"scripts/e{n}/train.py")
        bench.upload(f"data/e{n}/a.npz")

    def one(n: int) -> None:
        bench.event(f"scripts/e{n}/train.py")
        bench.event(f"data/e{n}/a.npz")
        bench.settle(f"e{n}")

    each = number // repeats
    work = [[lambda n=n: one(n) for n in range(start, start + each)] for start in range(0, each * repeats, each)]
    before = len(bench.training.jobs)
    measured = rounds(bench, work)
    assert len(bench.training.jobs) - before == each * repeats
    return measured.row(f"drops of two files, {number:,} in as many experiments", each)


def big(bench: Bench, files: int, repeats: int) -> str:
    """A drop of so many files, each time with another script: listed, hashed, written down, submitted."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda n: bench.upload(f"data/big/{n:06}.npz", b"x"), range(files)))
    measured = Measured()
    before = len(bench.training.jobs)
    for n in range(repeats):
        bench.upload("scripts/big/train.py", f"print({n})\\n".encode())
        one = rounds(bench, [[lambda: bench.settle("big")]])
        for times, more in zip((*measured.clock, *measured.processor), (*one.clock, *one.processor), strict=True):
            times.extend(more)
        measured.requests.update(one.requests)
    assert len(bench.training.jobs) - before == repeats
    return measured.row(f"drops of {files:,} files", 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    for name, default in (("events", 10_000), ("drops", 1000), ("files", 10_000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    print("| what | a second | floor | times the floor's time | processor time each | ratio | requests each |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, running_azurite(Path(folder)) as account:
        bench = Bench.make(account)
        for measure, number in ((events, options.events), (drops, options.drops), (big, options.files)):
            if number:
                print(measure(bench, number, options.rounds), flush=True)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"  this process held {peak:.0f} MiB at most so far, floor and notes on it included", flush=True)


if __name__ == "__main__":
    main()
