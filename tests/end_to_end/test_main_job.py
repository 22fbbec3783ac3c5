"""The main job over the whole local stack: real storage, real events, real jobs, a real registry."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from azure.storage.blob import BlobBlock

from tests.end_to_end.drops import SCRIPT, SLOW, arrays, one
from tests.end_to_end.stacks import QUIET
from tests.end_to_end.world import FINAL, Hold, World, until

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())


@pytest.mark.smoke
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
    until(lambda: not world.names("receipts", ".open/whole/"), "the end of the mark")


@pytest.mark.smoke
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
    world.drop({"data/unknown/x.dat": b"PAR1"})
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


def test_an_overwrite_while_the_job_runs_on_its_copy_makes_a_drop_of_its_own(world: World) -> None:
    world.drop({"data/moved/x.bin": b"1", "scripts/moved/train.py": SCRIPT, "scripts/moved/job.yaml": SLOW})
    world.wait("moved", "running")
    world.drop({"data/moved/x.bin": b"2"})
    first, second = world.wait("moved", "registered", count=2)
    assert first["followed_by"] == second["drop"]
    assert second["model"]["champion"] is True


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
    assert receipt["reason"] == "accuracy is 0.75, but must be at least 0.9."
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
