"""The digest that is approved: all that decides which code runs, and nothing else."""

import base64
import hashlib

import pytest
from attrs import evolve
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import Status
from function_app.jobspec.schema import JobSpec, parse_job_yaml
from function_app.store import approvals as approvals_module
from tests.unit.hostile_archives import zipped
from tests.unit.simulation import SCRIPT, World
from tests.unit.store.approvals.waiting import digest_of, waiting


def test_approved_code_runs_on_other_data_without_a_word(world: World) -> None:
    world.kedja.approval_service.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"other digits")
    world.rest()
    assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.SUBMITTED]


def test_other_code_waits_again(world: World) -> None:
    world.kedja.approval_service.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"import os; os.system('harm')")
    world.rest()
    assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.WAITING]


def test_a_hash_that_somebody_else_wrote_counts_for_nothing(world: World) -> None:
    """Content-MD5 is a property that writers may set: the content itself is read."""
    world.kedja.approval_service.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    harm = b"harm".ljust(len(SCRIPT), b"#")
    world.drop("scripts/digits/train.py", harm)
    stored = world.blobs.stored[naming.SCRIPTS, "digits/train.py"]
    forged = base64.b64encode(hashlib.md5(SCRIPT).digest()).decode()  # noqa: S324 - Content-MD5
    stored.item = evolve(stored.item, md5=forged)
    world.drop("data/digits/more.npz", b"more")
    world.rest()
    assert world.receipts()[-1].status is Status.WAITING
    assert len(world.training.jobs) == 1


def test_a_script_without_a_hash_counts_by_its_content(world: World) -> None:
    world.drop("scripts/digits/train.py", SCRIPT, hashed=False)
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    world.kedja.approval_service.approve(digest_of(world.receipt()), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT, hashed=False)
    world.rest()
    assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.SUBMITTED]


def test_one_too_large_to_be_read_counts_by_its_etag(world: World, mocker: MockerFixture) -> None:
    mocker.patch.object(approvals_module, "LARGEST", 4)
    first = digest_of(waiting(world))
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    assert digest_of(world.receipts()[-1]) != first


@pytest.mark.parametrize(
    "job",
    [
        "command: python train.py; harm",
        "code: lib",
        "environment: {image: evil.azurecr.io/x}",
        "environment_variables: {PYTHONSTARTUP: harm.py}",
        "kedja: {entry_script: harm.py}",
        "kedja: {register: {model: another}}",
        "kedja: {register: {when: {metric: m, at_least: 1}}}",
        "kedja: {arguments: {a.b: harm}}",
        "inputs: {a: harm}",
        (
            "type: sweep\ntrial: {command: harm}\nsearch_space: {a: {type: choice, values: [x]}}\n"
            "objective: {goal: maximize, primary_metric: m}\nlimits: {max_total_trials: 1}"
        ),
    ],
)
def test_every_key_that_decides_on_code_is_part_of_the_digest(world: World, job: str) -> None:
    world.drop_digits()
    drop, approvals = Drop.list_drop(world.blobs, "digits"), world.kedja.approval_service.approvals
    plain, changed = JobSpec(), parse_job_yaml(job)
    again = parse_job_yaml(job.replace("harm", "farm"))
    digests = [approvals.digest(drop, spec) for spec in (plain, changed, again)]
    assert digests[0] != digests[1]
    assert (digests[1] != digests[2]) == ("harm" in job)


def test_what_decides_on_no_code_is_not(world: World) -> None:
    world.drop_digits()
    drop, approvals = Drop.list_drop(world.blobs, "digits"), world.kedja.approval_service.approvals
    other = parse_job_yaml("display_name: x\nkedja: {arguments: {epochs: 3}}\nlimits: {timeout: 60}")
    assert approvals.digest(drop, other) == approvals.digest(drop, JobSpec())


def test_data_for_the_built_in_trainer_needs_none(world: World) -> None:
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_archives_are_approved_as_they_are(world: World) -> None:
    world.drop("scripts/digits/code.zip", zipped([("train.py", SCRIPT)]))
    world.drop("data/digits/digits.npz", b"digits")
    world.rest()
    world.kedja.approval_service.approve(digest_of(world.receipt()), by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
