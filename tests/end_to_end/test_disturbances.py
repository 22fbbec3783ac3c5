"""The main job while something goes wrong with the stack, or is changed for all of it: each has it to itself."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_azure.training.job_store import DATABASE, JobStore
from tests.end_to_end.drops import SCRIPT, one
from tests.end_to_end.stacks import QUIET
from tests.end_to_end.world import Hold, World, until

MAKER = b"""
import pathlib

pathlib.Path("outputs/model.npz").write_bytes(b"weights")
"""
SIDE_BY_SIDE = b"kedja: {data: none, drop: {supersede: false}}\n"


@pytest.fixture
def world(world_alone: World) -> World:
    return world_alone


def test_three_hundred_files_with_repeated_and_shuffled_events_make_one_job_and_one_version(world: World) -> None:
    files = {f"data/many/part-{number:03}.bin": bytes([number % 256]) * (number + 1) for number in range(300)}
    trebled = {"duplicate": 3, "reorder": 4}
    with world.faults(storage_data=trebled, storage_scripts=trebled, workspace_runs=trebled):
        world.drop({**files, "scripts/many/train.py": SCRIPT}, parallel=16)
        receipt = one(world.wait("many", "registered"))
        world.calm()
    assert receipt["received"]["data"] == 300
    assert len(world.jobs("many")) == 1
    assert world.versions("many") == ["1"]
    assert receipt["attempts"][0]["metrics"]["files"] == 300

    world.drop({**files, "scripts/many/train.py": SCRIPT}, parallel=16)
    time.sleep(QUIET + 1)
    world.calm()
    again = one(world.receipts("many"))
    assert again["status"] == "registered"
    assert receipt["attempts"][0]["job"] in again["repeats"][-1]["outcome"]
    assert len(world.jobs("many")) == 1

    world.drop({"data/many/part-000.bin": b"x"})
    first, second = world.wait("many", "registered", count=2)
    assert first["drop"] == receipt["drop"]
    assert second["model"]["version"] == "2"
    assert len(world.jobs("many")) == 2


def test_an_overwrite_while_the_job_is_queued_takes_its_place(world: World, hold: Hold) -> None:
    world.drop({"data/ahead/x.bin": b"1", "scripts/ahead/train.py": hold.before(SCRIPT)})
    world.wait("ahead", "running")
    world.drop({"data/queued/x.bin": b"1", "scripts/queued/train.py": SCRIPT})
    world.wait("queued", "submitted", "starting")
    world.drop({"data/queued/x.bin": b"2"})
    until(lambda: "superseded" in [receipt["status"] for receipt in world.receipts("queued")], "the newer drop")
    hold.release()
    first, second = world.wait("queued", "superseded", "registered", count=2)
    assert (first["status"], first["superseded_by"]) == ("superseded", second["drop"])
    assert second["status"] == "registered"
    assert world.versions("queued") == ["1"]
    world.wait("ahead", "registered")


def test_an_overwrite_before_the_job_has_its_copy_of_the_data_ends_it(world: World, hold: Hold) -> None:
    world.drop({"data/first/x.bin": b"1", "scripts/first/train.py": hold.before(SCRIPT)})
    world.wait("first", "running")
    spec = b"kedja: {drop: {supersede: false}}\n"
    world.drop({"data/changed/x.bin": b"1", "scripts/changed/train.py": SCRIPT, "scripts/changed/job.yaml": spec})
    world.wait("changed", "submitted", "starting")
    world.drop({"data/changed/x.bin": b"2"})
    until(lambda: [len(receipt["attempts"]) for receipt in world.receipts("changed")] == [1, 1], "the newer drop's job")
    hold.release()
    first, second = world.wait("changed", "failed", "registered", count=2)
    assert (first["status"], first["attempts"][0]["exit_code"]) == ("failed", 65)
    assert first["reason"].startswith("changed-since-snapshot: data file x.bin ")
    assert (second["status"], world.versions("changed")) == ("registered", ["1"])


def test_a_script_that_fails_leaves_its_exit_code_and_the_end_of_its_log(world: World) -> None:
    script = b"import sys\nfor n in range(80): print('line', n)\nsys.exit(1)\n"
    world.drop({"data/broken/x.bin": b"1", "scripts/broken/train.py": script})
    receipt = one(world.wait("broken", "failed"))
    attempt = receipt["attempts"][0]
    assert attempt["exit_code"] == 1
    assert len(attempt["log_tail"]) == 50
    assert any(line.endswith("line 79") for line in attempt["log_tail"])
    assert world.receiver.wait_for("Kedja.JobFailed", "broken", timeout=30)
    assert world.versions("broken") == []

    world.calm()
    assert len(one(world.receipts("broken"))["attempts"]) == 1
    world.drop({"scripts/broken/train.py": script})
    time.sleep(QUIET + 1)
    world.wait("broken", "failed")
    world.calm()
    assert [attempt["number"] for attempt in one(world.receipts("broken"))["attempts"]] == [1, 2]


def test_a_file_outside_of_any_folder_is_rejected(world: World) -> None:
    world.drop({"data/lost.bin": b"1"})
    receipt = one(world.wait("_root", "rejected"))
    assert "data/lost.bin" in receipt["reason"]
    assert "data/<experiment>/lost.bin" in receipt["what_to_do"]


def test_a_host_killed_while_the_job_runs_loses_nothing(world: World, hold: Hold) -> None:
    world.drop({"data/killed/x.bin": b"1", "scripts/killed/train.py": hold.before(SCRIPT)})
    world.wait("killed", "running")
    world.kill_host()
    hold.release()
    receipt = one(world.wait("killed", "registered", timeout=180))
    assert len(receipt["attempts"]) == 1
    assert world.versions("killed") == ["1"]


def test_a_host_killed_while_artifacts_are_copied_registers_once(world: World) -> None:
    experiment = copies_cut_off(world)
    receipt = one(world.wait(experiment, "registered", timeout=180))
    assert receipt["model"]["files"] == 602
    assert world.versions(experiment) == ["1"]
    assert len(world.names("models", f"{experiment}/1/")) == 603
    registered = [event for event in world.events(experiment) if event["type"] == "Kedja.ModelRegistered"]
    assert len({event["id"] for event in registered}) <= 1


def copies_cut_off(world: World) -> str:
    """Drop experiments until the host was killed between a model's first copy and its manifest; return which it was."""
    script = SCRIPT + b"\nfor n in range(600): pathlib.Path(f'outputs/part-{n}.bin').write_bytes(bytes(n))\n"
    for experiment in (f"copied-{number}" for number in range(1, 6)):
        world.drop({f"data/{experiment}/x.bin": b"1", f"scripts/{experiment}/train.py": script})
        until(lambda: world.names("models", f"{experiment}/1/part-"), "the first copy", every=0.02)  # noqa: B023 - called at once
        world.kill_host()
        if not world.names("models", f"{experiment}/1/manifest.json"):
            return experiment
    raise AssertionError("Every copy was done before the host was killed.")


