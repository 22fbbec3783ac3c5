import json
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import NotFound, PreconditionFailed, Refused
from function_app.models.deletion import DEPLOYED_TAG
from function_app.store.deletions import BeingDeleted, DeletionState
from tests.unit.interleaving import Meanwhile, host
from tests.unit.operations.deleting import LATER, MAX_FUNCTION_RUNTIME, delete, finish, remains, told, train
from tests.unit.simulation import World

CHAMPION = ["digits/2/manifest.json", "digits/2/model.npz", "digits/champion.json"]


def test_the_grace_is_as_long_as_a_function_may_run() -> None:
    host_json = json.loads(Path("host.json").read_text())

    assert host_json["functionTimeout"] == f"0{timedelta(seconds=MAX_FUNCTION_RUNTIME)}"


class TestDelete:
    def test_leaves_what_is_in_use_and_the_audit(self, world: World) -> None:
        train(world)
        receipts = {receipt.drop: receipt for receipt in world.receipts()}
        begun = delete(world)
        finish(world)

        assert begun.state is DeletionState.DELETING
        assert remains(world) == CHAMPION
        audit = told(world)
        assert (audit.state, audit.by, audit.folder) == (DeletionState.DELETED, "someone", "digits")
        assert {one.drop: one.jobs for one in audit.receipts} == {
            drop: tuple(attempt.job for attempt in receipt.attempts) for drop, receipt in receipts.items()
        }
        assert all(len(one.sha256) == 64 for one in audit.receipts)
        assert [one.key for one in audit.models] == [("digits", "1")]
        assert [(one.version, one.why) for one in audit.kept] == [("2", "It is the model's champion.")]
        assert [(one.version, one.archived) for one in world.training.versions] == [("1", True), ("2", False)]

    def test_leaves_the_files_of_users(self, world: World) -> None:
        train(world, 1)
        deletion = delete(world)
        finish(world)

        assert [(left.container, left.files, left.size) for left in deletion.left] == [
            ("data", 1, 8),
            ("scripts", 1, 17),
        ]
        assert world.blobs.names_in(naming.DATA) == ["digits/digits.npz"]
        assert world.blobs.names_in(naming.SCRIPTS) == ["digits/train.py"]

    def test_files_that_stay_are_no_drop_again(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        world.announce("data/digits/digits.npz")
        world.rest()
        finish(world)

        assert world.receipts() == []
        assert len(world.training.jobs) == 1

    def test_nothing_goes_while_something_may_be_under_way(self, world: World) -> None:
        train(world)
        before = remains(world)
        delete(world)
        world.clock.advance(MAX_FUNCTION_RUNTIME - 60)
        world.reconcile()

        assert set(remains(world)) == {*before, ".deleting/digits"}

    def test_a_file_dropped_meanwhile_is_taken_when_it_is_done(self, world: World) -> None:
        train(world, 1)
        delete(world)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other digits")
        world.go_on(120)
        assert len(world.receipts()) == 1
        finish(world)

        assert told(world).state is DeletionState.DELETED
        assert world.receipt().status is Status.STARTING

    def test_a_lost_event_of_a_file_dropped_meanwhile_is_found(self, world: World) -> None:
        train(world, 1)
        delete(world)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"other digits", times=0)
        finish(world)

        assert world.receipt().status is Status.STARTING

    def test_again_tells_how_far_it_is(self, world: World) -> None:
        train(world, 1)
        first = delete(world)
        world.clock.advance(5)
        assert delete(world) == first
        finish(world)
        assert delete(world).state is DeletionState.DELETED

    def test_what_is_dropped_anew_can_be_deleted_anew(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        train(world, 1)
        assert delete(world).state is DeletionState.DELETING
        finish(world)

        assert len(world.blobs.names_in(naming.RECEIPTS, ".deleted/digits/")) == 2
        assert world.receipts() == []

    def test_no_job_name_is_used_again(self, world: World) -> None:
        train(world, 1)
        delete(world)
        finish(world)
        train(world, 1)

        first, second = world.training.jobs
        assert (first[:-1], first[-1], second[-1]) == (second[:-1], "1", "2")
        assert len({event.id for event in world.publisher.published}) == 6

    def test_of_what_is_not_there_is_refused(self, world: World) -> None:
        with pytest.raises(NotFound, match="no experiment 'digits'"):
            delete(world)

    def test_leaves_other_experiments_alone(self, world: World) -> None:
        train(world, 1)
        world.drop("scripts/digits-2/train.py", b"print('trained')\n")
        world.drop("data/digits-2/digits.npz", b"digits")
        world.rest()
        world.run_job()
        delete(world)
        finish(world)

        assert world.receipt("digits-2").status is Status.REGISTERED
        assert world.blobs.get(naming.MODELS, "digits-2/1/manifest.json") is not None

    def test_two_at_once_are_one(self, world: World) -> None:
        train(world, 1)
        other = host(world, blobs=lambda port: Meanwhile(port, "create", lambda: delete(world), about=".deleting/"))

        assert other.experiments.delete("digits", by="another", force=False).by == "someone"

    def test_a_receipt_that_cannot_be_read_goes_too(self, world: World) -> None:
        train(world, 1)
        world.blobs.upload(naming.RECEIPTS, "digits/what.json", b"what is this?")
        delete(world)
        finish(world)

        assert world.receipts() == []
        assert [one.status for one in told(world).receipts if one.drop == "what"] == [None]


class TestJobs:
    def test_that_go_on_are_in_the_way(self, world: World) -> None:
        world.drop_digits()
        world.rest()

        with pytest.raises(Refused, match=f"{world.receipt().job}.*force=true"):
            delete(world)
        assert world.kedja.experiments.active_deletion("digits") is None

    def test_that_go_on_are_canceled_where_that_is_wanted(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        delete(world, force=True)
        world.rest()
        finish(world)

        assert [job.status.value for job in world.training.jobs.values()] == ["canceled"]
        assert world.publisher.types()[-1] == "Kedja.JobCanceled"
        assert remains(world) == []

    def test_that_slip_in_are_canceled(self, world: World) -> None:
        train(world, 1)
        world.drop("data/digits/digits.npz", b"more digits")
        world.kedja = host(
            world, blobs=lambda port: Meanwhile(port, "get", lambda: delete(world), about=".deleting/", after=True)
        )
        world.rest()
        finish(world)

        assert remains(world) == ["digits/1/manifest.json", "digits/1/model.npz", "digits/champion.json"]
        assert not world.live_jobs()

    def test_cannot_be_retried_meanwhile(self, world: World) -> None:
        train(world, 1)
        delete(world)

        with pytest.raises(BeingDeleted, match="being deleted"):
            world.kedja.job_commands.retry(str(world.receipt().job))
        with pytest.raises(BeingDeleted, match="being deleted"):
            world.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="t", code=True, force=True)

    def test_events_are_published_first(self, world: World) -> None:
        world.publisher.refuses = True
        train(world, 1)
        delete(world)
        finish(world)
        assert len(world.receipts()) == 1
        world.publisher.refuses = False
        finish(world)

        assert world.receipts() == []
        assert world.publisher.types()[-1] == "Kedja.ModelRegistered"


class TestModels:
    def test_that_are_deployed_stay(self, world: World) -> None:
        train(world)
        first = world.training.versions[0]
        world.training.versions[0] = evolve(first, tags={**first.tags, DEPLOYED_TAG: "shop"})
        delete(world)
        finish(world)

        assert {one.version: one.why for one in told(world).kept} == {
            "1": "It is deployed: its tag kedja_deployed is 'shop'.",
            "2": "It is the model's champion.",
        }
        assert "digits/1/model.npz" in world.blobs.names_in(naming.MODELS)

    def test_that_somebody_archived_go_too(self, world: World) -> None:
        train(world)
        world.training.archive_model("digits", "1")
        delete(world)
        finish(world)

        assert world.blobs.names_in(naming.MODELS) == CHAMPION

    def test_that_become_the_champion_meanwhile_stay(self, world: World) -> None:
        train(world)
        champion = world.kedja.champions.find("digits")
        assert champion is not None

        def promote() -> None:
            promoted = champion.model_copy(update={"version": "1"})
            world.blobs.replace(naming.MODELS, "digits/champion.json", promoted.to_bytes())

        delete(world)
        world.clock.advance(LATER)
        world.kedja = host(world, blobs=lambda port: Meanwhile(port, "lease", promote, about="champion.json"))
        finish(world)

        assert "digits/1/manifest.json" in world.blobs.names_in(naming.MODELS)
        assert [one.version for one in told(world).kept] == ["2", "1"]

    def test_cannot_become_the_champion_while_they_go(self, world: World) -> None:
        train(world)
        seen = []

        def promote() -> None:
            with pytest.raises(PreconditionFailed):
                world.blobs.replace(naming.MODELS, "digits/champion.json", b"{}")
            seen.append(True)

        world.kedja = host(
            world, blobs=lambda port: Meanwhile(port, "delete", promote, about="digits/1/manifest.json", after=True)
        )
        delete(world)
        finish(world)

        assert seen == [True]
