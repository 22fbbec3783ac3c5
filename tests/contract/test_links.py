"""What a link to a file allows, and what it does not, asked of Azurite over HTTP: no client library stands between."""

import base64
import hashlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from attrs import frozen

from function_app.azure.storage import AzureBlobs, StorageAccount
from function_app.domain import naming
from function_app.domain.receipt import Artifact
from function_app.drops.uploads import Link, Uploads, Wanted
from function_app.models.artifacts import ModelManifest
from function_app.models.downloads import Downloads
from function_app.ports.storage import Permission

_numbers = itertools.count(1)
CONTENT = b"a few bytes"
MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()  # noqa: S324 - what Content-MD5 is
DONE = httpx.codes.CREATED
REFUSED = (httpx.codes.FORBIDDEN, httpx.codes.CONFLICT)


@frozen
class Space:
    """An experiment of its own, and its links."""

    blobs: AzureBlobs
    folder: str

    def link(self, name: str = "train/måling #1 50%.bin", *, md5: str | None = MD5, size: int | None = None) -> Link:
        uploads = Uploads(blobs=self.blobs, clock=lambda: datetime.now(UTC))
        (link,) = uploads.links(self.folder, [Wanted(container="data", name=name, md5=md5, size=size)], by="robot")
        return link


@pytest.fixture(scope="module")
def account(azurite: str) -> Iterator[AzureBlobs]:
    storage = StorageAccount.connect({"Storage": azurite}, None, prefix="Storage")
    with storage.blobs.client, storage.queues.client:
        yield storage.blobs


@pytest.fixture
def space(account: AzureBlobs) -> Space:
    return Space(account, f"experiment-{next(_numbers)}")


def put(link: Link, content: bytes = CONTENT, url: str | None = None, **headers: str) -> int:
    sent = {**link.headers, **headers}
    return httpx.put(url or link.url or "", content=content, headers={k: v for k, v in sent.items() if v}).status_code


def test_a_link_writes_one_file_with_its_hash(space: Space) -> None:
    link = space.link()

    assert put(link) == DONE
    item = space.blobs.get(naming.DATA, f"{space.folder}/{link.file.name}")
    assert item is not None
    assert (item.size, item.md5) == (len(CONTENT), MD5)
    assert space.link().url is None


def test_content_that_is_not_what_was_said_is_refused(space: Space) -> None:
    assert put(space.link(), b"something else") == httpx.codes.BAD_REQUEST


def test_a_new_files_link_never_overwrites(space: Space) -> None:
    link = space.link()
    assert put(link) == DONE

    assert put(link) in REFUSED
    # Nor without the condition that goes with the link.
    other = {"If-None-Match": "", "Content-MD5": "", "x-ms-blob-content-md5": ""}
    assert put(link, b"other content", **other) in REFUSED
    assert space.blobs.read(naming.DATA, f"{space.folder}/{link.file.name}").data == CONTENT


def test_a_link_is_for_its_file_alone(space: Space, account: AzureBlobs) -> None:
    link = space.link("mine.bin")
    stranger = Space(account, f"experiment-{next(_numbers)}")
    there = stranger.link("theirs.bin")
    assert put(there) == DONE
    for name in (f"{space.folder}/other.bin", f"{stranger.folder}/theirs.bin", f"{stranger.folder}/new.bin"):
        url = str(link.url).replace(f"{space.folder}/mine.bin", name)
        assert put(link, url=url) == httpx.codes.FORBIDDEN, name
    for container in (naming.SCRIPTS, naming.RECEIPTS, naming.MODELS):
        url = str(link.url).replace(f"/{naming.DATA}/", f"/{container}/")
        assert put(link, url=url) == httpx.codes.FORBIDDEN, container


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("size", [None, 1 << 30])
def test_an_upload_link_neither_reads_nor_deletes(space: Space, method: str, size: int | None) -> None:
    link = space.link(size=size)
    assert put(link) == DONE

    assert httpx.request(method, str(link.url)).status_code == httpx.codes.FORBIDDEN


