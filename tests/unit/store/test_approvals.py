"""Approvals: code waits until somebody approves it, and nobody can pass other code off as approved."""

import base64
import hashlib
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from attrs import evolve
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import Receipt, Status
from function_app.errors import Refused, TrainingServiceUnavailable
from function_app.http.api_keys import ApiKeys
from function_app.http.callers import Role
from function_app.jobspec.schema import JobSpec, parse_job_yaml
from function_app.operations.service import Kedja
from function_app.ports.training_service import JobStatus
from function_app.settings import Settings
from function_app.store import approvals as approvals_module
from tests.unit.api import KEYS, LOCAL, api_over
from tests.unit.hostile_archives import zipped
from tests.unit.http_client import Client
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import MOST_DELIVERIES, SCRIPT, World, assembled


@pytest.fixture
def world() -> World:
    return World.make(approvals="required")


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


def waiting(world: World) -> Receipt:
    """Drop digits, and return the receipt that waits."""
    world.drop_digits()
    world.rest()
    return world.receipt()


def digest_of(receipt: Receipt) -> str:
    assert receipt.received.code_sha256 is not None
    return receipt.received.code_sha256


def approved(world: World) -> Receipt:
    """Have a drop wait, and its code be approved; return the receipt as it waits."""
    receipt = waiting(world)
    world.kedja.approver.approve(digest_of(receipt), by="ada", note=None)
    return receipt


def pending(world: World) -> list[str]:
    return world.blobs.names_in(naming.RECEIPTS, approvals_module.PENDING)


def test_code_that_nobody_approved_waits_and_says_what_to_do(world: World) -> None:
    receipt = waiting(world)
    digest = digest_of(receipt)
    assert (receipt.status, receipt.reason) == (Status.WAITING, f"approval of {digest}")
    assert receipt.what_to_do is not None
    assert f'POST /api/approvals {{"digest": "{digest}"}}' in receipt.what_to_do
    assert world.training.jobs == {}


def test_approving_sets_it_going_at_once(world: World, client: Client) -> None:
    receipt = waiting(world)
    digest = digest_of(receipt)
    answer = client.post("/api/approvals", json={"digest": digest, "note": "looks fine"})
    assert answer.status_code == HTTPStatus.CREATED, answer.text
    assert (answer.json()["by"], answer.json()["note"]) == ("local", "looks fine")
    assert [one["drop"] for one in answer.json()["released"]] == [receipt.drop]
    world.rest(patience=1)
    assert world.receipt().status is Status.SUBMITTED
    listed = client.get_json("/api/approvals")
    assert (listed["required"], [one["digest"] for one in listed["items"]], listed["waiting"]) == (True, [digest], [])
    assert world.blobs.names_in(naming.RECEIPTS, ".approvals/") == [f".approvals/{digest}.json"]


def test_approvals_come_in_pages_and_what_waits_comes_first(world: World, client: Client) -> None:
    approvals = world.kedja.approver.approvals
    pending = [
        approvals_module.PendingApproval(digest=digit * 64, experiment=experiment, drop="d" * 64)
        for digit in "56"
        for experiment in ("a", "b")
    ]
    for one in pending:
        assert not approvals.check_or_note(one)
    for digit in "0123":
        approvals.approve(digit * 64, by="ada", note=None)
    world.blobs.upload(naming.RECEIPTS, f".approvals/{'4' * 64}.json", b"{")
    shapes, seen, after = [], [], ""
    while after is not None:
        world.blobs.calls.clear()
        page = client.get_json(f"/api/approvals?limit=3{after and f'&after={after}'}")
        shapes.append((len(page["waiting"]), len(page["items"])))
        seen += [(one["digest"], one["experiment"]) for one in page["waiting"]]
        seen += [(one["digest"], one["by"]) for one in page["items"]]
        assert len([call for call in world.blobs.calls if call.operation == "read"]) <= 3
        after = page["next"]
    assert shapes == [(3, 0), (1, 2), (0, 2)]
    assert seen == [*((one.digest, one.experiment) for one in pending), *((digit * 64, "ada") for digit in "0123")]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=x"])
def test_a_page_that_is_none_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/approvals?{query}").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_approved_code_runs_on_other_data_without_a_word(world: World) -> None:
    world.kedja.approver.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"other digits")
    world.rest()
    assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.SUBMITTED]


