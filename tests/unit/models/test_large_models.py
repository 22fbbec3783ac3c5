"""Models of very many files: their registration keeps its lease, and only so many are registered at the same time."""

import contextlib
import json

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Artifact, Status
from function_app.errors import PreconditionFailed
from function_app.models.artifacts import ModelManifest
from function_app.models.registration import AT_ONCE
from function_app.ports.training_service import JobStatus
from tests.unit.many_files import SHA256, ManyFiles, paths, result
from tests.unit.simulation import World, assembled

FILES = 2000
PAGE_SECONDS = 20.0


@pytest.fixture
def large(world: World) -> World:
    """Return a world whose jobs leave many files."""
    blobs = ManyFiles(world.clock, count=FILES, document=result(FILES))
    world.blobs = world.training.blobs = blobs
    world.kedja = assembled(world.kedja.settings, blobs, world.queues, world.training, world.publisher, world.clock)
    return world


def test_a_model_whose_files_take_minutes_to_list_is_registered_by_one_host(large: World) -> None:
    large.drop_digits()
    large.rest()
    blobs, name = large.blobs, naming.receipt_blob(large.receipt().ref)
    assert isinstance(blobs, ManyFiles)
    taken = 0

    def wait_while_another_host_comes() -> None:
        nonlocal taken
        large.clock.advance(PAGE_SECONDS)
        with contextlib.suppress(PreconditionFailed), blobs.lease(naming.RECEIPTS, name, 15):
            taken += 1

    blobs.on_page = wait_while_another_host_comes
    large.training.move(large.live_jobs()[-1].name, JobStatus.COMPLETED)
    large.rest()
    receipt = large.receipt()
    assert (receipt.status, len(large.training.versions), large.failures) == (Status.REGISTERED, 1, [])
    assert taken == 0
    assert receipt.model is not None
    assert (receipt.model.files, receipt.model.size) == (FILES, 7 * FILES)
    manifest = ModelManifest.from_bytes(large.blobs.read(naming.MODELS, "digits/1/manifest.json").data)
    assert [file.path for file in manifest.files] == list(paths(FILES))
    assert {(file.size, file.sha256) for file in manifest.files} == {(7, SHA256)}


def test_no_more_models_are_registered_at_the_same_time_than_memory_has_room_for(large: World) -> None:
    """Each registration that has begun lets the next one begin before it continues."""
    folders = [f"digits-{number}" for number in range(AT_ONCE + 2)]
    for folder in folders:
        large.drop(f"scripts/{folder}/train.py")
        large.drop(f"data/{folder}/digits.npz")
    large.rest()
    large.tells_of_runs = False
    jobs = [job.name for job in large.live_jobs()]
    for job in jobs:
        large.training.move(job, JobStatus.COMPLETED)
    under_way, most, left = 0, 0, list(jobs)

    def begin_another() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if left:
            large.kedja.tracker.sync(left.pop())
        under_way -= 1

    blobs = large.blobs
    assert isinstance(blobs, ManyFiles)
    blobs.count = 1
    blobs.document = result(1)
    blobs.on_page = begin_another
    large.kedja.tracker.sync(left.pop())
    assert most == AT_ONCE
    blobs.on_page = lambda: None
    large.rest()
    assert [large.receipt(folder).status for folder in folders] == [Status.REGISTERED] * len(folders)


def test_a_manifest_is_what_it_was_with_a_line_for_each_file() -> None:
    manifest = ModelManifest(
        model="m",
        model_version="1",
        job="j",
        receipt="e/d",
        path="p",
        metrics={"a": 0.5, "b": float("nan")},
        lineage={"x": "y"},
        files=(Artifact(path='a"\n😀', size=1, sha256=SHA256), Artifact(path="b", size=0)),
    )
    text = manifest.to_bytes().decode()
    assert json.loads(text) == json.loads(manifest.model_dump_json(exclude_none=True))
    assert '\n    {"path": "b", "size": 0}\n  ]\n}' in text
    assert ModelManifest.from_bytes(text.encode()).files == manifest.files
    empty = manifest.model_copy(update={"files": ()})
    assert json.loads(empty.to_bytes())["files"] == []
