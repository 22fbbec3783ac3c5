"""Archives among the scripts, from the drop to the job."""

import base64
import hashlib
import json
from typing import Any

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Receipt, Status
from tests.unit.hostile_archives import COMPRESSIONS, tarred, zipped
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World

DATA = ("data/digits/digits.npz", b"digits")
CODE = [("train.py", SCRIPT), ("lib/network.py", b"class Network: pass\n"), ("requirements.txt", b"")]


def dropped(world: World, **archives: bytes) -> Receipt:
    """Drop archives (`code_zip` is code.zip) and data, and return the receipt."""
    for name, data in archives.items():
        world.drop(f"scripts/digits/{name.replace('_', '.')}", data)
    world.drop(*DATA)
    world.rest()
    return world.receipts()[-1]


def snapshot(world: World, receipt: Receipt) -> dict[str, bytes]:
    prefix = f"{naming.snapshot_prefix(receipt.ref)}scripts/"
    found = world.blobs.names_in(naming.SNAPSHOTS, prefix)
    return {name.removeprefix(prefix): world.blobs.read(naming.SNAPSHOTS, name).data for name in found}


def manifest(world: World, receipt: Receipt) -> Any:  # noqa: ANN401 - plain JSON
    name = f"{naming.snapshot_prefix(receipt.ref)}manifest.json"
    return json.loads(world.blobs.read(naming.SNAPSHOTS, name).data)


@pytest.mark.parametrize("suffix", [".zip", *COMPRESSIONS])
def test_an_archive_counts_as_the_files_in_it(world: World, suffix: str) -> None:
    data = zipped(CODE) if suffix == ".zip" else COMPRESSIONS[suffix](tarred(CODE))
    receipt = dropped(world, **{f"code{suffix}": data})
    assert receipt.status is Status.SUBMITTED
    assert snapshot(world, receipt) == dict(CODE)
    (job,) = world.training.jobs.values()
    assert "-- python train.py" in world.training.requests[job.name].document["command"]


def test_its_receipt_and_manifest_say_what_it_holds(world: World) -> None:
    receipt = dropped(world, code_zip=zipped(CODE))
    (archive,) = receipt.received.archives
    assert (archive.name, archive.files, archive.size, archive.folder) == ("code.zip", 3, len(SCRIPT) + 20, None)
    assert [file.name for file in receipt.received.script_files] == ["code.zip"]
    told = manifest(world, receipt)
    assert [(file["name"], file["size"], file["md5"]) for file in told["scripts"]] == [
        (name, len(content), base64.b64encode(hashlib.md5(content).digest()).decode())  # noqa: S324 - Content-MD5
        for name, content in sorted(CODE)
    ]
    assert told["archives"] == [{"name": "code.zip", "files": 3, "size": len(SCRIPT) + 20, "folder": None}]
    assert told["entry_script"] == "train.py"


def test_the_only_folder_in_it_is_taken_off(world: World) -> None:
    receipt = dropped(world, code_zip=zipped([(f"digits-main/{name}", content) for name, content in CODE]))
    assert snapshot(world, receipt) == dict(CODE)
    assert receipt.received.archives[0].folder == "digits-main/"


def test_one_of_two_folders_is_not(world: World) -> None:
    receipt = dropped(world, code_zip=zipped([("a/x.py", b""), ("b/y.py", b"")]), train_py=SCRIPT)
    assert sorted(snapshot(world, receipt)) == ["a/x.py", "b/y.py", "train.py"]


def test_its_job_yaml_counts_as_if_it_lay_there(world: World) -> None:
    job = (
        naming.JOB_YAML,
        b"command: python lib/network.py\nenvironment: {image: kedja.azurecr.io/x, conda_file: c.yml}\n",
    )
    receipt = dropped(world, code_zip=zipped([*CODE, job, ("c.yml", b"dependencies: [python=3.13]\n")]))
    assert receipt.status is Status.SUBMITTED
    document = next(iter(world.training.requests.values())).document
    assert "--shell 'python lib/network.py'" in document["command"]
    assert document["environment"]["conda_file"]["dependencies"] == ["python=3.13"]
    assert naming.JOB_YAML in snapshot(world, receipt)
    assert naming.JOB_YAML not in [file["name"] for file in manifest(world, receipt)["scripts"]]


def test_a_wrong_job_yaml_in_it_is_rejected_with_its_line(world: World) -> None:
    receipt = dropped(world, code_zip=zipped([*CODE, (naming.JOB_YAML, b"comand: x\n")]))
    assert receipt.status is Status.REJECTED
    assert "line 1, column 1: comand: unknown key" in (receipt.reason or "")


