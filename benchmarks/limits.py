"""What hostile inputs cost the service: seconds of processor time, and the memory that they add to the process.

Run `python benchmarks/limits.py [WORD]`; a word measures the lines that have it in their names alone. Each line is a
process of its own, which gets its input from a file: a job's result of 32 MiB, what a job has logged, the body of a
request (1 MiB), events, a `job.yaml` of 256 KiB. Storage and MLflow are in memory. With `KEDJA_CHECKOUT=<folder>`
another version of Kedja is measured with the same inputs.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [os.environ.get("KEDJA_CHECKOUT", str(REPOSITORY)), str(REPOSITORY)]

from function_app.azure.mlflow import series_of  # noqa: E402
from function_app.domain import naming  # noqa: E402 - after the path is set
from function_app.errors import KedjaError  # noqa: E402
from function_app.http.api import create_api  # noqa: E402
from function_app.jobspec.schema import parse_job_yaml  # noqa: E402
from function_app.models.job_result import JobResult  # noqa: E402
from function_app.models.lineage import shortened  # noqa: E402
from function_app.ports.training_service import BlobFolder, JobStatus  # noqa: E402
from tests.unit.http_client import Client  # noqa: E402
from tests.unit.many_files import SHA256, ManyFiles, result  # noqa: E402
from tests.unit.memory import MemoryBlobs  # noqa: E402
from tests.unit.simulation import World, assembled  # noqa: E402

MIB = 1 << 20
RESULT, BODY, YAML, SPEC = 32 * MIB, MIB - 1000, 256 * 1024 - 100, 24_000
FILES = 200_000
VALUES = 3_000_000
PAGE = 25_000
SECONDS, MEMORY = 120, 4 << 30
"""Processor time and bytes after which a process is given up."""
LOCAL = {"KEDJA_AUTH": "local", "KedjaStorage": "UseDevelopmentStorage=true"}

Make = Callable[[], bytes]
Measured = Mapping[str, Any]


def filled(size: int, head: str, piece: str, tail: str, between: str = ",") -> bytes:
    """Return a document of `size` bytes at most, with as many pieces as it has room for.

    Each has a number of its own in the place of `#`, where it has one.
    """
    width = len(f"{piece.replace('#', '000000')}{between}".encode())
    count = (size - len(f"{head}{tail}".encode())) // width
    pieces = (piece.replace("#", f"{n:06x}") for n in range(count)) if "#" in piece else [piece] * count
    return f"{head}{between.join(pieces)}{tail}".encode()


def of_result(piece: str, end: str, head: str = "", between: str = ",") -> Make:
    return partial(filled, RESULT, '{"result":"completed","exit_code":0,' + head, piece, end, between)


def of_body(head: str, piece: str, end: str, between: str = ",") -> Make:
    return partial(filled, BODY, '{"experiment_name":"digits",' + head, piece, end + "}", between)


def logged(metrics: int, values: int) -> bytes:
    return json.dumps([metrics, values]).encode()


RESULTS: Mapping[str, Make] = {
    f"{FILES:,} honest files": partial(result, FILES),
    "files of 36 bytes": of_result('{"path":"ab","size":1,"sha256":"x"}', "]}", '"files":['),
    "files as short as may be": of_result(f'{{"path":"é#","size":1,"sha256":"{SHA256}"}}', "]}", '"files":['),
    "files that say nothing": of_result("{}", "]}", '"files":['),
    "metrics": of_result('"#":1', "}}", '"metrics":{'),
    "metrics of long names": of_result(f'"#{"é" * 300}😀":1', "}}", '"metrics":{'),
    "unknown keys": of_result('"#":1', "}"),
    "numbers under an unknown key": of_result("0", "]}", '"more":['),
    "lists under an unknown key": of_result("[]", "]}", '"more":['),
    "lists in lists": of_result("[", "", '"more":', ""),
    "one long text": of_result("x", '😀"}', '"reason":"', ""),
}
REGISTRATIONS: Mapping[str, Make] = {f"{FILES:,} files": partial(result, FILES)}
SERIES: Mapping[str, Make] = {
    "one metric of three million values": partial(logged, 1, VALUES),
    "three thousand metrics of a thousand values": partial(logged, 3000, VALUES // 3000),
    "a hundred thousand metrics": partial(logged, 100_000, 1),
}
BODIES: Mapping[str, Make] = {
    "unknown keys": of_body("", '"key#":0', ""),
    "names of arguments": of_body('"kedja":{"arguments":{', '"!#":0', "}}"),
    "values of arguments": of_body('"kedja":{"arguments":{', '"a#":{}', "}}"),
    "unknown inputs": of_body('"inputs":{', '"a#":{}', "}"),
    "types of outputs": of_body('"outputs":{', '"a#":{"type":"uri"}', "}"),
    "variables": of_body('"environment_variables":{', '"a#":0', "}"),
    "values to choose from": of_body('"type":"sweep","search_space":{"a":{"type":"choice","values":[', '"$"', "]}}"),
    "packages for pip": of_body('"environment":{"image":"x/y","conda_file":{"dependencies":[{"pip":[', '"$"', "]}]}}"),
    "placeholders without an end": of_body('"kedja":{"arguments":{"a":[', f'"{"${{" * 1365}"', "]}}"),
    "placeholders of nothing": of_body(f'"command":"{"${{inputs.a}}" * 2500}","inputs":{{', '"b#":0', "}"),
    "numbers under an unknown key": of_body('"more":[', "0", "]"),
    "10,000 names of arguments": partial(
        filled, 9_900 * 12, '{"experiment_name":"digits","kedja":{"arguments":{', '"!#":0', "}}}"
    ),
    "10,000 packages for pip": partial(
        filled,
        9_900 * 103,
        '{"experiment_name":"digits","environment":{"image":"x/y","conda_file":{"dependencies":[{"pip":[',
        f'"${"x" * 99}"',
        "]}]}}}",
    ),
    "one long text": of_body('"compute":"', "//?a", '"', ""),
}
EVENT = '{"specversion":"1.0","id":"#","source":"/a","type":"Kedja.TrainingRequested","data":%s}'


def requests_of(count: int, limit: int, head: str, piece: str, end: str) -> bytes:
    """Return so many events, each of which asks for a training by a job spec of so many bytes."""
    spec = filled(limit, '{"experiment_name":"digits",' + head, piece, end + "}").decode()
    return f"[{','.join([EVENT.replace('#', '1') % spec] * count)}]".encode()


EVENTS: Mapping[str, Make] = {
    "tiny requests for training": partial(filled, BODY, "[", EVENT % '{"experiment_name":"d"}', "]"),
    "20 requests with variables": partial(requests_of, 20, SPEC, '"environment_variables":{', '"a#":0', "}"),
    "20 requests with arguments": partial(requests_of, 20, SPEC, '"kedja":{"arguments":{', '"a#":0', "}}"),
    "20 requests with values to choose from": partial(
        requests_of, 20, SPEC, '"type":"sweep","search_space":{"a":{"type":"choice","values":[', "0.1", "]}}"
    ),
    "files that were written": partial(
        filled,
        BODY,
        "[",
        '{"id":"#","eventType":"Microsoft.Storage.BlobCreated","data":{"url":"https://kedja.blob.core.windows.net/data/d/#"}}',
        "]",
    ),
}
YAMLS: Mapping[str, Make] = {
    "unknown keys": partial(filled, YAML, "", "k#: 0", "\n", "\n"),
    "names of arguments": partial(filled, YAML, "kedja:\n  arguments:\n", '    "!#": 0', "\n", "\n"),
    "numbers in a list": partial(filled, YAML, "a: [", "0", "]"),
    "empty items": partial(filled, YAML, "a:\n", "-", "\n", "\n"),
    "mappings in a list": partial(filled, YAML, "a: [", "{}", "]"),
    "words of one text": partial(filled, YAML, "description: ", "a", "\n", " "),
    "escapes in one text": partial(filled, YAML, 'description: "', "\\x41", '"\n', ""),
    "10,000 names of arguments": partial(filled, 9_900 * 16, "kedja:\n  arguments:\n", '    "!#": 0', "\n", "\n"),
}


def read_result(document: bytes) -> str:
    """Read a job's result, and shorten its metrics as the registry has them."""
    blobs = MemoryBlobs(World.make().clock)
    blobs.upload("azureml", "outputs/.kedja-manifest.json", document, hashed=False)
    try:
        found = JobResult.read(blobs, BlobFolder(container="azureml", prefix="outputs/"))
    except KedjaError as error:
        return str(error)
    assert found is not None
    shortened(found.metrics)
    return f"{len(found.files):,} files, {len(found.metrics):,} metrics"


