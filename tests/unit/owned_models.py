"""What tests of models' owners have in common: experiments that register models, their own and others'."""

import json

from function_app.domain import naming
from function_app.domain.receipt import Receipt
from function_app.models.champion import Champion
from function_app.models.ownership import ModelOwner
from tests.unit.simulation import SCRIPT, World

GATE = "{metric: accuracy, goal: maximize, at_least: 0.9, better_than: champion}"


def drop(
    world: World, experiment: str, *, model: str | None = None, when: str | None = None, data: str = "x"
) -> Receipt:
    """Drop an experiment, let it settle, and return its newest receipt."""
    options = [f"model: {model}"] * (model is not None) + [f"when: {when}"] * (when is not None)
    world.clock.advance(60)
    world.drop(f"scripts/{experiment}/job.yaml", f"kedja: {{register: {{{', '.join(options)}}}}}\n".encode())
    world.drop(f"scripts/{experiment}/train.py", SCRIPT)
    world.drop(f"data/{experiment}/digits.npz", data.encode())
    world.rest()
    return world.receipts(experiment)[-1]


def train(
    world: World,
    experiment: str,
    accuracy: float,
    *,
    model: str | None = None,
    when: str | None = None,
    data: str = "x",
) -> Receipt:
    """Drop an experiment and let its job end."""
    receipt = drop(world, experiment, model=model, when=when, data=data)
    world.run_job(receipt.job, metrics={"accuracy": accuracy})
    return world.kedja.receipts.load(receipt.ref)


def champion(world: World, model: str) -> Champion:
    found = world.kedja.champions.find(model)
    assert found is not None
    return found


def owner(world: World, model: str) -> ModelOwner:
    found = ModelOwner.read(world.blobs, model)
    assert found is not None
    return found[0]


def share(world: World, model: str, *allowed: str) -> None:
    world.kedja.owners.share(model, allowed, by="somebody", is_current=lambda _: True)


def as_before_owners(world: World, model: str) -> None:
    """Take away what an earlier release did not write."""
    world.blobs.delete(naming.MODELS, naming.owner_blob(model))
    values = json.loads(world.blobs.read(naming.MODELS, naming.champion_blob(model)).data)
    del values["owner"]
    values.pop("gate", None)
    world.blobs.replace(naming.MODELS, naming.champion_blob(model), json.dumps(values).encode())
