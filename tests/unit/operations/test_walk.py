from typing import Any

from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.ports.storage import Folders, Page
from tests.unit.memory import MemoryBlobs
from tests.unit.operations.timer_rounds import TIMING, rounds
from tests.unit.simulation import World


class TestWalk:
    def test_looks_at_every_experiment_in_one_round(self, world: World) -> None:
        for number in range(50):
            world.drop(f"data/e{number:02}/a.npz", times=0)
        world.clock.advance(300)
        world.reconcile()
        assert len(world.markers()) == 50

    def test_is_bounded_and_goes_on_where_it_was(self, world: World, mocker: MockerFixture) -> None:
        for number in range(50):
            world.drop(f"{'data' if number < 30 else 'scripts'}/e{number:02}/a.npz", times=0)
        folders = MemoryBlobs.folders

        def slow(blobs: MemoryBlobs, container: str, *, size: int, token: str | None = None) -> Folders:
            world.clock.advance(TIMING.walk_round + 1)
            return folders(blobs, container, size=size, token=token)

        mocker.patch.object(MemoryBlobs, "folders", slow)
        taken = []
        for _ in range(4):
            world.clock.advance(300)
            before = set(world.markers())
            world.reconcile()
            taken.append(len(set(world.markers()) - before))
        assert taken == [20, 10, 20, 0]

    def test_stops_among_the_folders_of_a_page_that_take_too_long(self, world: World, mocker: MockerFixture) -> None:
        for number in range(5):
            world.drop(f"data/e{number}/a.npz", times=0)
        page = MemoryBlobs.page

        def slow(blobs: MemoryBlobs, container: str, prefix: str, **options: Any) -> Page:  # noqa: ANN401 - the port's
            if container == naming.DATA:
                world.clock.advance(0.6 * TIMING.max_walk_round)
            return page(blobs, container, prefix, **options)

        mocker.patch.object(MemoryBlobs, "page", slow)
        taken = []
        for _ in range(4):
            before = set(world.markers())
            world.reconcile()
            taken.append(sorted(set(world.markers()) - before))
        assert taken == [
            [".settling/e0", ".settling/e1"],
            [".settling/e2", ".settling/e3"],
            [".settling/e4"],
            [],
        ]

    def test_leaves_files_alone_that_no_one_means_to_drop_yet(self, world: World) -> None:
        world.blobs.upload(naming.DATA, "digits/a.tmp", b"x")
        world.blobs.upload(naming.DATA, "digits/on its way", b"", committed=False)
        world.clock.advance(300)
        world.reconcile()
        assert world.markers() == []

    def test_goes_on_past_a_folder_that_cannot_be_looked_at(self, world: World) -> None:
        world.drop("data/a/a.npz", times=0)
        world.drop("data/b/b.npz", times=0)
        world.blobs.upload(naming.RECEIPTS, naming.latest_blob("a"), b"what is this?")
        rounds(world)
        assert world.receipt("b").status is Status.SUBMITTED

    def test_starts_anew_at_the_end(self, world: World) -> None:
        rounds(world)
        world.drop("data/digits/digits.npz", times=0)
        rounds(world)
        assert world.receipt().status is Status.SUBMITTED

    def test_costs_nothing_where_nothing_is_new(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        world.run_job()
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_comes_to_rest_where_a_file_was_written_again_in_the_second_of_the_listing(self, world: World) -> None:
        world.drop_digits()
        world.go_on(10)
        assert world.receipt().status is Status.SUBMITTED
        world.drop("data/digits/digits.npz", b"digits", times=0)
        world.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=True)
        rounds(world)
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_finds_what_was_written_after_the_listing_in_the_same_second(self, world: World) -> None:
        world.drop("data/digits/digits.npz", b"digits", times=0)
        world.kedja.job_commands.submit({"experiment_name": "digits"}, trigger="api", code=True)
        world.drop("data/digits/digits.npz", b"more digits", times=0)
        rounds(world)
        assert len(world.receipts()) == 2

    def test_finds_what_came_before_a_retry(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        name = world.run_job(exit_code=1)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"more digits", times=0)
        world.clock.advance(60)
        world.kedja.job_commands.retry(name)
        rounds(world)
        assert len(world.receipts()) == 2

    def test_leaves_hidden_folders_alone(self, world: World) -> None:
        world.drop("data/.cache/a.npz", times=0)
        world.clock.advance(300)
        world.reconcile()
        assert world.queues.messages == []

    def test_while_paused_does_not_add_up(self, world: World) -> None:
        world.blobs.upload(naming.RECEIPTS, naming.PAUSED_BLOB, b"")
        world.drop("data/digits/digits.npz", times=0)
        for _ in range(10):
            world.go_on(300)
            world.clock.advance(1)
            world.reconcile()
        assert len(world.queues.messages) == 1


def test_files_outside_of_any_folder_are_no_experiment_with_a_latest_drop(world: World) -> None:
    """Also where their host was killed before it took the mark away."""
    world.drop("data/digits.npz", b"digits")
    world.rest()
    (receipt,) = world.receipts(naming.ROOT_EXPERIMENT)
    world.kedja.receipts.set_open_mark(receipt.ref)
    world.reconcile()
    assert world.kedja.receipts.latest(naming.ROOT_EXPERIMENT) is None
    assert world.receipts(naming.ROOT_EXPERIMENT) == [receipt]
    assert world.opened() == []
