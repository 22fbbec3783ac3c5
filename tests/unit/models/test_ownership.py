"""Whose a model is: an experiment registers versions of its own models, and of those that are shared with it."""

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import PreconditionFailed, TrainingServiceUnavailable
from function_app.models.ownership import ModelNotShared, ModelOwner, OwnerChanged
from tests.unit.interleaving import Meanwhile, host
from tests.unit.owned_models import champion, drop, owner, share, train
from tests.unit.simulation import World


class TestAnothersModel:
    def test_is_not_taken_and_nothing_is_trained_for_it(self, world: World) -> None:
        train(world, "team-b", 0.95)
        jobs = list(world.training.jobs)

        receipt = drop(world, "team-a", model="team-b")

        assert (receipt.status, receipt.attempts) == (Status.REJECTED, ())
        assert receipt.reason == (
            "The model team-b belongs to another experiment, and team-a may not register versions of it."
        )
        assert "kedja.register.model" in str(receipt.what_to_do)
        assert "kedja share team-b --with team-a" in str(receipt.what_to_do)
        assert world.publisher.types()[-1] == "Kedja.DropRejected"
        assert list(world.training.jobs) == jobs
        assert (champion(world, "team-b").experiment, champion(world, "team-b").metrics) == (
            "team-b",
            {"accuracy": 0.95},
        )

    def test_is_its_own_before_it_has_registered_any_version(self, world: World) -> None:
        drop(world, "team-b")
        assert drop(world, "team-a", model="team-b").status is Status.REJECTED
        assert owner(world, "team-b").owner == "team-b"

    @pytest.mark.parametrize("container", [naming.DATA, naming.SCRIPTS])
    def test_is_its_own_from_its_first_file_on(self, world: World, container: str) -> None:
        world.blobs.upload(container, "team-b/a", b"a")
        assert drop(world, "team-a", model="team-b").status is Status.REJECTED

    def test_may_be_registered_once_it_is_shared_without_a_new_upload(self, world: World) -> None:
        train(world, "team-b", 0.95)
        drop(world, "team-a", model="team-b")
        share(world, "team-b", "team-?")

        receipt = world.kedja.job_commands.submit({"experiment_name": "team-a"}, trigger="http", code=False)

        assert receipt.status is Status.SUBMITTED
        world.run_job(receipt.job, metrics={"accuracy": 0.96})
        assert champion(world, "team-b").experiment == "team-a"

    def test_is_refused_to_a_failed_drop_that_comes_again_and_its_receipt_says_so(self, world: World) -> None:
        train(world, "team-b", 0.95)
        share(world, "team-b", "team-a")
        receipt = drop(world, "team-a", model="team-b")
        world.run_job(receipt.job, exit_code=1)
        share(world, "team-b")

        receipt = drop(world, "team-a", model="team-b")

        assert (receipt.status, len(receipt.attempts)) == (Status.FAILED, 1)
        assert "it will not be submitted again: The model team-b belongs to another" in receipt.repeats[-1].outcome

    def test_is_refused_to_a_retry(self, world: World) -> None:
        train(world, "team-b", 0.95)
        share(world, "team-b", "team-a")
        receipt = train(world, "team-a", 0.96, model="team-b")
        share(world, "team-b")

        with pytest.raises(ModelNotShared, match="team-a may not register"):
            world.kedja.job_commands.retry(str(receipt.job))
        assert len(world.kedja.receipts.load(receipt.ref).attempts) == 1

    def test_is_refused_to_an_event_whose_receipt_says_so(self, world: World) -> None:
        train(world, "team-b", 0.95)
        train(world, "team-a", 0.5)
        spec = {"experiment_name": "team-a", "kedja": {"register": {"model": "team-b"}}}
        event = {"specversion": "1.0", "id": "1", "source": "/lab", "type": "Kedja.TrainingRequested", "data": spec}
        world.clock.advance(60)
        world.kedja.event_ingest.ingest(event, code=True)
        world.rest()

        receipt = world.receipts("team-a")[-1]
        assert (receipt.status, receipt.attempts, receipt.trigger) == (Status.REJECTED, (), "event: /lab")
        assert world.failures == []
        assert champion(world, "team-b").metrics == {"accuracy": 0.95}

    def test_a_dry_run_says_so_and_claims_nothing(self, world: World) -> None:
        drop(world, "team-a")
        for model, status in (("nobodys", Status.SUBMITTING), ("team-b", Status.REJECTED)):
            world.blobs.upload(naming.DATA, "team-b/a", b"a")
            request = {"experiment_name": "team-a", "kedja": {"register": {"model": model}}}
            found = world.kedja.job_commands.dry_run(request, code=True)
            assert found.status is status
        assert world.blobs.names_in(naming.MODELS) == []

    def test_is_refused_at_registration_if_it_was_not_when_the_job_began(self, world: World) -> None:
        train(world, "team-b", 0.95)
        share(world, "team-b", "team-a")
        receipt = drop(world, "team-a", model="team-b")
        share(world, "team-b")
        world.run_job(receipt.job, metrics={"accuracy": 0.99})

        receipt = world.receipts("team-a")[-1]
        assert receipt.status is Status.NOT_REGISTERED
        assert "team-a may not register versions" in str(receipt.reason)
        assert str(receipt.what_to_do).startswith("The job's outputs are kept. Name another model")
        assert world.publisher.types()[-1] == "Kedja.ModelNotRegistered"
        assert [one.version for one in world.training.current("team-b")] == ["1"]

    def test_keeps_a_version_whose_copies_were_under_way_and_its_champion(self, world: World) -> None:
        train(world, "team-b", 0.95)
        share(world, "team-b", "team-a")
        receipt = drop(world, "team-a", model="team-b")
        world.blobs.hold_copies = True
        world.training.finish(str(receipt.job), metrics={"accuracy": 0.99})
        world.go_on(30)
        share(world, "team-b")
        world.blobs.hold_copies = False
        world.blobs.end_copies()
        world.rest()

        receipt = world.receipts("team-a")[-1]
        assert receipt.model is not None
        assert (receipt.status, receipt.model.champion) == (Status.REGISTERED, False)
        assert champion(world, "team-b").version == "1"