def register(document: bytes) -> str:
    """Register the model of the job that has this result, without the time that storage takes."""
    world = World.make()
    blobs = ManyFiles(world.clock, count=document.count(b'"path"'), document=document)
    world.blobs = world.training.blobs = blobs
    world.kedja = assembled(world.kedja.settings, blobs, world.queues, world.training, world.publisher, world.clock)
    world.training.move(_submitted(world), JobStatus.COMPLETED)
    world.rest()
    receipt = world.receipt()
    return f"{receipt.status}, {receipt.model.files if receipt.model else 0:,} files"


def draw(document: bytes) -> str:
    """Ask for what a job has logged: so many metrics, of so many values each."""
    metrics, values = json.loads(document)
    keys = [{"key": f"metric {number}", "value": 1.0, "timestamp": 0, "step": 0} for number in range(metrics)]

    page = json.dumps(
        [
            {"key": "a metric", "value": 0.123456789, "timestamp": 1_700_000_000_000 + step, "step": step}
            for step in range(min(PAGE, values))
        ]
    )

    def history(_key: str, _size: int = 0) -> Iterator[Mapping[str, Any]]:
        for _ in range(0, values, PAGE):
            yield from json.loads(page)

    world = World.make()
    name = _submitted(world)
    world.training.series[name] = series_of({"data": {"metrics": keys}}, history)
    answer = Client(create_api(lambda: world.kedja, LOCAL)).get(f"/api/jobs/{name}/metrics?points=10000")
    series = answer.json()["series"]
    return f"{answer.status_code}: {len(series):,} series, {sum(map(len, series.values())):,} values"


