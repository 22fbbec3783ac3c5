import base64
import json
from datetime import timedelta
from http import HTTPStatus

import pytest

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.http.callers import Role
from function_app.http.paging.position import InvalidToken
from function_app.http.paging.receipts import newest
from function_app.ports.training_service import JobStatus
from function_app.store.receipts import ReceiptSummary
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.simulation import World


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


@pytest.fixture
def drop(world: World) -> str:
    world.drop_digits()
    world.rest()
    return world.receipt().drop


def test_a_receipt_is_the_document_in_storage(world: World, client: Client, drop: str) -> None:
    document = world.receipt().model_dump(mode="json", exclude_none=True, exclude={"outbox"})

    assert client.get_json(f"/api/drops/digits/{drop}") == document


@pytest.mark.parametrize(
    ("reason", "waiting_for"),
    [("script", "files"), ("compute gpu", "compute"), (f"approval of {'0' * 64}", "approval")],
)
def test_a_receipt_of_an_earlier_release_has_what_it_waits_for_in_its_field_too(
    world: World, client: Client, reason: str, waiting_for: str
) -> None:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"import chainer")
    world.announce("scripts/digits/train.py")
    world.rest()
    stored = json.loads(world.receipt().to_bytes()) | {"reason": reason}
    del stored["waiting_for"]
    name = naming.receipt_blob(world.receipt().ref)
    world.blobs.replace(naming.RECEIPTS, name, json.dumps(stored).encode())

    assert client.get_json("/api/drops/digits/latest")["waiting_for"] == waiting_for


def test_what_waits_to_be_published_is_not_told(world: World, client: Client, drop: str) -> None:
    world.publisher.refuses = True
    world.training.move(world.live_jobs()[0].name, JobStatus.RUNNING)
    world.training.finish(world.live_jobs()[0].name)
    world.go_on(60)

    assert world.receipt().outbox
    assert "outbox" not in client.get_json(f"/api/drops/digits/{drop}")


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_a_receipt_that_did_not_change_is_not_sent_again(world: World, client: Client, drop: str, form: str) -> None:
    address = f"/api/drops/digits/{drop}"
    etag = client.get(address).headers["etag"]

    same = client.get(address, headers={"If-None-Match": form.format(etag.strip('"'))})

    assert (same.status_code, same.content, same.headers["etag"]) == (HTTPStatus.NOT_MODIFIED, b"", etag)
    world.run_job()
    changed = client.get(address, headers={"If-None-Match": etag})
    assert changed.status_code == HTTPStatus.OK
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize("length", [8, 12, 63])
def test_the_beginning_of_an_id_will_do(client: Client, drop: str, length: int) -> None:
    assert client.get_json(f"/api/drops/digits/{drop[:length]}")["drop"] == drop


def test_the_latest_drop(world: World, client: Client, drop: str) -> None:
    world.drop("data/digits/more.npz")
    world.rest()

    latest = client.get_json("/api/drops/digits/latest")

    assert latest["drop"] != drop
    assert latest["received"]["data"] == 2


def test_an_experiment_goes_by_its_folders_name_too(world: World, client: Client) -> None:
    world.drop("data/Ölfilter Körnung/a.npz")
    world.rest()

    answer = client.get_json("/api/drops/Ölfilter Körnung/latest")

    assert answer["folder"] == "Ölfilter Körnung"
    assert client.get_json(f"/api/drops/{answer['experiment']}/latest") == answer


def test_a_file_outside_of_any_folder_has_a_receipt(world: World, client: Client) -> None:
    world.drop("data/lost.csv")
    world.rest()

    (item,) = client.get_json("/api/drops?experiment=_root")["items"]

    assert client.get_json(item["receipt"])["status"] == "rejected"


@pytest.mark.parametrize(
    "path",
    ["digits/{drop:.7}", "digits/00000000", "digits/DEADBEEF", "other/{drop}", "other/latest", ".by-time/latest"],
)
def test_an_unknown_drop_is_not_found(client: Client, drop: str, path: str) -> None:
    answer = client.get(f"/api/drops/{path.format(drop=drop)}")

    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_a_beginning_of_several_ids_is_not_enough(world: World, client: Client, drop: str) -> None:
    receipt = world.receipt().replace(drop=drop[:10] + "0" * 54)
    world.kedja.receipts.create(receipt)

    answer = client.get(f"/api/drops/digits/{drop[:8]}")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "Several" in answer.json()["detail"]


def make_receipts(world: World, drop: str, number: int) -> None:
    for count in range(number):
        fresh = world.receipt("digits").replace(
            experiment="many", drop=f"{count:064x}", received_at=world.clock() + timedelta(seconds=count)
        )
        world.kedja.receipts.create(fresh)