def test_other_code_waits_again(world: World) -> None:
    world.kedja.approver.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"import os; os.system('harm')")
    world.rest()
    assert [receipt.status for receipt in world.receipts()] == [Status.REGISTERED, Status.WAITING]


def test_a_hash_that_somebody_else_wrote_counts_for_nothing(world: World) -> None:
    """Content-MD5 is a property that writers may set: the content itself is read."""
    world.kedja.approver.approve(digest_of(waiting(world)), by="ada", note=None)
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
    world.kedja.approver.approve(digest_of(world.receipt()), by="ada", note=None)
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
    drop, approvals = Drop.list_drop(world.blobs, "digits"), world.kedja.approver.approvals
    plain, changed = JobSpec(), parse_job_yaml(job)
    again = parse_job_yaml(job.replace("harm", "farm"))
    digests = [approvals.digest(drop, spec) for spec in (plain, changed, again)]
    assert digests[0] != digests[1]
    assert (digests[1] != digests[2]) == ("harm" in job)


def test_what_decides_on_no_code_is_not(world: World) -> None:
    world.drop_digits()
    drop, approvals = Drop.list_drop(world.blobs, "digits"), world.kedja.approver.approvals
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
    world.kedja.approver.approve(digest_of(world.receipt()), by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_a_request_by_http_waits_likewise_and_runs_what_it_asked_for(world: World, client: Client) -> None:
    world.kedja.approver.approve(digest_of(waiting(world)), by="ada", note=None)
    world.rest()
    world.run_job()
    wanted = {"experiment_name": "digits", "command": "python train.py --mine"}
    answer = client.post("/api/jobs", json=wanted)
    assert (answer.status_code, answer.json()["status"]) == (HTTPStatus.ACCEPTED, "waiting")
    digest = answer.json()["reason"].removeprefix("approval of ")
    assert client.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.CREATED
    world.rest()
    (job,) = world.live_jobs()
    assert "--shell 'python train.py --mine'" in world.training.requests[job.name].document["command"]
    assert world.receipts()[-1].trigger == "http: local"


def test_only_whoever_may_run_everything_approves(world: World) -> None:
    digest = digest_of(waiting(world))
    for role, experiments in ((Role.DATA, ("*",)), (Role.CODE, ("digits",))):
        text, _ = ApiKeys(blobs=world.blobs).create("robot", role, experiments=experiments)
        robot = Client(api_over(lambda: world.kedja, KEYS), {"X-Kedja-Key": text})
        assert robot.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.FORBIDDEN
        assert robot.get("/api/approvals").status_code == HTTPStatus.FORBIDDEN
        assert robot.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.FORBIDDEN
    assert world.blobs.names_in(naming.RECEIPTS, ".approvals/") == []


@pytest.mark.parametrize("digest", ["", "x" * 64, "0" * 63, "../" + "0" * 61, None])
def test_what_is_no_digest_is_refused(client: Client, digest: Any) -> None:  # noqa: ANN401 - JSON
    assert client.post("/api/approvals", json={"digest": digest}).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_revoked_code_is_neither_submitted_nor_repeated(world: World, client: Client) -> None:
    digest = digest_of(waiting(world))
    world.kedja.approver.approve(digest, by="ada", note=None)
    world.rest()
    name = world.run_job(exit_code=1)
    assert client.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.NO_CONTENT
    assert client.request("DELETE", f"/api/approvals/{digest}").status_code == HTTPStatus.NOT_FOUND
    with pytest.raises(Refused, match=f"is not approved: {digest}"):
        world.kedja.jobs.retry(name)
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"other digits")
    world.rest()
    assert world.receipts()[-1].status is Status.WAITING


def revoke(world: World) -> None:
    world.kedja.approver.approvals.revoke(digest_of(world.receipt()))


def refused_in_the_queue() -> World:
    """Return a world in which a drop was queued, and its code not approved any more when its turn came."""
    world = World.make(approvals="required", max_jobs=1)
    world.drop("data/first/digits.npz", b"digits")
    world.rest()
    approved(world)
    world.rest()
    assert world.receipt().status is Status.QUEUED
    revoke(world)
    world.run_job()
    return world


