"""The gate of a model's owner, and the owners of models that an earlier release registered."""

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.models.job_result import METRICS_CARRIED
from function_app.models.ownership import ModelOwner
from function_app.ports.training_service import RECEIPT_TAG
from tests.unit.interleaving import Meanwhile, host
from tests.unit.owned_models import GATE, as_before_owners, champion, drop, owner, share, train
from tests.unit.simulation import World


class TestGateOfTheOwner:
    @pytest.fixture
    def shared(self, world: World) -> World:
        """Have a model of team-b with a gate, that team-a may register too."""
        train(world, "team-b", 0.95, when=GATE)
        share(world, "team-b", "team-a")
        return world

    @pytest.mark.parametrize("when", [None, "{metric: accuracy, at_least: 0.0}"])
    @pytest.mark.parametrize(
        ("accuracy", "reason"),
        [
            (0.01, "accuracy is 0.01, but must be at least 0.9. The owner of the model team-b requires that."),
            (
                0.95,
                "accuracy is 0.95, no better than the champion's 0.95. The owner of the model team-b requires that.",
            ),
        ],
    )
    def test_binds_others_whatever_their_own_says(
        self, shared: World, when: str | None, accuracy: float, reason: str
    ) -> None:
        receipt = train(shared, "team-a", accuracy, model="team-b", when=when)
        assert (receipt.status, receipt.reason) == (Status.NOT_REGISTERED, reason)
        assert champion(shared, "team-b").experiment == "team-b"

    def test_binds_those_after_another_experiments_champion_too(self, shared: World) -> None:
        assert train(shared, "team-a", 0.96, model="team-b").status is Status.REGISTERED
        assert champion(shared, "team-b").experiment == "team-a"
        assert train(shared, "team-a", 0.955, model="team-b", data="y").status is Status.NOT_REGISTERED

    def test_others_pass_their_own_as_well(self, shared: World) -> None:
        receipt = train(shared, "team-a", 0.97, model="team-b", when="{metric: accuracy, at_least: 0.99}")
        assert receipt.reason == "accuracy is 0.97, but must be at least 0.99."

    def test_is_loosened_by_the_owner_alone(self, shared: World) -> None:
        assert train(shared, "team-b", 0.5, data="y").status is Status.REGISTERED
        assert champion(shared, "team-b").metrics == {"accuracy": 0.5}
        assert train(shared, "team-a", 0.4, model="team-b").status is Status.REGISTERED

    def test_compares_by_its_metric_however_many_others_a_champion_has(self, shared: World) -> None:
        receipt = drop(shared, "team-a", model="team-b", when="{metric: zzz, at_least: 0}")
        many = {f"a{number:03}": 0.0 for number in range(200)}
        shared.run_job(receipt.job, metrics={**many, "zzz": 1.0, "accuracy": 0.97})
        made = champion(shared, "team-b")
        assert (made.experiment, made.metrics["accuracy"], len(made.metrics)) == ("team-a", 0.97, METRICS_CARRIED)
        assert train(shared, "team-a", 0.96, model="team-b", data="y").status is Status.NOT_REGISTERED

    def test_is_looked_at_again_when_the_champion_changed_meanwhile(self, shared: World) -> None:
        receipt = drop(shared, "team-a", model="team-b")

        present = champion(shared, "team-b")
        change = {"version": "9", "sequence": present.sequence + 1, "metrics": {"accuracy": 0.99}}

        def better() -> None:
            shared.kedja.champions.challenge(present.model_copy(update=change), None)

        shared.kedja = host(shared, blobs=lambda port: Meanwhile(port, "create", better, about="/manifest.json"))
        shared.run_job(receipt.job, metrics={"accuracy": 0.97})
        assert shared.receipts("team-a")[-1].status is Status.REGISTERED
        assert champion(shared, "team-b").version == "9"


