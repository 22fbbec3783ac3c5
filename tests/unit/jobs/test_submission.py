import itertools
import json

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.messages import SubmitMessage
from function_app.domain.receipt import Status
from function_app.errors import AppNotAllowed
from tests.unit.interleaving import Meanwhile, host
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World


def test_a_submission_is_one_call_with_everything_in_it(world: World) -> None:
    world.drop_digits()
    world.rest()
    assert [call for call in world.training.calls if call[0] == "submit"] == [("submit", world.receipt().job)]
    (request,) = world.training.requests.values()
    receipt = world.receipt()
    assert request.document["tags"] == {"kedja_receipt": receipt.name, "kedja_folder": "digits"}
    assert request.document["compute"] == "azureml:gpu-cluster"
    assert receipt.spec == request.document
    assert receipt.attempt is not None
    assert receipt.attempt.links == {"mlflow": f"http://mlflow.test/{receipt.job}"}


def test_values_of_variables_are_kept_off_the_receipt(world: World) -> None:
    world.drop("scripts/digits/job.yaml", b"environment_variables: {TOKEN: very-secret}\n")
    world.drop_digits()
    world.rest()
    (request,) = world.training.requests.values()
    assert request.document["environment_variables"] == {"TOKEN": "very-secret"}
    assert "very-secret" not in world.receipt().to_bytes().decode()


def test_what_the_service_refuses_is_rejected_with_its_words(world: World) -> None:
    world.training.refusal = "The quota of the region is 0."
    world.drop_digits()
    world.rest()
    receipt = world.receipt()
    assert (receipt.status, receipt.reason) == (Status.REJECTED, "The quota of the region is 0.")
    assert world.publisher.types() == ["Kedja.DropRejected"]
    assert world.opened() == []


def test_dropped_again_after_a_refusal_is_the_next_attempt(world: World) -> None:
    world.training.refusal = "The quota of the region is 0."
    world.drop_digits()
    world.rest()
    world.training.refusal = None
    world.announce("data/digits/digits.npz")
    world.rest()
    assert world.receipt().status is Status.REJECTED
    world.clock.advance(60)
    world.drop_digits()
    world.rest()
    assert (world.receipt().status, len(world.receipt().attempts)) == (Status.SUBMITTED, 2)


@pytest.fixture
def unavailable(world: World) -> World:
    """Return a world in which the service stops answering between the claim and the submission."""

    def fall_silent() -> None:
        world.training.unavailable = True

    world.kedja = host(world, training=lambda port: Meanwhile(port, "submit", fall_silent))
    world.drop_digits()
    world.go_on(11)
    return world


def test_it_is_tried_again_while_the_service_does_not_answer(unavailable: World) -> None:
    assert unavailable.receipt().status is Status.SUBMITTING
    (message,) = unavailable.queues.messages
    request = SubmitMessage.model_validate(json.loads(message.body))
    assert (message.queue, request.tries) == (naming.SETTLED_DROPS, 1)
    unavailable.go_on(3600)
    unavailable.training.unavailable = False
    unavailable.rest()
    assert (unavailable.receipt().status, unavailable.failures) == (Status.SUBMITTED, [])


def test_a_role_that_the_app_lacks_is_said_once_and_the_job_goes_on_when_it_has_it(
    world: World, mocker: MockerFixture
) -> None:
    denials = (AppNotAllowed(f"Give the app's identity a role. Trace {number}.") for number in itertools.count())
    patched = mocker.patch.object(MemoryTraining, "submit", side_effect=denials)
    world.drop_digits()
    world.go_on(3600)
    receipt = world.receipt()
    assert (world.failures, receipt.status) == ([], Status.SUBMITTING)
    assert receipt.reason == "The training service does not allow the app to submit the job."
    assert receipt.what_to_do == "Give the app's identity a role. Trace 0."
    assert len(receipt.history) == 2
    mocker.stop(patched)
    world.rest()
    assert (world.receipt().status, world.receipt().what_to_do) == (Status.SUBMITTED, None)


def test_not_before_the_time_that_the_service_names(unavailable: World) -> None:
    unavailable.training.retry_after = 1000
    unavailable.go_on(10)
    (message,) = unavailable.queues.messages
    assert (message.visible - unavailable.clock()).total_seconds() > 900


def test_rounds_of_reconcile_do_not_add_up_meanwhile(unavailable: World) -> None:
    for _ in range(12):
        unavailable.go_on(300)
        unavailable.reconcile()
    assert len(unavailable.queues.messages) == 1
    unavailable.training.unavailable = False
    unavailable.rest()
    assert unavailable.receipt().status is Status.SUBMITTED


def test_it_is_given_up_after_a_day(unavailable: World) -> None:
    unavailable.go_on(25 * 3600)
    receipt = unavailable.receipt()
    assert (receipt.status, unavailable.queues.messages) == (Status.FAILED, [])
    assert receipt.reason == "The training service was not available for 24 hours: The training service is down."
    assert unavailable.publisher.types() == ["Kedja.JobFailed"]
    assert unavailable.opened() == []


def test_an_attempt_that_another_release_submitted_is_still_this_attempt(world: World) -> None:
    world.drop_digits()
    world.rest()
    receipt, (request,) = world.receipt(), world.training.requests.values()
    assert receipt.job is not None
    world.training.requests[receipt.job] = type(request)(name=request.name, document={"compute": "other"})
    earlier = receipt.replace(status=Status.SUBMITTING)
    name = naming.receipt_blob(receipt.ref)
    world.blobs.replace(naming.RECEIPTS, name, earlier.to_bytes())
    world.kedja.submitter.submit(earlier)
    assert world.receipt().status is Status.SUBMITTED


def test_a_foreign_job_of_the_same_name_is_a_conflict(world: World) -> None:
    world.drop_digits()
    world.rest()
    receipt = world.receipt()
    assert receipt.job is not None
    world.training.requests.clear()
    world.training.requests[receipt.job] = None  # type: ignore[assignment]
    job = world.training.jobs[receipt.job]
    world.training.jobs[receipt.job] = type(job)(
        name=job.name, status=job.status, detail="", experiment="digits", tags={"kedja_receipt": "other/one"}
    )
    earlier = receipt.replace(status=Status.SUBMITTING)
    world.blobs.replace(naming.RECEIPTS, naming.receipt_blob(receipt.ref), earlier.to_bytes())
    world.kedja.submitter.submit(earlier)
    assert world.receipt().status is Status.REJECTED


def test_a_receipt_that_is_not_to_be_submitted_is_left_alone(world: World) -> None:
    world.drop_digits()
    world.rest()
    calls = len(world.training.calls)
    assert world.kedja.submitter.submit(world.receipt()) == world.receipt()
    assert len(world.training.calls) == calls