def test_reconcile_registers_where_every_event_of_the_completion_was_lost(world: World) -> None:
    store = JobStore(world.stack.state / "training" / DATABASE)
    with world.faults(workspace_runs={"drop": {}}):
        world.drop({"data/silent/x.bin": b"1", "scripts/silent/train.py": SCRIPT})
        world.wait("silent", "submitted")
        until(lambda: "silent" not in [job.experiment for job in store.unfinished()], "the end of the job")
        assert one(world.receipts("silent"))["status"] == "submitted"
        world.reconcile()
        one(world.wait("silent", "registered"))


def test_reconcile_finds_files_that_no_event_told_of(world: World) -> None:
    with world.faults(storage_data={"drop": {}}, storage_scripts={"drop": {}}):
        world.drop({"data/unheard/x.bin": b"1", "scripts/unheard/train.py": SCRIPT})
        world.reconcile()
        receipt = one(world.wait("unheard", "registered"))
    assert receipt["trigger"] == "reconcile"


def test_a_pause_loses_nothing(world: World) -> None:
    assert world.http.put("/api/pause", json={"reason": "a test"}).is_success
    try:
        world.drop({"data/paused/x.bin": b"1", "scripts/paused/train.py": SCRIPT})
        time.sleep(2 * QUIET)
        assert world.receipts("paused") == []
    finally:
        assert world.http.delete("/api/pause").is_success
    world.reconcile()
    one(world.wait("paused", "registered", timeout=240))


@contextmanager
def settings(world: World, **values: str) -> Iterator[None]:
    """Have the functions host run with other settings."""
    path: Path = world.stack.write_settings()
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "Values": {**document["Values"], **values}}))
    world.restart_host()
    try:
        yield
    finally:
        world.stack.write_settings()
        world.restart_host()


@pytest.mark.timeout(600)
def test_five_drops_never_run_more_than_two_at_once(world: World, hold: Hold) -> None:
    store = JobStore(world.stack.state / "training" / DATABASE)
    counts, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            counts.append(sum(job.experiment == "crowd" for job in store.unfinished()))

    watcher = threading.Thread(target=watch)
    with settings(world, KEDJA_MAX_JOBS_PER_EXPERIMENT="2"):
        watcher.start()
        try:
            for number in range(1, 6):
                script = hold.before(MAKER) + f"# {number}\n".encode()
                world.drop({"scripts/crowd/train.py": script, "scripts/crowd/job.yaml": SIDE_BY_SIDE})
                until(lambda: len(world.receipts("crowd")) == number, f"receipt {number}")  # noqa: B023 - called at once
            assert "queued" in {receipt["status"] for receipt in world.receipts("crowd")}
            hold.release()
            receipts = world.wait("crowd", "registered", "failed", count=5, timeout=240)
        finally:
            done.set()
            watcher.join()
    assert [receipt["status"] for receipt in receipts] == ["registered"] * 5
    assert max(counts) == 2
    assert [len(receipt["attempts"]) for receipt in receipts] == [1] * 5
    assert world.names("receipts", ".queued/crowd/") == []