class TestModelsOfEarlierReleases:
    """Those who share a model stay allowed; whose it is follows from what there is."""

    def test_belong_to_who_registered_first_and_are_shared_with_all_who_registered(self, world: World) -> None:
        train(world, "team-b", 0.95, model="mnist")
        share(world, "mnist", "*")
        train(world, "team-a", 0.96, model="mnist")
        as_before_owners(world, "mnist")

        assert train(world, "team-a", 0.97, model="mnist", data="y").status is Status.REGISTERED
        assert drop(world, "team-c", model="mnist").status is Status.REJECTED
        assert (owner(world, "mnist").owner, owner(world, "mnist").allowed) == ("team-b", ("team-a",))

    def test_stay_with_them_if_their_versions_are_archived(self, world: World) -> None:
        train(world, "team-b", 0.95, model="mnist")
        share(world, "mnist", "*")
        train(world, "team-a", 0.96, model="mnist")
        as_before_owners(world, "mnist")
        world.training.archive_model("mnist", "1")
        world.training.archive_model("mnist", "2")

        assert drop(world, "team-c", model="mnist").status is Status.REJECTED
        assert (owner(world, "mnist").owner, owner(world, "mnist").allowed) == ("team-b", ("team-a",))

    def test_belong_to_the_experiment_of_their_name_that_registered_too(self, world: World) -> None:
        train(world, "team-a", 0.95, model="mnist")
        share(world, "mnist", "*")
        train(world, "mnist", 0.96)
        as_before_owners(world, "mnist")

        assert train(world, "mnist", 0.5, data="y").status is Status.REGISTERED
        assert train(world, "team-a", 0.97, model="mnist", data="y").status is Status.REGISTERED
        assert (owner(world, "mnist").owner, owner(world, "mnist").allowed) == ("mnist", ("team-a",))

    def test_belong_to_the_experiment_of_their_name_that_is_older(self, world: World) -> None:
        receipt = drop(world, "mnist")
        world.run_job(receipt.job, exit_code=1)
        world.blobs.upload(
            naming.MODELS,
            naming.owner_blob("mnist"),
            ModelOwner(model="mnist", owner="team-a", since=world.clock()).to_bytes(),
        )
        train(world, "team-a", 0.95, model="mnist")
        as_before_owners(world, "mnist")

        assert train(world, "mnist", 0.5, data="y").status is Status.REGISTERED
        assert (owner(world, "mnist").owner, owner(world, "mnist").allowed) == ("mnist", ("team-a",))

    def test_do_not_belong_to_an_experiment_that_is_called_so_since(self, world: World) -> None:
        train(world, "team-a", 0.95, model="mnist")
        as_before_owners(world, "mnist")
        drop(world, "mnist", model="other")

        assert drop(world, "mnist").status is Status.REJECTED
        assert owner(world, "mnist").owner == "team-a"

    def test_that_are_an_experiments_own_go_on_as_they_did(self, world: World) -> None:
        train(world, "team-b", 0.95, when=GATE)
        as_before_owners(world, "team-b")

        assert train(world, "team-b", 0.5, data="y").status is Status.REGISTERED
        assert world.blobs.names_in(naming.MODELS, "team-b/owner") == []
        assert champion(world, "team-b").owner == "team-b"

    def test_have_the_gate_of_their_champions_job(self, world: World) -> None:
        train(world, "team-b", 0.95, when=GATE)
        as_before_owners(world, "team-b")
        share(world, "team-b", "team-a")

        receipt = train(world, "team-a", 0.01, model="team-b")

        assert "The owner of the model team-b requires that" in str(receipt.reason)
        assert champion(world, "team-b").owner == "team-b"

    def test_whose_champions_snapshot_is_gone_have_no_gate_for_others(self, world: World) -> None:
        receipt = train(world, "team-b", 0.95, when=GATE)
        as_before_owners(world, "team-b")
        share(world, "team-b", "team-a")
        world.blobs.delete(naming.SNAPSHOTS, f"team-b/{receipt.drop}/job.json")

        assert train(world, "team-a", 0.01, model="team-b").status is Status.REGISTERED

    def test_versions_that_are_none_of_kedjas_count_for_nobody(self, world: World) -> None:
        train(world, "team-b", 0.95, model="mnist")
        world.blobs.delete(naming.MODELS, naming.owner_blob("mnist"))
        world.blobs.delete(naming.MODELS, naming.champion_blob("mnist"))
        del world.training.versions[0].tags[RECEIPT_TAG]  # type: ignore[attr-defined] # a dict, in memory

        assert drop(world, "team-a", model="mnist").status is Status.SUBMITTED
        assert owner(world, "mnist").owner == "team-a"