def test_revoked_code_that_was_queued_is_not_submitted() -> None:
    world = refused_in_the_queue()
    receipt = world.receipt()
    assert (receipt.status, receipt.reason) == (
        Status.REJECTED,
        f"The code of {receipt.name} is not approved: {digest_of(receipt)}.",
    )
    assert receipt.what_to_do == "Have it approved (POST /api/approvals), then drop the files again."
    assert receipt.job not in world.training.jobs
    assert world.publisher.types()[-1] == "Kedja.DropRejected"
    assert (world.kedja.submitter.turns.admission.running(), world.opened()) == ({}, [])


def test_what_was_refused_for_want_of_an_approval_goes_on_as_it_says() -> None:
    world = refused_in_the_queue()
    world.kedja.approver.approve(digest_of(world.receipt()), by="ada", note=None)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    assert (world.receipt().status, len(world.receipt().attempts)) == (Status.SUBMITTED, 2)


def test_revoked_code_that_the_training_service_did_not_take_yet_is_not_submitted(world: World) -> None:
    approved(world)

    def fail() -> None:
        raise TrainingServiceUnavailable("The connection was cut.")

    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", fail))
    world.go_on(1)
    assert world.receipt().status is Status.SUBMITTING
    revoke(world)
    world.rest()
    assert (world.receipt().status, world.training.jobs) == (Status.REJECTED, {})


def test_revoked_code_whose_job_is_there_goes_on_though_its_answer_was_lost(world: World) -> None:
    approved(world)

    def lose() -> None:
        raise TrainingServiceUnavailable("The connection was cut.")

    world.tells_of_runs = False
    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", lose, after=True))
    world.go_on(1)
    assert world.receipt().status is Status.SUBMITTING
    revoke(world)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_revoked_code_goes_on_after_a_preemption(world: World) -> None:
    approved(world)
    world.rest()
    revoke(world)
    name = world.live_jobs()[0].name
    world.training.move(name, JobStatus.RUNNING)
    world.training.move(name, JobStatus.FAILED, error="The node was preempted.")
    world.rest()
    assert (world.receipt().status, len(world.receipt().attempts)) == (Status.SUBMITTED, 2)


def test_revoked_code_that_failed_and_is_dropped_again_stays_noted_until_it_is_approved(world: World) -> None:
    approved(world)
    world.rest()
    world.run_job(exit_code=1)
    revoke(world)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", SCRIPT)
    world.rest()
    world.clock.advance(3600)
    world.reconcile()
    assert (world.receipt().status, len(pending(world))) == (Status.FAILED, 1)
    world.kedja.approver.approve(digest_of(world.receipt()), by="ada", note=None)
    world.rest()
    assert pending(world) == []


def required_now(world: World) -> Kedja:
    """Return the service as it is where approvals are asked for from now on."""
    settings = Settings(approvals="required", max_jobs=0, max_jobs_per_experiment=0)
    return assembled(settings, world.blobs, world.queues, world.training, world.publisher, world.clock)


def test_what_was_queued_before_approvals_were_asked_for_is_not_submitted() -> None:
    world = World.make(max_jobs=1)
    world.drop("data/first/digits.npz", b"digits")
    world.rest()
    world.drop_digits()
    world.rest()
    assert world.receipt().status is Status.QUEUED
    world.kedja = required_now(world)
    world.reconcile()
    assert (world.receipt().status, world.receipt().reason) == (
        Status.REJECTED,
        f"The code of {world.receipt().name} is not approved.",
    )


def test_a_job_from_before_approvals_were_asked_for_is_not_repeated() -> None:
    world = World.make()
    world.drop_digits()
    world.rest()
    name = world.run_job(exit_code=1)
    world.kedja = required_now(world)
    with pytest.raises(Refused, match="drop it again to learn its digest"):
        world.kedja.jobs.retry(name)


def test_approving_twice_keeps_who_was_first(world: World) -> None:
    digest = digest_of(waiting(world))
    first, _ = world.kedja.approver.approve(digest, by="ada", note=None)
    world.clock.advance(60)
    again, _ = world.kedja.approver.approve(digest, by="bob", note=None)
    assert (again.by, again.at) == ("ada", first.at)