def test_no_link_lists(space: Space) -> None:
    base, _, query = str(space.link().url).partition("?")
    container = base[: base.index(f"/{naming.DATA}/") + len(naming.DATA) + 1]

    assert httpx.get(f"{container}?restype=container&comp=list&{query}").status_code == httpx.codes.FORBIDDEN


def test_without_a_signature_nothing_goes(space: Space) -> None:
    link = space.link()
    bare = str(link.url).partition("?")[0]

    assert put(link, url=bare) >= httpx.codes.BAD_REQUEST
    assert put(link) == DONE
    assert httpx.get(bare).is_error


def test_a_link_cannot_be_made_to_last_or_allow_more(space: Space) -> None:
    link = space.link()
    longer = str(link.url).replace(link.expires.strftime("%H%%3A%M") if link.expires else "", "23%3A59")
    wider = str(link.url).replace("sp=c", "sp=rcwd")
    assert len({longer, wider, str(link.url)}) == 3

    assert put(link, url=longer) == put(link, url=wider) == httpx.codes.FORBIDDEN


def test_a_link_is_over_when_its_time_is(space: Space) -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    url = space.blobs.sign(naming.DATA, f"{space.folder}/late.bin", permission=Permission.CREATE, expires=past)

    assert put(space.link(), url=url) == httpx.codes.FORBIDDEN


def test_a_large_files_link_takes_blocks(space: Space) -> None:
    link = space.link(size=1 << 30, md5=None)
    assert link.blocks
    block = base64.b64encode(b"000001").decode()

    staged = httpx.put(f"{link.url}&comp=block&blockid={block.replace('=', '%3D')}", content=CONTENT)
    listed = httpx.put(
        f"{link.url}&comp=blocklist",
        content=f"<BlockList><Latest>{block}</Latest></BlockList>",
        headers={"If-None-Match": "*", "x-ms-blob-content-md5": MD5},
    )

    assert (staged.status_code, listed.status_code) == (DONE, DONE)
    item = space.blobs.get(naming.DATA, f"{space.folder}/{link.file.name}")
    assert item is not None
    assert (item.size, item.md5) == (len(CONTENT), MD5)


def test_a_small_files_link_takes_none(space: Space) -> None:
    url = f"{space.link().url}&comp=block&blockid=MDAwMDAx"

    assert httpx.put(url, content=CONTENT).status_code == httpx.codes.FORBIDDEN


def test_what_is_there_with_other_content_is_replaced(space: Space) -> None:
    assert put(space.link()) == DONE
    better = b"better bytes"
    md5 = base64.b64encode(hashlib.md5(better).digest()).decode()  # noqa: S324 - as above
    link = space.link(md5=md5)
    assert link.there is not None
    assert link.there.md5 == MD5

    assert put(link, better) == DONE
    assert space.blobs.read(naming.DATA, f"{space.folder}/{link.file.name}").data == better


def test_a_download_link_reads_one_file_and_writes_none(space: Space) -> None:
    model = space.folder
    for name in ("model.npz", "secret.npz"):
        space.blobs.create(naming.MODELS, f"{model}/1/{name}", CONTENT)
    manifest = ModelManifest(
        model=model,
        model_version="1",
        job="j",
        receipt="digits/d",
        path="model.npz",
        metrics={},
        lineage={},
        files=(Artifact(path="model.npz", size=len(CONTENT)),),  # without a SHA-256, so that its MD5 is looked for
    )
    downloads = Downloads(blobs=space.blobs, clock=lambda: datetime.now(UTC))
    (download,) = downloads.links(manifest, start=0, limit=1)

    answer = httpx.get(download.url)
    assert (answer.content, download.md5) == (CONTENT, MD5)
    assert httpx.get(download.url.replace("model.npz", "secret.npz")).status_code == httpx.codes.FORBIDDEN
    for method in ("PUT", "DELETE"):
        refused = httpx.request(method, download.url, headers={"x-ms-blob-type": "BlockBlob"})
        assert refused.status_code == httpx.codes.FORBIDDEN