def test_pages_follow_each_other_without_a_gap(world: World, client: Client, drop: str) -> None:
    make_receipts(world, drop, 7)
    seen, after = [], ""
    while True:
        page = client.get_json(f"/api/drops?experiment=many&limit=3{after}")
        seen.append([int(item["drop"], 16) for item in page["items"]])
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == [[6, 5, 4], [3, 2, 1], [0]]


def test_what_comes_meanwhile_moves_nothing(world: World, client: Client, drop: str) -> None:
    make_receipts(world, drop, 4)
    first = client.get_json("/api/drops?experiment=many&limit=2")
    newer = world.receipt("digits").replace(experiment="many", drop="f" * 64, received_at=world.clock() + timedelta(1))
    world.kedja.receipts.create(newer)

    second = client.get_json(f"/api/drops?experiment=many&limit=2&after={first['next']}")

    assert [int(item["drop"], 16) for item in second["items"]] == [1, 0]


def test_a_long_list_is_read_in_parts(world: World, drop: str) -> None:
    make_receipts(world, drop, 9)

    def oldest(after: str | None) -> tuple[list[ReceiptSummary], str | None]:
        is_oldest = f"{0:064x}"
        return newest(world.kedja.receipts, lambda one: one.drop == is_oldest, limit=5, after=after, reads=(2, 2, 2))

    found, after = oldest(None)
    assert found == []
    assert after is not None

    found, after = oldest(after)
    assert [one.drop for one in found] == [f"{0:064x}"]
    assert after is None


def test_a_token_tells_a_limited_caller_nothing_of_others(
    world: World, drop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("function_app.http.paging.receipts.MAX_LIST_PAGE", 2)
    make_receipts(world, drop, 5)
    for count in range(5):  # one between every two of them
        other = world.receipt("digits").replace(
            drop=f"{count:064x}", received_at=world.clock() + timedelta(seconds=count)
        )
        world.kedja.receipts.create(other.replace(experiment="secret"))
    client = limited(world, Role.DATA, "many")
    seen, after = [], ""
    while True:
        page = client.get_json(f"/api/drops?limit=2{after}")
        seen.append([int(item["drop"], 16) for item in page["items"]])
        if page["next"] is None:
            break
        assert b"secret" not in base64.urlsafe_b64decode(page["next"])
        after = f"&after={page['next']}"

    assert seen == [[4, 3], [2, 1], [0]]


def test_a_page_that_ends_with_the_list_has_no_next(world: World, client: Client, drop: str) -> None:
    assert client.get_json("/api/drops?limit=1")["next"] is None


@pytest.mark.parametrize("after", ["x", "e30=", "WzEsIDJd", "bnVsbA==", "ö"])
def test_a_token_that_was_not_made_here_is_refused(world: World, client: Client, after: str) -> None:
    with pytest.raises(InvalidToken):
        newest(world.kedja.receipts, lambda _: True, limit=1, after=after)
    assert client.get("/api/drops", params={"after": after}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def index_many(world: World, number: int) -> None:
    """Upload the index entries of `number` receipts of ten experiments; the oldest receipt is waiting."""
    for count in range(number):
        at = world.clock() + timedelta(seconds=count)
        experiment, one = f"many-{count % 10}", f"{count:064x}"
        metadata = {
            "status": "waiting" if count == 0 else "registered",
            "received": at.isoformat(),
            "updated": at.isoformat(),
            "job": f"{experiment}-{count}",
        }
        for name in (naming.by_time_blob(at, DropRef(experiment, one)), naming.receipt_blob(DropRef(experiment, one))):
            world.blobs.upload(naming.RECEIPTS, name, b"", metadata=metadata)


def test_ten_thousand_receipts_are_listed_and_filtered_in_three_calls(world: World, client: Client, drop: str) -> None:
    index_many(world, 9_999)  # and the receipt that already exists
    for query, expected in {
        "": 50,
        "?limit=200": 200,
        "?status=waiting": 1,
        "?status=failed": 0,
        "?experiment=many-3": 50,
        "?experiment=many-0&status=waiting": 1,
        "?experiment=nobody": 0,
        "?experiment=digits": 1,
    }.items():
        for kind in ("drops", "jobs"):
            world.blobs.calls.clear()
            items = client.get_json(f"/api/{kind}{query}")["items"]
            assert len(items) == expected, query
            assert len(world.blobs.calls) <= 3, query


def test_an_experiment_of_very_many_is_read_by_time(
    world: World, client: Client, drop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("function_app.http.paging.receipts.MAX_LIST_PAGE", 3)
    make_receipts(world, drop, 7)
    seen, after = [], ""
    while True:
        page = client.get_json(f"/api/drops?experiment=many&limit=2{after}")
        seen += [int(item["drop"], 16) for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert seen == [6, 5, 4, 3, 2, 1, 0]


def test_listing_costs_one_call(world: World, client: Client, drop: str) -> None:
    world.blobs.calls.clear()

    client.get_json("/api/drops")

    assert [(call.operation, call.container) for call in world.blobs.calls] == [("page", naming.RECEIPTS)]
