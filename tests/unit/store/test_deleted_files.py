"""Files that users deleted: the next drop is without them, and its receipt says so."""

from function_app.domain import naming
from function_app.domain.contents import MissingFiles
from tests.unit.simulation import World


def dropped(world: World, path: str, data: bytes) -> None:
    world.drop(path, data)
    world.rest()
    if world.live_jobs():
        world.run_job()
    world.clock.advance(60)


def test_are_told_on_the_next_receipt(world: World) -> None:
    world.drop("data/digits/old.npz", b"old")
    world.drop("scripts/digits/helper.py", b"pass\n")
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.blobs.delete(naming.DATA, "digits/old.npz")
    world.blobs.delete(naming.SCRIPTS, "digits/helper.py")
    dropped(world, "data/digits/new.npz", b"new")

    first, second = world.receipts()
    assert first.received.gone is None
    assert second.received.gone == MissingFiles(count=2, files=("data/old.npz", "scripts/helper.py"))
    assert [file.name for file in second.received.data_files] == ["digits.npz", "new.npz"]


def test_are_not_told_where_all_are_there(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)
    dropped(world, "data/digits/digits.npz", b"other digits")

    assert [receipt.received.gone for receipt in world.receipts()] == [None, None]


def test_are_told_where_old_content_comes_back(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job(exit_code=1)
    world.clock.advance(60)
    dropped(world, "data/digits/more.npz", b"more")
    world.blobs.delete(naming.DATA, "digits/more.npz")
    dropped(world, "data/digits/digits.npz", b"digits")

    again = next(receipt for receipt in world.receipts() if len(receipt.attempts) == 2)
    assert again.received.gone == MissingFiles(count=1, files=("data/more.npz",))


def test_cost_two_reads_of_a_new_drop(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.blobs.calls.clear()
    world.drop("data/digits/new.npz", b"new")
    world.go_on(30)

    reads = [call.name for call in world.blobs.calls if call.operation == "read"]
    assert sum(name.endswith("/manifest.json") for name in reads) == 2  # that of the drop before; the job's own
    assert sum(name.startswith(".deleted/") for name in reads) == 0


def test_are_unknown_where_the_snapshot_is_gone(world: World) -> None:
    world.drop_digits()
    world.rest()
    world.run_job()
    world.clock.advance(60)
    world.blobs.delete(naming.SNAPSHOTS, f"digits/{world.receipt().drop}/manifest.json")
    world.blobs.delete(naming.DATA, "digits/digits.npz")
    dropped(world, "data/digits/new.npz", b"new")

    assert world.receipts()[1].received.gone is None