def test_one_in_a_subfolder_or_in_another_is_a_file_like_any_other(world: World) -> None:
    inner = zipped(CODE)
    world.drop("scripts/digits/assets/words.zip", inner)
    receipt = dropped(world, code_zip=zipped([("train.py", SCRIPT), ("more.zip", inner)]))
    assert snapshot(world, receipt) == {"train.py": SCRIPT, "more.zip": inner, "assets/words.zip": inner}


def test_the_same_archive_is_the_same_drop(world: World) -> None:
    dropped(world, code_zip=zipped(CODE))
    world.run_job()
    world.clock.advance(60)
    receipt = dropped(world, code_zip=zipped(CODE))
    assert (len(world.receipts()), len(receipt.attempts), len(receipt.repeats)) == (1, 1, 1)


def test_a_retry_runs_what_was_unpacked(world: World) -> None:
    dropped(world, code_zip=zipped(CODE))
    name = world.run_job(exit_code=1)
    world.blobs.delete(naming.SCRIPTS, "digits/code.zip")
    receipt = world.kedja.job_commands.retry(name)
    assert (receipt.status, len(receipt.attempts)) == (Status.SUBMITTED, 2)
    assert snapshot(world, receipt) == dict(CODE)


REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "a way out": ({"code_zip": zipped([("../x.py", b"")])}, "'../x.py' leads out of its folder"),
    "a file that is there": (
        {"code_zip": zipped(CODE), "train_py": SCRIPT},
        "'train.py' would replace 'train.py'",
    ),
    "in other letters": ({"code_zip": zipped(CODE), "Train_py": SCRIPT}, "'train.py' would replace 'Train.py'"),
    "a job.yaml too many": (
        {"code_zip": zipped([*CODE, (naming.JOB_YAML, b"")]), "job_yaml": b"{}"},
        "'job.yaml' would replace 'job.yaml'",
    ),
    "another archive's": (
        {"a_zip": zipped(CODE), "b_tar": tarred(CODE)},
        "b.tar is not unpacked: 'lib/network.py' would replace",
    ),
    "twice": ({"code_tar": tarred([*CODE, *CODE])}, "it contains 'train.py' twice"),
    "in other letters in it": ({"code_zip": zipped([*CODE, ("LIB/Network.py", b"")])}, "would replace"),
    "composed otherwise": (
        {"code_zip": zipped([("a\u0308.py", b""), ("\u00e4.py", b""), *CODE])},
        "would replace",
    ),
    "a file and a folder": (
        {"code_zip": zipped([("lib", b""), *CODE])},
        "'lib/network.py' would make 'lib' both a file and a folder",
    ),
    "a folder and a file": (
        {"code_zip": zipped([("lib/x.py/y.py", b""), ("lib/x.py", b""), *CODE])},
        "a file and a folder",
    ),
    "together too large": (
        {"a_zip": bytes(11 << 20), "b_zip": bytes(11 << 20)},
        "b.zip is not unpacked: the archives of a drop may have at most 20971520 bytes in total",
    ),
    "too large": ({"code_zip": bytes(21 << 20)}, "at most 20971520 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_that_is_refused_is_a_receipt_with_what_to_do(world: World, name: str) -> None:
    archives, why = REFUSED[name]
    receipt = dropped(world, **archives)
    assert receipt.status is Status.REJECTED
    assert why in (receipt.reason or "")
    assert receipt.what_to_do == "Drop an archive that contains only regular files, or drop the files themselves."
    assert world.training.jobs == {}
    assert world.failures == []
    assert "DropRejected" in world.publisher.published[-1].type


def test_a_mended_one_is_taken(world: World) -> None:
    dropped(world, code_zip=b"no archive")
    world.clock.advance(60)
    receipt = dropped(world, code_zip=zipped(CODE))
    assert [one.status for one in world.receipts()] == [Status.REJECTED, Status.SUBMITTED]
    assert snapshot(world, receipt) == dict(CODE)


def test_one_that_changes_while_it_is_read_is_looked_at_again(world: World) -> None:
    world.drop("scripts/digits/code.zip", zipped(CODE))
    world.drop(*DATA)
    changed = zipped([*CODE, ("new.py", b"")])
    world.kedja = host(
        world,
        blobs=lambda port: Meanwhile(
            port, "read", lambda: world.drop("scripts/digits/code.zip", changed), about="digits/code.zip"
        ),
    )
    world.rest()
    assert "new.py" in snapshot(world, world.receipt())
    assert world.failures == []


def test_one_that_is_deleted_while_it_is_read_is_no_failure(world: World) -> None:
    world.drop("scripts/digits/code.zip", zipped(CODE))
    world.drop("data/digits/notes.txt", b"words")
    world.kedja = host(
        world,
        blobs=lambda port: Meanwhile(
            port, "read", lambda: world.blobs.delete(naming.SCRIPTS, "digits/code.zip"), about="digits/code.zip"
        ),
    )
    world.rest()
    assert (world.receipt().status, world.receipt().reason) == (Status.WAITING, "script")
    assert world.failures == []
