"""Each timer does its own work within its own time: nothing of the others keeps it waiting."""

from datetime import timedelta

import pytest
from attrs import evolve

from function_app.domain import naming
from function_app.domain.messages import SettleMessage
from function_app.domain.receipt import Status
from function_app.drops.intake import PendingSettle
from function_app.errors import StorageError, StorageUnavailable
from function_app.operations.experiments import Experiments
from function_app.operations.stale_markers import LONGEST, SENT_AGAIN_AFTER
from function_app.operations.walk import EXPERIMENTS_AT_ONCE
from function_app.timing import Timing
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World

LATER = Timing().max_function_runtime + 60


def others_models(world: World, number: int) -> None:
    """Have the registry hold so many models that other experiments registered."""
    (version,) = world.training.versions
    world.training.versions += [
        evolve(version, model=f"other-{each}", tags={**version.tags, "kedja_receipt": f"other-{each}/{'0' * 64}"})
        for each in range(number)
    ]


def train(world: World, job_yaml: bytes | None = None) -> None:
    if job_yaml:
        world.drop("scripts/digits/job.yaml", job_yaml)
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)


def asked(world: World) -> list[tuple[str, str]]:
    return [call for call in world.training.calls if call[0] in ("models", "model_names")]


class TestDeletion:
    def test_asks_only_for_the_models_that_the_attempts_name(self, world: World) -> None:
        train(world)
        others_models(world, 2000)
        train(world, b"kedja: {register: {model: numerals}}\n")
        world.training.calls.clear()

        plan = world.kedja.experiments.plan("digits", by="ada")
        assert asked(world) == [("models", "digits"), ("models", "numerals")]
        assert [one.key for one in plan.deletion.kept] == [("digits", "1"), ("numerals", "1")]
        world.training.calls.clear()
        world.kedja.experiments.delete("digits", by="ada", force=False)
        assert asked(world) == []

        world.clock.advance(LATER)
        world.kedja.housekeeping.run()
        assert asked(world) == [("models", "digits"), ("models", "numerals")]
        assert world.receipts() == []

    def test_finds_a_version_whose_drop_was_tried_again_and_failed(self, world: World) -> None:
        train(world, b"kedja: {register: {model: numerals}}\n")
        world.drop("data/other/a.npz")
        world.rest()
        world.kedja.job_commands.retry(str(world.receipt().job))
        world.rest()
        world.run_job(world.receipt().job, exit_code=1)
        assert world.receipt().model is None
        world.blobs.delete(naming.MODELS, "numerals/champion.json")
        world.kedja.experiments.delete("digits", by="ada", force=False)
        world.clock.advance(LATER)
        world.kedja.housekeeping.run()

        assert [(one.model, one.archived) for one in world.training.versions] == [("numerals", True)]

    def test_that_takes_long_goes_on_in_the_next_round(self, world: World) -> None:
        for number in range(3):
            world.drop("data/digits/more.npz", str(number).encode())
            train(world)
        world.blobs.delete(naming.MODELS, "digits/champion.json")
        world.kedja.experiments.delete("digits", by="ada", force=False)
        world.clock.advance(LATER)
        slow = Timing().deletion_round * 0.6
        archive = world.training.archive_model

        def archive_slowly(model: str, version: str) -> None:
            world.clock.advance(slow)
            archive(model, version)

        left = []
        for _ in range(2):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(type(world.training), "archive_model", lambda _, *one: archive_slowly(*one))
                world.kedja.housekeeping.run()
            left.append((len(world.training.current()), len(world.receipts())))
        assert left == [(1, 3), (0, 0)]


