"""Memory and processor time for reading a drop of many files, against the bare storage client listing the same files.

Run `python benchmarks/drops.py [files…]` (10,000 and 100,000). The real client reads listings that an adapter below it
makes up, 5,000 files a page, so that no emulator is measured. Each measurement is a process of its own: for the
processor time and the peak of its resident memory, and, up to 10,000 files, under tracemalloc, exact and slow.
"""

import io
import json
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import requests  # noqa: E402 - after the path is set
from azure.core.pipeline.transport import RequestsTransport  # noqa: E402
from azure.storage.blob import BlobServiceClient  # noqa: E402
from requests.adapters import BaseAdapter  # noqa: E402
from urllib3 import HTTPResponse  # noqa: E402

from function_app.azure.storage import AzureBlobs  # noqa: E402
from function_app.domain import naming  # noqa: E402
from function_app.domain.drop import Drop, newest_upload  # noqa: E402

FILES = (10_000, 100_000)
PAGE = 5000
ROUNDS = 2
MOST_TRACED = 10_000
FOLDER = "digits"
MODIFIED = "Sun, 01 Mar 2026 12:00:00 GMT"
MIB = 1024 * 1024

_BLOB = (
    f"<Blob><Name>{FOLDER}/train/class-{{kind}}/image-{{number:07}}.png</Name><Properties><Creation-Time>{MODIFIED}"
    f"</Creation-Time><Last-Modified>{MODIFIED}</Last-Modified><Etag>0x8DC{{number:012X}}</Etag><Content-Length>784"
    "</Content-Length><Content-Type>image/png</Content-Type><Content-MD5>{number:022}==</Content-MD5><BlobType>BlockBlob"
    "</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked"
    "</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties></Blob>"
)


class MadeUp(BaseAdapter):
    """Answers listings of `data/digits/` with so many files, and every other one with none."""

    def __init__(self, files: int) -> None:
        super().__init__()
        self.files = files

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:  # noqa: ANN401 - as its base
        url = urlsplit(str(request.url))
        query = parse_qs(url.query)
        begin = int(query.get("marker", ["0"])[0])
        end = min(begin + PAGE, self.files) if url.path.endswith(f"/{naming.DATA}") else 0
        blobs = "".join(_BLOB.format(number=number, kind=number % 10) for number in range(begin, end))
        marker = str(end) if 0 < end < self.files else ""
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a.test/" '
            f'ContainerName="data"><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>'
        ).encode()
        response = requests.Response()
        response.status_code, response.reason, response.request = 200, "OK", request
        response.url = str(request.url)
        response.headers.update({"Content-Type": "application/xml", "Date": formatdate(usegmt=True)})
        response.raw = HTTPResponse(io.BytesIO(body), status=200, preload_content=False)
        return response

    def close(self) -> None:
        pass


def client(files: int) -> BlobServiceClient:
    session = requests.Session()
    session.mount("https://", MadeUp(files))
    return BlobServiceClient("https://a.test", credential=None, transport=RequestsTransport(session=session))


def bare(service: BlobServiceClient) -> int:
    """List both containers and keep nothing."""
    return sum(
        1
        for container in (naming.SCRIPTS, naming.DATA)
        for _ in service.get_container_client(container).list_blobs(
            name_starts_with=f"{FOLDER}/", include=["metadata", "copy", "uncommittedblobs"]
        )
    )


def walk(service: BlobServiceClient) -> int:
    """Look for the newest file, as each round of `reconcile` does."""
    found = [newest_upload(AzureBlobs(service), container, FOLDER) for container in (naming.SCRIPTS, naming.DATA)]
    return len(found)


def take(service: BlobServiceClient) -> int:
    return len(Drop.list_drop(AzureBlobs(service), FOLDER).data)


def whole(service: BlobServiceClient) -> int:
    """Take a drop, and make its id and its manifest."""
    drop = Drop.list_drop(AzureBlobs(service), FOLDER)
    return len(drop.manifest(drop.ref("{}"), "train.py").to_bytes())


STEPS: Mapping[str, Callable[[BlobServiceClient], int]] = {"bare": bare, "walk": walk, "take": take, "whole": whole}
NAMES = {
    "bare": "the bare client lists, keeps nothing",
    "walk": "the walk of `reconcile`",
    "take": "`Drop.take`",
    "whole": "`Drop.take`, its id, its manifest",
}


def measure(step: str, files: int, *, traced: bool) -> dict[str, float]:
    """Do a step in this process."""
    service = client(files)
    STEPS[step](client(1))  # once small, so that modules are imported
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if traced:
        tracemalloc.start()
    began = time.process_time()
    STEPS[step](service)
    seconds = time.process_time() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = tracemalloc.get_traced_memory()[1] if traced else 0
    return {
        "seconds": seconds,
        "resident": (after - before) * 1024 / MIB,
        "whole": after * 1024 / MIB,
        "traced": peak / MIB,
    }


def child(step: str, files: int, *, traced: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", step, str(files), str(int(traced))]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def report(files: int) -> None:
    """Measure all steps with so many files, and print a line for each."""
    timed = {
        step: min((child(step, files, traced=False) for _ in range(ROUNDS)), key=lambda run: run["seconds"])
        for step in STEPS
    }
    traced = {step: child(step, files, traced=True)["traced"] for step in STEPS if files <= MOST_TRACED}
    for step, run in timed.items():
        ratio = run["seconds"] / timed["bare"]["seconds"]
        exact = f"{traced[step]:.1f} MiB" if traced else ""
        print(
            f"| {files:,} | {NAMES[step]} | {run['seconds']:.2f} s | {ratio:.2f} | {exact} | "
            f"{run['resident']:.0f} MiB | {run['whole']:.0f} MiB |",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        step, files, traced = sys.argv[2:5]
        print(json.dumps(measure(step, int(files), traced=traced == "1")))
        return
    print("| files | step | processor time | ratio | exact peak | resident, more | process |")
    print("|---|---|---|---|---|---|---|")
    for number in [int(word) for word in sys.argv[1:]] or FILES:
        report(number)


if __name__ == "__main__":
    main()
