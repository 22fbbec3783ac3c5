"""The main job over the whole local stack: real storage, real events, real jobs, a real registry."""

import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from azure.storage.blob import BlobBlock

from local_azure.job_store import DATABASE, JobStore
from tests.end_to_end.conftest import FINAL, QUIET, Hold, World, until

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())

SCRIPT = b"""
import json, os, pathlib, sys, time
import numpy as np

data = pathlib.Path(os.environ["KEDJA_DATA"]) if "KEDJA_DATA" in os.environ else None
count = sum(1 for path in data.rglob("*") if path.is_file()) if data else 0
print("files", count)
time.sleep(float(sys.argv[sys.argv.index("--sleep") + 1]) if "--sleep" in sys.argv else 0)
os.makedirs("outputs", exist_ok=True)
np.savez("outputs/model.npz", files=count)
pathlib.Path("outputs/metrics.json").write_text(json.dumps({"accuracy": 0.75, "files": count}))
"""
SLOW = b"kedja: {arguments: {sleep: 8}}\n"


def arrays(seed: int = 0) -> bytes:
    """Return a small .npz that the built-in trainer can learn."""
    random = np.random.default_rng(seed)
    y: np.ndarray = np.repeat(np.arange(2), 50)
    x = (random.normal(size=(100, 4)) + y[:, None] * 4).astype(np.float32)
    file = io.BytesIO()
    np.savez(file, x=x, y=y)
    return file.getvalue()


def one(receipts: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(receipts) == 1, [(receipt["status"], receipt["drop"][:8]) for receipt in receipts]
    return receipts[0]


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


def test_what_is_registered_is_what_the_job_made_and_says_where_it_came_from(world: World) -> None:
    world.drop({"data/whole/x.bin": b"1", "scripts/whole/train.py": SCRIPT})
    receipt = one(world.wait("whole", "registered"))
    model = receipt["model"]
    manifest = json.loads(world.read("models", f"whole/{model['version']}/manifest.json"))
    assert {file["path"] for file in manifest["files"]} == {"model.npz", "metrics.json"}
    for file in manifest["files"]:
        content = world.read("models", f"whole/{model['version']}/{file['path']}")
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["size"])
    version = world.get(f"/api/models/whole/{model['version']}")
    assert manifest["lineage"]["kedja_data_sha256"] == receipt["received"]["data_sha256"]
    assert manifest["job"] == receipt["attempts"][0]["job"]
    assert version["champion"] is True
    assert world.names("receipts", ".open/whole/") == []


def test_every_published_event_is_of_the_documented_form_and_comes_once_a_state(world: World) -> None:
    world.drop({"data/told/x.bin": b"1", "scripts/told/train.py": SCRIPT})
    world.wait("told", "registered")
    assert world.receiver.wait_for("Kedja.ModelRegistered", "told", timeout=30)
    assert sorted(str(event["type"]) for event in world.events("told")) == [
        "Kedja.JobCompleted",
        "Kedja.JobSubmitted",
        "Kedja.ModelRegistered",
    ]
    for event in world.receiver.events:
        jsonschema.validate(event, SCHEMA, format_checker=jsonschema.FormatChecker())


def test_data_first_and_the_script_later(world: World) -> None:
    world.drop({"data/late-script/x.bin": b"1"})
    waiting = one(world.wait("late-script", "waiting"))
    assert waiting["reason"] == "script"
    world.drop({"scripts/late-script/train.py": SCRIPT})
    first, second = world.wait("late-script", "superseded", "registered", count=2)
    assert (first["status"], first["followed_by"]) == ("superseded", second["drop"])
    assert second["status"] == "registered"


def test_the_script_first_and_data_later(world: World) -> None:
    world.drop({"scripts/late-data/train.py": SCRIPT})
    assert one(world.wait("late-data", "waiting"))["reason"] == "data"
    world.drop({"data/late-data/x.bin": b"1"})
    receipts = world.wait("late-data", "superseded", "registered", count=2)
    assert [receipt["status"] for receipt in receipts] == ["superseded", "registered"]


def test_a_script_that_needs_no_data(world: World) -> None:
    world.drop({"scripts/alone/train.py": SCRIPT, "scripts/alone/job.yaml": b"kedja: {data: none}\n"})
    receipt = one(world.wait("alone", "registered"))
    assert receipt["attempts"][0]["metrics"]["files"] == 0


def test_data_alone_is_trained_by_the_built_in_trainer(world: World) -> None:
    world.drop({"data/points/points.npz": arrays()})
    receipt = one(world.wait("points", "registered"))
    assert receipt["attempts"][0]["metrics"]["accuracy"] > 0.9
    assert "training_job.train" in receipt["spec"]["command"]


def test_data_of_no_known_format_alone_waits_for_a_script(world: World) -> None:
    world.drop({"data/unknown/x.parquet": b"PAR1"})
    receipt = one(world.wait("unknown", "waiting"))
    assert receipt["reason"] == "script"
    assert "train" in receipt["what_to_do"]
    assert world.jobs("unknown") == []


def test_a_slow_upload_beside_fast_ones_is_waited_for(world: World) -> None:
    slow = world.storage.get_blob_client("data", "slow/slow.bin")
    slow.stage_block("AAAA", b"first half")
    world.drop({"scripts/slow/train.py": SCRIPT, "data/slow/fast.bin": b"1"})
    time.sleep(4 * QUIET)
    assert world.receipts("slow") == []
    slow.stage_block("AAAB", b"second half")
    slow.commit_block_list([BlobBlock("AAAA"), BlobBlock("AAAB")])
    receipt = one(world.wait("slow", "registered"))
    assert receipt["received"]["data"] == 2


