"""An experiment that is trained and deleted."""

from function_app.domain import naming
from function_app.store.deletions import Deletion
from function_app.timing import Timing
from tests.unit.simulation import World

MAX_FUNCTION_RUNTIME = Timing().max_function_runtime
LATER = MAX_FUNCTION_RUNTIME + 60


def train(world: World, times: int = 2) -> None:
    """Train so many versions of the model digits, the last of which is the champion."""
    for number in range(times):
        world.drop("scripts/digits/train.py", b"print('trained')\n")
        world.drop("data/digits/digits.npz", f"digits {number}".encode())
        world.rest()
        world.run_job(metrics={"accuracy": 0.9 + number / 100})
        world.clock.advance(60)


def delete(world: World, *, force: bool = False) -> Deletion:
    return world.kedja.experiments.delete("digits", by="someone", force=force)


def finish(world: World, rounds: int = 3) -> None:
    for _ in range(rounds):
        world.clock.advance(LATER)
        world.reconcile()
        world.rest()


def told(world: World) -> Deletion:
    (name,) = world.blobs.names_in(naming.RECEIPTS, ".deleted/digits/")
    return Deletion.from_bytes(world.blobs.stored[naming.RECEIPTS, name].data)


def remains(world: World) -> list[str]:
    """Return what there is of Kedja's own of the experiment, the audit aside."""
    found = [name for name in world.blobs.names_in(naming.RECEIPTS) if "digits" in name and not name.startswith(KEPT)]
    return [*found, *world.blobs.names_in(naming.SNAPSHOTS), *world.blobs.names_in(naming.MODELS)]


KEPT = (".deleted/", ".attempts/")