class TestWalk:
    def test_waits_for_nothing_that_others_do(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        world.drop("scripts/digits/train.py", SCRIPT, times=0)
        world.training.unavailable = True
        began = world.clock()
        monkeypatch.setattr(Experiments, "reconcile", lambda *_: world.clock.advance(600))
        world.clock.advance(300)
        world.kedja.walk.run(id="a round")

        assert world.markers() == [".settling/digits"]
        assert world.clock() - began == timedelta(seconds=300)
        assert world.training.calls == []

    @pytest.mark.parametrize("error", [StorageError("InvalidQueryParameterValue"), StorageUnavailable("ServerBusy")])
    def test_starts_anew_where_its_token_is_refused(self, world: World, error: StorageError) -> None:
        for number in range(EXPERIMENTS_AT_ONCE + 1):
            world.drop(f"data/e{number:02}/a.npz", times=0)
        world.clock.advance(300)
        world.blobs.upload(naming.RECEIPTS, ".walk", b'{"container": "data", "token": "of another account"}')

        def refuse() -> None:
            raise error

        refused = host(world, blobs=lambda port: Meanwhile(port, "folders", refuse, about="of another account"))
        refused.walk.run(id="a round")
        assert world.markers() == []
        refusing = isinstance(error, StorageUnavailable)
        kept = world.blobs.read(naming.RECEIPTS, ".walk").data
        assert (b"of another account" in kept) is refusing
        if not refusing:
            world.kedja.walk.run(id="another")
            assert len(world.markers()) == EXPERIMENTS_AT_ONCE + 1

    def test_leaves_an_experiment_alone_while_it_is_deleted(self, world: World) -> None:
        train(world)
        world.kedja.experiments.delete("digits", by="ada", force=False)
        world.blobs.delete(naming.RECEIPTS, naming.latest_blob("digits"))
        world.clock.advance(300)
        world.kedja.walk.run(id="a round")
        assert world.markers() == []

    def test_goes_on_beside_the_place_that_an_older_release_kept(self, world: World) -> None:
        kept = b'{"container": "scripts", "token": "t", "last": "x", "opened": "digits/1"}'
        world.blobs.upload(naming.RECEIPTS, ".reconcile", kept)
        world.drop("data/digits/digits.npz", times=0)
        world.clock.advance(300)
        world.reconcile()
        assert world.markers() == [".settling/digits"]


class TestStaleMarkers:
    def stale(self, world: World, folders: int) -> None:
        """Have messages wait behind so many others that none is taken."""
        for number in range(folders):
            world.drop(f"data/e{number:02}/a.npz")
        world.go_on(1)
        world.queues.messages.clear()

    def rounds(self, world: World, number: int) -> list[int]:
        """Return how many messages each of so many rounds sends."""
        sent = []
        for _ in range(number):
            world.clock.advance(300)
            before = len(world.queues.messages)
            world.kedja.reconciler.run(id=world.clock().isoformat())
            sent.append(len(world.queues.messages) - before)
        return sent

    def test_are_sent_again_half_as_often_each_time(self, world: World) -> None:
        self.stale(world, 50)
        assert self.rounds(world, 13) == [50, 0, 50, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0]

    def test_are_sent_at_least_once_in_an_hour(self, world: World) -> None:
        self.stale(world, 1)
        rounds = int(LONGEST.total_seconds() // 300)
        self.rounds(world, 2 * rounds)
        assert [sum(self.rounds(world, rounds)) for _ in range(20)] == [1] * 20
        assert SENT_AGAIN_AFTER < LONGEST

    def test_of_an_older_release_are_sent_again(self, world: World) -> None:
        request = SettleMessage(experiment="digits", folder="digits", trigger="an event")
        old = PendingSettle(message="m", request=request).model_dump_json(exclude={"sent", "sent_at"}).encode()
        world.blobs.upload(naming.RECEIPTS, ".settling/digits", old)
        assert self.rounds(world, 2) == [1, 0]

    def test_whose_look_begins_meanwhile_are_not_written_again(self, world: World) -> None:
        self.stale(world, 1)
        world.clock.advance(300)
        request = SettleMessage(experiment="e00", folder="e00", trigger="an event")
        begun = host(
            world,
            blobs=lambda port: Meanwhile(
                port, "replace", lambda: world.kedja.intake.consume_marker(request), about=".settl"
            ),
        )
        begun.reconciler.run(id="a round")
        assert world.markers() == []

    def test_one_more_message_is_all_that_a_lost_one_takes(self, world: World) -> None:
        self.stale(world, 1)
        self.rounds(world, 1)
        world.rest()
        assert world.receipt("e00").status is Status.SUBMITTED
