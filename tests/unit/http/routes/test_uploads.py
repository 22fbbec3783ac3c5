import json
from http import HTTPStatus
from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.drops.uploads import MOST_READ, Uploads, Wanted
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.memory import MemoryBlobs
from tests.unit.simulation import World

MIB = 1 << 20
MD5 = "CY9rzUYh03PK3k6DJie09g=="


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def ask(client: Client, *files: dict[str, Any], experiment: str = "digits") -> Any:  # noqa: ANN401 - JSON
    answer = client.post(f"/api/experiments/{experiment}/uploads", json={"files": list(files)})
    assert answer.status_code == HTTPStatus.OK, answer.text
    return answer.json()["items"]


def test_a_new_file_gets_a_link_that_creates(client: Client) -> None:
    (link,) = ask(client, {"container": "data", "name": "train/a b.png", "md5": MD5, "size": 6})

    assert link["url"].startswith("https://kedja.blob.core.windows.net/data/digits/train/a%20b.png?sp=c&")
    assert link["method"] == "PUT"
    assert link["headers"] == {
        "x-ms-blob-type": "BlockBlob",
        "If-None-Match": "*",
        "Content-MD5": MD5,
        "x-ms-blob-content-md5": MD5,
    }
    assert link["expires_at"] == "2026-03-01T13:00:00Z"
    assert (link["there"], link["blocks"]) == (None, False)


def test_what_is_there_already_needs_none(world: World, client: Client) -> None:
    there = world.blobs.upload(naming.DATA, "digits/a.png", b"content")
    (link,) = ask(client, {"container": "data", "name": "a.png", "md5": there.md5})

    assert (link["url"], link["expires_at"], link["headers"]) == (None, None, {})
    assert link["there"] == {"size": 7, "md5": there.md5, "modified": "2026-03-01T12:00:00Z"}
    assert world.blobs.names_in(naming.RECEIPTS, ".uploads/") == []


@pytest.mark.parametrize("md5", [MD5, None])
def test_other_content_is_replaced(world: World, client: Client, md5: str | None) -> None:
    world.blobs.upload(naming.DATA, "digits/a.png", b"content")
    (link,) = ask(client, {"container": "data", "name": "a.png", "md5": md5})

    assert "sp=w&" in link["url"]
    assert "If-None-Match" not in link["headers"]
    assert link["there"]["size"] == 7


def test_a_large_file_may_come_in_blocks(client: Client) -> None:
    (link,) = ask(client, {"container": "data", "name": "a.bin", "size": 1 << 30})

    assert link["blocks"] is True
    assert "sp=w&" in link["url"]


def test_a_thousand_links_cost_a_listing_and_a_record(world: World, client: Client) -> None:
    world.blobs.calls.clear()
    links = ask(client, *({"container": "data", "name": f"train/{number}.png"} for number in range(1000)))

    assert len({link["url"] for link in links}) == 1000
    assert [link["name"] for link in links] == [f"train/{number}.png" for number in range(1000)]
    assert [call.operation for call in world.blobs.calls] == ["page", "replace"]


@pytest.mark.parametrize("number", [0, 1001])
def test_a_request_has_a_thousand_files_at_most(client: Client, number: int) -> None:
    files = [{"container": "data", "name": f"{count}.png"} for count in range(number)]

    answer = client.post("/api/experiments/digits/uploads", json={"files": files})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize(
    "name",
    [
        "../other/a",
        "a/../../b",
        "/a",
        "a//b",
        "a/",
        ".",
        "a\\b",
        "a\nb",
        ".hidden",
        "x/.git/a",
        "a.tmp",
        "a.",
        "x" * 1020,
    ],
)
def test_a_name_that_leads_elsewhere_or_would_be_ignored_is_refused(world: World, client: Client, name: str) -> None:
    files = {"files": [{"container": "data", "name": name}]}
    answer = client.post("/api/experiments/digits/uploads", json=files)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["type"] == "urn:kedja:problem:invalid-request"
    assert world.blobs.names_in(naming.RECEIPTS, ".uploads/") == []


def test_half_a_character_is_no_name(client: Client) -> None:
    body = json.dumps({"files": [{"container": "data", "name": "a\ud800"}]})
    answer = client.post("/api/experiments/digits/uploads", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY


@pytest.mark.parametrize("experiment", ["..", ".hidden", "_root", "a%0Ab", "a%5Cb", "$%7B%7Bx%7D%7D"])
def test_a_folder_that_is_none_is_refused(client: Client, experiment: str) -> None:
    files = {"files": [{"container": "data", "name": "a.png"}]}
    answer = client.post(f"/api/experiments/{experiment}/uploads", json=files)

    assert answer.is_client_error
    assert "url" not in answer.text


@pytest.mark.parametrize(
    "wrong",
    [{"container": "models"}, {"container": "receipts"}, {"md5": "x"}, {"md5": "AAAA"}, {"size": -1}, {"name": ""}],
)
def test_a_wrong_value_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    files = {"files": [{"container": "data", "name": "a.png", **wrong}]}

    assert client.post("/api/experiments/digits/uploads", json=files).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_who_asked_is_remembered(world: World, client: Client) -> None:
    ask(client, {"container": "data", "name": "a.png"}, {"container": "scripts", "name": "train.py"})
    uploads = Uploads(blobs=world.blobs, clock=world.clock)
    first = world.clock()
    world.clock.advance(60)
    uploads.links("digits", [], by="nobody")
    ask(client, {"container": "data", "name": "a.png"}, experiment="digits")
    world.blobs.calls.clear()

    assert uploads.of("digits") == {
        ("data", "a.png"): ("local", world.clock()),
        ("scripts", "train.py"): ("local", first),
    }
    assert len(world.blobs.calls) == 3
    assert uploads.of("other") == {}


def test_of_large_records_only_the_newest_are_read(world: World, mocker: MockerFixture) -> None:
    uploads = Uploads(blobs=world.blobs, clock=world.clock)
    for number in range(12):
        files = [
            Wanted(container="data", name=f"{number}/{f'{"x" * 220}/' * 4}{count:03}.png") for count in range(1000)
        ]
        uploads.links("digits", files, by=f"caller {number}")
        world.clock.advance(60)
    read = mocker.spy(MemoryBlobs, "read")

    found = uploads.of("digits")

    count = sum(len(blob.data) for blob in read.spy_return_list)
    assert MOST_READ - MIB < count <= MOST_READ
    newest = range(11, 11 - read.call_count, -1)
    assert {by for by, _ in found.values()} == {f"caller {number}" for number in newest}
    assert len(found) == 1000 * read.call_count


def test_a_receipt_says_who_uploaded(world: World, client: Client) -> None:
    (link,) = ask(client, {"container": "data", "name": "digits.npz"})
    assert link["url"]
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()

    assert world.receipt().uploaded_by == ("local",)