def test_a_stale_success_marker_is_waited_for_again(world: World) -> None:
    spec = b"kedja: {drop: {wait_for: _SUCCESS}}\n"
    world.drop({"scripts/marked/train.py": SCRIPT, "scripts/marked/job.yaml": spec, "data/marked/_SUCCESS": b""})
    time.sleep(1.5)
    world.drop({"data/marked/x.bin": b"1"})
    until(lambda: "_SUCCESS" in [receipt["reason"] for receipt in world.receipts("marked")], "the wait for _SUCCESS")
    world.drop({"data/marked/_SUCCESS": b""})
    receipts = world.wait("marked", "registered", "superseded")
    assert [receipt["status"] for receipt in receipts if receipt["status"] == "registered"] == ["registered"]
    assert next(receipt for receipt in receipts if receipt["status"] == "registered")["received"]["data"] == 1


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


def test_an_overwrite_while_the_job_runs_on_its_copy_makes_a_drop_of_its_own(world: World) -> None:
    world.drop({"data/moved/x.bin": b"1", "scripts/moved/train.py": SCRIPT, "scripts/moved/job.yaml": SLOW})
    world.wait("moved", "running")
    world.drop({"data/moved/x.bin": b"2"})
    first, second = world.wait("moved", "registered", count=2)
    assert first["followed_by"] == second["drop"]
    assert second["model"]["champion"] is True


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


@pytest.mark.parametrize(
    ("name", "spec", "says"),
    [
        ("misspelt", b"kedja:\n  entry_scrip: train.py\n", ["line 2", "entry_scrip", "entry_script"]),
        ("wrong-type", b"resources:\n  instance_count: many\n", ["line 2", "resources.instance_count"]),
        ("no-compute", b"compute: azureml:moon\n", ["line 1", "compute", "gpu-cluster"]),
        ("outside", b"kedja: {entry_script: ../../etc/passwd.py}\n", ["line 1", "kedja.entry_script"]),
    ],
)
def test_a_bad_job_yaml_is_rejected_by_line_and_key(world: World, name: str, spec: bytes, says: list[str]) -> None:
    experiment = f"bad-{name}"
    world.drop(
        {
            f"data/{experiment}/x.bin": b"1",
            f"scripts/{experiment}/train.py": SCRIPT,
            f"scripts/{experiment}/job.yaml": spec,
        }
    )
    receipt = one(world.wait(experiment, "rejected"))
    for words in says:
        assert words in receipt["reason"]
    assert receipt["attempts"] == []
    assert world.jobs(experiment) == []
    assert world.receiver.wait_for("Kedja.DropRejected", experiment, timeout=30) == ["Kedja.DropRejected"]


def test_a_gate_that_is_not_met_registers_nothing_and_gives_the_figures(world: World) -> None:
    spec = b"kedja: {register: {when: {metric: accuracy, at_least: 0.9}}}\n"
    world.drop({"data/gate/x.bin": b"1", "scripts/gate/train.py": SCRIPT, "scripts/gate/job.yaml": spec})
    receipt = one(world.wait("gate", "not_registered"))
    assert receipt["reason"] == "accuracy is 0.75, and has to be at least 0.9."
    assert world.versions("gate") == []
    assert world.names("models", "gate/") == []


def test_a_canceled_job_stays_canceled(world: World, hold: Hold) -> None:
    world.drop({"data/stopped/x.bin": b"1", "scripts/stopped/train.py": hold.before(SCRIPT)})
    job = one(world.wait("stopped", "running"))["attempts"][0]["job"]
    assert world.post(f"/api/jobs/{job}/cancel").is_success
    one(world.wait("stopped", "canceled"))
    assert world.receiver.wait_for("Kedja.JobCanceled", "stopped", timeout=30)
    assert world.versions("stopped") == []
    hold.release()
    assert world.post(f"/api/jobs/{job}/retry").is_success
    receipt = one(world.wait("stopped", "registered"))
    assert [attempt["number"] for attempt in receipt["attempts"]] == [1, 2]


def test_a_file_outside_of_any_folder_is_rejected(world: World) -> None:
    world.drop({"data/lost.bin": b"1"})
    receipt = one(world.wait("_root", "rejected"))
    assert "data/lost.bin" in receipt["reason"]
    assert "data/<experiment>/lost.bin" in receipt["what_to_do"]


def test_names_of_every_kind_work(world: World) -> None:
    folder = "Blåbär & 100% #1 +x"
    world.drop({f"data/{folder}/ä b#%&+?.bin": b"1", f"scripts/{folder}/train.py": SCRIPT})
    deadline = time.monotonic() + 180
    latest: dict[str, Any] = {}
    while time.monotonic() < deadline and latest.get("status") not in FINAL:
        latest = world.get(f"/api/drops/{folder.replace('%', '%25').replace('#', '%23')}/latest", missing=True)
        time.sleep(0.3)
    assert latest["status"] == "registered", latest
    assert latest["folder"] == folder
    assert latest["attempts"][0]["metrics"]["files"] == 1


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
        world.clear_of_timer()
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
    # The timer may find it as well as the call above: what matters is that no event did.
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
