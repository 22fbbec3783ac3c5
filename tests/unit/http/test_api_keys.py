import json
from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.http.api_keys import REMEMBERED, ApiKeys
from function_app.http.callers import Caller, Role
from tests.unit.memory import MemoryBlobs, VirtualClock


@pytest.fixture
def keys(blobs: MemoryBlobs, clock: VirtualClock) -> ApiKeys:
    return ApiKeys(blobs=blobs, clock=clock, monotonic=lambda: clock().timestamp())


def test_a_key_opens_for_its_owner(keys: ApiKeys) -> None:
    text, stored = keys.create("nightly", Role.DATA, experiments=["digits", "vision-*"])

    assert text.startswith(f"kedja_{stored.id}_")
    assert keys.find(text) == Caller(
        name=f"nightly (key {stored.id})", role=Role.DATA, experiments=("digits", "vision-*")
    )
    assert keys.list() == [stored]


def test_storage_has_the_hash_alone(keys: ApiKeys, blobs: MemoryBlobs) -> None:
    text, stored = keys.create("nightly", Role.CODE)

    kept = blobs.read(naming.RECEIPTS, f".keys/{stored.id}.json").data

    assert text.split("_", 2)[2] not in kept.decode()
    assert len(json.loads(kept)["sha256"]) == 64


def test_no_two_keys_are_alike(keys: ApiKeys) -> None:
    assert len({keys.create("nightly", Role.DATA)[0] for _ in range(5)}) == 5


def test_another_secret_does_not_open(keys: ApiKeys) -> None:
    text, stored = keys.create("nightly", Role.DATA)
    other, _ = keys.create("other", Role.DATA)

    assert keys.find(f"kedja_{stored.id}_{other.split('_', 2)[2]}") is None
    assert keys.find(text) is not None


@pytest.mark.parametrize("text", ["", "kedja_", "kedja_../latest_x", "kedja_0123456789ab_short", f"x_{'a' * 43}"])
def test_what_is_no_key_never_reaches_storage(keys: ApiKeys, blobs: MemoryBlobs, text: str) -> None:
    assert keys.find(text) is None
    assert blobs.calls == []


def test_a_key_is_read_once_a_minute(keys: ApiKeys, blobs: MemoryBlobs, clock: VirtualClock) -> None:
    text, _ = keys.create("nightly", Role.DATA)
    blobs.calls.clear()

    keys.find(text)
    keys.find(text)
    assert len(blobs.calls) == 1

    clock.advance(REMEMBERED + 1)
    keys.find(text)
    assert len(blobs.calls) == 2


def test_a_revoked_key_opens_no_longer_than_it_is_remembered(keys: ApiKeys, clock: VirtualClock) -> None:
    text, stored = keys.create("nightly", Role.DATA)
    keys.find(text)

    assert keys.revoke(stored.id)
    assert not keys.revoke(stored.id)

    clock.advance(REMEMBERED + 1)
    assert keys.find(text) is None


def test_revoke_takes_ids_alone(keys: ApiKeys, blobs: MemoryBlobs) -> None:
    blobs.upload(naming.RECEIPTS, "digits/latest.json", b"{}")

    assert not keys.revoke("../digits/latest")
    assert blobs.get(naming.RECEIPTS, "digits/latest.json") is not None


def test_an_expired_key_does_not_open(keys: ApiKeys, clock: VirtualClock) -> None:
    text, _ = keys.create("nightly", Role.DATA, expires=clock() + timedelta(seconds=30))

    assert keys.find(text) is not None
    clock.advance(30)  # the result is cached, too
    assert keys.find(text) is None


def test_guessing_does_not_fill_the_memory(keys: ApiKeys) -> None:
    for number in range(2500):
        assert keys.find(f"kedja_{number:012x}_{'a' * 43}") is None

    assert len(keys._remembered) <= 1000


def test_a_broken_document_opens_for_nobody(
    keys: ApiKeys, blobs: MemoryBlobs, caplog: pytest.LogCaptureFixture
) -> None:
    blobs.upload(naming.RECEIPTS, ".keys/0123456789ab.json", b"{}")

    assert keys.find(f"kedja_0123456789ab_{'a' * 43}") is None
    assert "receipts/.keys/0123456789ab.json is not a valid key" in caplog.text