class TestFreeModel:
    def test_belongs_to_the_first_drop_that_is_ready_for_it(self, world: World) -> None:
        assert drop(world, "team-a", model="mnist").status is Status.SUBMITTED
        assert drop(world, "team-c", model="mnist").status is Status.REJECTED
        assert (owner(world, "mnist").owner, owner(world, "mnist").allowed) == ("team-a", ())

    def test_is_not_taken_by_an_experiment_that_is_called_so_later(self, world: World) -> None:
        """Whoever may upload data could else take any model by dropping a folder of its name."""
        train(world, "team-a", 0.95, model="mnist")
        receipt = drop(world, "mnist")
        assert (receipt.status, champion(world, "mnist").experiment) == (Status.REJECTED, "team-a")

    def test_is_not_taken_while_its_first_job_runs(self, world: World) -> None:
        drop(world, "team-a", model="mnist")
        assert drop(world, "mnist").status is Status.REJECTED

    def test_goes_to_one_of_two_at_the_same_moment(self, world: World) -> None:
        """The folder mnist settles while team-a takes the model: one of them has it, whoever looks when."""
        receipt = drop(world, "mnist")
        late = ModelOwner(model="mnist", owner="team-a", since=world.clock())
        world.blobs.create(naming.MODELS, naming.owner_blob("mnist"), late.to_bytes())
        world.run_job(receipt.job)
        assert world.receipt("mnist").status is Status.NOT_REGISTERED
        assert train(world, "team-a", 0.5, model="mnist").status is Status.REGISTERED

    def test_whose_champion_was_faster_than_another_owner_stays_the_champions(self, world: World) -> None:
        train(world, "mnist", 0.95)
        late = ModelOwner(model="mnist", owner="team-a", since=world.clock())
        world.blobs.create(naming.MODELS, naming.owner_blob("mnist"), late.to_bytes())
        assert train(world, "team-a", 0.5, model="mnist").status is Status.NOT_REGISTERED
        assert train(world, "mnist", 0.6, data="y").status is Status.REGISTERED

    def test_is_created_by_one_of_two_hosts(self, world: World) -> None:
        def other() -> None:
            assert drop(world, "team-c", model="mnist").status is Status.SUBMITTED

        slow = host(world, blobs=lambda port: Meanwhile(port, "create", other, about="mnist/owner.json"))
        with pytest.raises(ModelNotShared):
            slow.owners.check("mnist", "team-a")
        assert owner(world, "mnist").owner == "team-c"

    def test_waits_for_a_training_service_that_does_not_answer(self, world: World) -> None:
        world.training.unavailable = True
        with pytest.raises(TrainingServiceUnavailable):
            world.kedja.owners.check("mnist", "team-a")
        assert world.blobs.names_in(naming.MODELS) == []

    def test_an_experiments_own_model_costs_no_look_at_its_owner_once_it_has_a_champion(self, world: World) -> None:
        train(world, "team-b", 0.95)
        world.blobs.calls.clear()
        train(world, "team-b", 0.96, data="y")
        assert champion(world, "team-b").metrics == {"accuracy": 0.96}
        assert [call for call in world.blobs.calls if "owner" in call.name] == []


class TestSharing:
    def test_leaves_out_the_owner_and_what_stands_there_twice(self, world: World) -> None:
        train(world, "team-b", 0.95)
        share(world, "team-b", "team-a", "team-b", "team-a", "vision-*")
        found = owner(world, "team-b")
        assert (found.allowed, found.by) == (("team-a", "vision-*"), "somebody")

    @pytest.mark.parametrize("operation", ["create", "replace"])
    def test_of_two_at_once_one_is_told(self, world: World, operation: str) -> None:
        train(world, "team-b", 0.95)
        if operation == "replace":
            share(world, "team-b", "team-c")
        slow = host(
            world,
            blobs=lambda port: Meanwhile(port, operation, lambda: share(world, "team-b", "team-d"), about="owner.json"),
        )
        with pytest.raises(OwnerChanged, match="changed meanwhile"):
            slow.owners.share("team-b", ["team-a"], by="somebody", is_current=lambda _: True)
        assert owner(world, "team-b").allowed == ("team-d",)

    def test_never_changes_the_owner(self, world: World) -> None:
        drop(world, "team-a", model="mnist")
        share(world, "mnist", "*")
        train(world, "team-c", 0.9, model="mnist")
        assert owner(world, "mnist").owner == "team-a"

    def test_an_owner_is_created_only_once(self, world: World) -> None:
        drop(world, "team-a", model="mnist")
        with pytest.raises(PreconditionFailed):
            world.blobs.create(naming.MODELS, naming.owner_blob("mnist"), b"{}")