def ask(document: bytes) -> str:
    """Send a request for a job."""
    world = World.make()
    headers = {"content-type": "application/json"}
    answer = Client(create_api(lambda: world.kedja, LOCAL)).post(
        "/api/jobs?dry_run=true", content=document, headers=headers
    )
    return f"{answer.status_code}: {answer.json()['detail']}"


def receive(document: bytes) -> str:
    """Send a body of events."""
    world = World.make()
    headers = {"content-type": "application/json"}
    answer = Client(create_api(lambda: world.kedja, LOCAL)).post("/api/events", content=document, headers=headers)
    return f"{answer.status_code}: {answer.json().get('detail') or answer.text}"


def read_yaml(document: bytes) -> str:
    try:
        parse_job_yaml(document)
    except KedjaError as error:
        return str(error)
    return "accepted"


def _submitted(world: World) -> str:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"pass")
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    return world.live_jobs()[-1].name


_NO_RESULT = f'{{"result":"completed","files":[{{"path":"model.npz","size":7,"sha256":"{SHA256}"}}]}}'.encode()
GROUPS: Mapping[str, tuple[Mapping[str, Make], Callable[[bytes], str], bytes]] = {
    "a job's result of 32 MiB": (RESULTS, read_result, _NO_RESULT),
    "a registration": (REGISTRATIONS, register, _NO_RESULT),
    "what a job has logged": (SERIES, draw, b"[1, 1]"),
    "a request's body of 1 MiB": (BODIES, ask, b'{"experiment_name":"digits"}'),
    "events in a body of 1 MiB": (EVENTS, receive, b"[]"),
    "a job.yaml of 256 KiB": (YAMLS, read_yaml, b"kedja: {data: none}"),
}
"""Inputs by their names, what is done with them, and a small one that has everything imported."""


def measure(group: str, file: Path) -> Measured:
    """Use a document in this process."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    _, use, small = GROUPS[group]
    use(small)
    document = file.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    outcome = use(document)
    seconds = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": f"{seconds:.2f}", "memory": f"{memory:.0f}", "outcome": outcome}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, __file__, *arguments], check=False, capture_output=True, text=True)


def measured(group: str, name: str) -> Measured:
    """Measure in a process of its own; one that takes too much is ended.

    Another one makes the document, as a process begins with the peak of memory of the one that has started it.
    """
    with tempfile.NamedTemporaryFile() as file:
        run("--make", group, name, file.name).check_returncode()
        done = run("--measure", group, file.name)
    if done.returncode == 0:
        found: Measured = json.loads(done.stdout)
        return found
    if done.returncode > 0 and "MemoryError" not in done.stderr:
        sys.exit(done.stderr)
    return {"seconds": "", "memory": "", "outcome": f"given up after {SECONDS} s or {MEMORY // MIB:,} MiB"}


def report(group: str, word: str) -> None:
    """Print a table of a group's inputs."""
    chosen = [name for name in GROUPS[group][0] if word in f"{group}: {name}"]
    if chosen:
        print(f"\n## {group[0].upper()}{group[1:]}\n\n| input | seconds | MiB more | outcome |\n|---|---|---|---|")
    for name in chosen:
        found = measured(group, name)
        outcome = " ".join(found["outcome"].replace("|", "/").split())[:100]
        print(f"| {name} | {found['seconds']} | {found['memory']} | {outcome} |", flush=True)


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--make"]:
        group, name, file = sys.argv[2:]
        Path(file).write_bytes(GROUPS[group][0][name]())
    elif sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
    else:
        for group in GROUPS:
            report(group, sys.argv[1] if len(sys.argv) > 1 else "")


if __name__ == "__main__":
    main()
