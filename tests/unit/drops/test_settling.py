import random

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Receipt, Status
from tests.unit.drops.statuses import statuses
from tests.unit.simulation import SCRIPT, World


class TestOneDropIsOneJob:
    def test_of_300_files_whose_events_come_three_times_and_shuffled(self, world: World) -> None:
        world.shuffled = True
        paths = [f"data/digits/{kind}/{number}.png" for number in range(150) for kind in ("even", "odd")]
        for path in paths:
            world.drop(path, path.encode(), times=0)
        events = [path for path in paths for _ in range(3)]
        random.Random(1).shuffle(events)  # noqa: S311 - repeatable on purpose
        for path in events:
            world.announce(path)
        world.rest()
        assert len(world.training.jobs) == 1
        world.run_job()
        assert len(world.training.versions) == 1
        receipt = world.receipt()
        assert (receipt.status, receipt.received.data, len(receipt.received.data_files)) == (
            Status.REGISTERED,
            300,
            100,
        )
        assert receipt.repeats == ()

    def test_and_the_same_content_again_is_none(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert len(receipt.attempts) == len(world.training.jobs) == 1
        (repeat,) = receipt.repeats
        assert (
            repeat.outcome
            == f"The same content was dropped again; job {receipt.job} trained version 1 of model digits."
        )

    def test_and_one_byte_more_is_one_more(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"digits!")
        world.rest()
        world.run_job()
        assert statuses(world) == [Status.REGISTERED, Status.REGISTERED]
        assert [version.version for version in world.training.versions] == ["1", "2"]

    def test_and_late_events_are_no_drop(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        before = world.receipt()
        world.announce("data/digits/digits.npz", times=3)
        world.rest()
        assert world.receipt() == before


class TestWhatComesFirst:
    def test_data_then_script(self, world: World) -> None:
        world.drop("data/digits/notes.txt")
        world.rest()
        (waiting,) = world.receipts()
        assert (waiting.status, waiting.reason) == (Status.WAITING, "script")
        assert waiting.what_to_do is not None
        assert "scripts/digits/" in waiting.what_to_do
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert second.status is Status.SUBMITTED

    def test_script_then_data(self, world: World) -> None:
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        (waiting,) = world.receipts()
        assert (waiting.status, waiting.reason, world.training.jobs) == (Status.WAITING, "data", {})
        world.drop("data/digits/anything.bin")
        world.rest()
        assert statuses(world) == [Status.SUPERSEDED, Status.SUBMITTED]

    def test_both_together(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        receipt = world.receipt()
        assert (receipt.status, receipt.received.scripts, receipt.received.data) == (Status.SUBMITTED, 1, 1)
        assert "python train.py" in receipt.spec["command"]
        assert world.blobs.read(naming.SNAPSHOTS, f"digits/{receipt.drop}/scripts/train.py").data == SCRIPT

    def test_data_alone_in_a_format_that_is_known(self, world: World) -> None:
        world.drop("data/digits/digits.npz")
        world.rest()
        assert world.receipt().status is Status.SUBMITTED
        assert "training_job.train" in world.receipt().spec["command"]

    def test_a_script_after_a_built_in_job_makes_a_second_one(self, world: World) -> None:
        world.drop("data/digits/digits.npz")
        world.rest()
        world.run_job()
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        first, second = world.receipts()
        assert (first.status, first.followed_by) == (Status.REGISTERED, second.drop)
        assert second.status is Status.SUBMITTED

    def test_a_script_that_needs_no_data(self, world: World) -> None:
        world.drop("scripts/digits/job.yaml", b"kedja: {data: none}\n")
        world.drop("scripts/digits/train.py", SCRIPT)
        world.rest()
        receipt = world.receipt()
        assert receipt.status is Status.SUBMITTED
        assert "data" not in receipt.spec["inputs"]
        world.drop("data/digits/digits.npz")
        world.rest()
        assert len(world.training.jobs) == 1


@pytest.mark.parametrize(
    ("job_yaml", "expected"),
    [
        (b"compute: gpu-cluster\ncomand: python x.py\n", ["line 2", "comand", "command"]),
        (b"kedja:\n  arguments: 3\n", ["line 2", "kedja.arguments", "mapping"]),
        (b"compute: gpu-cluser\n", ["line 1", "compute", "gpu-cluster", "cpu-cluster"]),
        (b"\nkedja: {entry_script: ../other/train.py}\n", ["line 2", "kedja.entry_script", "../other/train.py"]),
        (b"a: [\n", ["line"]),
    ],
    ids=["misspelt key", "wrong type", "unknown compute", "path outside of the drop", "no YAML"],
)
def test_a_wrong_job_yaml_is_rejected_with_line_and_key(world: World, job_yaml: bytes, expected: list[str]) -> None:
    world.drop("scripts/digits/job.yaml", job_yaml)
    world.drop_digits()
    world.rest()
    receipt = world.receipt()
    assert (receipt.status, world.training.jobs) == (Status.REJECTED, {})
    assert receipt.reason is not None
    assert [word for word in expected if word.lower() not in receipt.reason.lower()] == []
    assert world.publisher.types() == ["Kedja.DropRejected"]
    assert (world.opened(), world.markers()) == ([], [])


def test_an_empty_job_yaml_asks_for_every_default(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"")
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


class TestOutsideOfAnyFolder:
    def test_a_file_is_rejected(self, world: World) -> None:
        world.drop("data/digits.npz")
        world.drop("scripts/train.py")
        world.rest()
        receipts = world.receipts("_root")
        assert {receipt.folder for receipt in receipts} == {"digits.npz", "train.py"}
        assert {receipt.status for receipt in receipts} == {Status.REJECTED}
        (data,) = [receipt for receipt in receipts if receipt.folder == "digits.npz"]
        assert data.what_to_do == "Drop it into a folder: data/<experiment>/digits.npz."
        assert world.publisher.types() == ["Kedja.DropRejected"] * 2
        assert world.opened() == []

    def test_one_that_is_gone_again_is_nothing(self, world: World) -> None:
        world.announce("data/digits.npz")
        world.rest()
        assert world.receipts("_root") == []


def test_a_drop_is_on_the_page_of_receipts(world: World) -> None:
    world.drop_digits()
    world.rest()
    summaries, token = world.kedja.receipts.page(size=10)
    receipt: Receipt = world.receipt()
    assert [(one.drop, one.status, one.job) for one in summaries] == [(receipt.drop, "submitted", receipt.job)]
    assert token is None