def test_an_approval_in_another_ones_place_is_none(world: World) -> None:
    digest = digest_of(waiting(world))
    world.kedja.approver.approve("0" * 64, by="ada", note=None)
    other = world.blobs.read(naming.RECEIPTS, f".approvals/{'0' * 64}.json").data
    world.blobs.upload(naming.RECEIPTS, f".approvals/{digest}.json", other)
    assert world.kedja.approver.approvals.find(digest) is None
    world.blobs.upload(naming.RECEIPTS, f".approvals/{digest}.json", b"{")
    assert world.kedja.approver.approvals.find(digest) is None


def test_files_that_changed_before_the_approval_are_a_drop_of_their_own(world: World) -> None:
    receipt = waiting(world)
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"harm")
    world.kedja.approver.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert world.training.jobs == {}


def test_an_approval_before_the_receipt_is_written_waits_for_it(world: World) -> None:
    """The approver sees the note of a drop whose receipt comes a moment later."""
    world.drop_digits()
    approvals = world.kedja.settler.approvals
    drop = Drop.list_drop(world.blobs, "digits")
    digest = approvals.digest(drop, JobSpec())
    assert digest is not None
    pending = approvals_module.PendingApproval(digest=digest, experiment="digits", drop=drop.id(JobSpec().canonical()))
    assert not approvals.check_or_note(pending)
    world.kedja.approver.approve(digest, by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
    assert list(approvals.waiting()) == []


def test_nothing_is_read_where_none_is_asked_for() -> None:
    world = World.make()
    world.drop_digits()
    world.rest()
    assert world.receipt().received.code_sha256 is None
    assert [call for call in world.blobs.calls if call.operation == "read" and call.container == naming.SCRIPTS] == []


def test_waiting_for_an_approval_has_no_end(world: World) -> None:
    receipt = waiting(world)
    world.clock.now += timedelta(days=30)
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.WAITING
    world.kedja.approver.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_an_approval_waits_for_a_training_service_that_is_away(world: World) -> None:
    waiting(world)
    world.training.unavailable = True
    world.kedja.approver.approve(digest_of(world.receipt()), by="ada", note=None)
    world.go_on(1800)
    assert (world.failures, world.receipt().status) == ([], Status.WAITING)
    world.training.unavailable = False
    world.rest(patience=601)
    assert (world.failures, world.receipt().status, pending(world)) == ([], Status.SUBMITTED, [])


def test_an_approval_waits_for_a_script_that_is_being_copied(world: World) -> None:
    approved(world)
    world.blobs.hold_copies = True
    world.go_on(900)
    assert (world.failures, world.receipt().status) == ([], Status.WAITING)
    world.blobs.hold_copies = False
    world.blobs.end_copies()
    world.rest(patience=61)
    assert (world.failures, world.receipt().status) == ([], Status.SUBMITTED)


def test_an_approval_that_waits_for_more_than_a_day_draws_attention(world: World) -> None:
    approved(world)
    world.training.unavailable = True
    world.rest(patience=25 * 3600)
    assert "TrainingServiceUnavailable" in world.failures[0]
    assert len(world.failures) == MOST_DELIVERIES
    (note,) = world.receipt().attention
    assert "A message of settled-drops could not be processed: TrainingServiceUnavailable" in note


def test_an_approval_whose_message_was_lost_is_carried_out_by_reconcile(world: World) -> None:
    approved(world)
    world.queues.messages.clear()
    world.reconcile()
    world.rest()
    assert (world.receipt().status, pending(world)) == (Status.SUBMITTED, [])


def test_messages_of_reconcile_do_not_add_up(world: World) -> None:
    approved(world)
    world.queues.messages.clear()
    world.training.unavailable = True
    for _ in range(5):
        world.reconcile()
        world.go_on(300)
        assert world.queues.messages == []
    assert world.failures == []
    world.training.unavailable = False
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED


def test_what_waits_goes_on_where_no_approval_is_asked_for_any_more(world: World) -> None:
    waiting(world)
    world.kedja = assembled(Settings(), world.blobs, world.queues, world.training, world.publisher, world.clock)
    world.reconcile()
    world.rest()
    assert (world.receipt().status, pending(world)) == (Status.SUBMITTED, [])


def test_what_waits_for_an_approval_and_has_none_stays_noted(world: World) -> None:
    waiting(world)
    world.clock.advance(3600)
    world.reconcile()
    assert len(pending(world)) == 1


def test_a_note_is_forgotten_whose_drop_was_superseded(world: World) -> None:
    waiting(world)
    world.clock.advance(60)
    world.drop("scripts/digits/train.py", b"other code")
    world.rest()
    assert len(pending(world)) == 2
    world.clock.advance(601)
    world.reconcile()
    (receipt,) = [one for one in world.receipts() if one.status is Status.WAITING]
    assert [name.rpartition("/")[2] for name in pending(world)] == [receipt.drop]


def test_a_note_is_forgotten_whose_drop_was_deleted(world: World) -> None:
    waiting(world)
    world.kedja.experiments.delete("digits", by="ada", force=False)
    world.clock.advance(601)
    world.reconcile()
    assert (world.receipts(), pending(world)) == ([], [])


def test_a_note_is_forgotten_whose_files_have_changed(world: World) -> None:
    receipt = waiting(world)
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", b"other code")
    world.kedja.approver.approve(digest_of(receipt), by="ada", note=None)
    world.rest()
    assert (world.training.jobs, pending(world)) == ({}, [])


def test_a_note_is_kept_while_its_receipt_may_be_about_to_be_written(world: World) -> None:
    note = approvals_module.PendingApproval(digest="0" * 64, experiment="digits", drop="1" * 64)
    assert not world.kedja.approver.approvals.check_or_note(note)
    world.clock.advance(599)
    world.reconcile()
    assert len(pending(world)) == 1
    assert not world.kedja.approver.approvals.check_or_note(note)
    world.clock.advance(599)
    world.reconcile()
    assert len(pending(world)) == 1
    world.clock.advance(2)
    world.reconcile()
    assert pending(world) == []


def test_a_note_that_is_written_again_meanwhile_stays(world: World) -> None:
    one = approvals_module.PendingApproval(digest="0" * 64, experiment="digits", drop="1" * 64)
    world.kedja.approver.approvals.check_or_note(one)
    world.clock.advance(601)

    def note_again() -> None:
        world.kedja.approver.approvals.check_or_note(one)

    other = host(world, blobs=lambda port: Meanwhile(port, "read", note_again, about="digits/1111"))
    other.approver.reconcile(world.clock())
    assert list(world.kedja.approver.approvals.waiting()) == [one]


def test_a_drop_that_cannot_be_read_does_not_keep_others_waiting(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    approved(world)
    world.queues.messages.clear()
    broken = approvals_module.PendingApproval(digest="0" * 64, experiment="aaa", drop="bad")
    world.kedja.approver.approvals.check_or_note(broken)
    world.blobs.upload(naming.RECEIPTS, "aaa/bad.json", b"{}")
    world.reconcile()
    world.rest()
    assert world.receipt().status is Status.SUBMITTED
    assert f"{broken.blob} could not be reconciled" in caplog.text


def test_no_drop_is_looked_at_after_the_time_of_the_round(world: World) -> None:
    for number in range(3):
        world.kedja.approver.approvals.check_or_note(
            approvals_module.PendingApproval(digest=f"{number}" * 64, experiment="digits", drop="1" * 64)
        )
    world.clock.advance(601)
    world.kedja.approver.reconcile(world.clock() - timedelta(seconds=1))
    assert len(pending(world)) == 2


def test_a_message_that_names_no_digest_is_kept_with_what_is_wrong_with_it(world: World) -> None:
    receipt = waiting(world)
    broken = {"kind": "approved", "experiment": receipt.experiment, "drop": receipt.drop}
    world.queues.send(naming.SETTLED_DROPS, broken)
    world.rest()
    assert world.failures[0] == "InvalidEvent: The message is not a valid ApprovedMessage: digest: Field required"
    assert "digest: Field required" in world.receipt().attention[0]


def test_an_approval_during_a_deletion_waits_for_its_end(world: World) -> None:
    digest = digest_of(waiting(world))
    world.kedja.experiments.delete("digits", by="ada", force=False)
    world.kedja.approver.approve(digest, by="ada", note=None)
    world.go_on(400)

    assert world.failures == []
    world.clock.advance(400)
    world.reconcile()
    world.rest()
    assert (world.failures, world.receipts()) == ([], [])
    assert list(world.kedja.settler.approvals.waiting(digest)) == []
