"""Every duration is documented, used, and configurable."""

import ast
from datetime import timedelta
from pathlib import Path
from typing import TypeIs

import pytest
from attrs import fields
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import TrainingServiceUnavailable
from function_app.settings import Settings
from function_app.timing import Timing
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World

SERVICE = Path("function_app")
FIELDS = [field.name for field in fields(Timing)]


def is_timing(node: ast.stmt) -> TypeIs[ast.ClassDef]:
    """Return whether a statement defines the class `Timing`."""
    return isinstance(node, ast.ClassDef) and node.name == "Timing"


def read_in(source: Path) -> set[str]:
    """Return the attributes of `timing` that a module reads."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == "timing"
    }


def read_by_policies() -> dict[str, set[str]]:
    """Return the fields that each property of `Timing` reads."""
    (timing,) = [one for one in ast.parse((SERVICE / "timing.py").read_text()).body if is_timing(one)]
    properties = (
        one
        for one in timing.body
        if isinstance(one, ast.FunctionDef) and ast.unparse(one.decorator_list[0]) == "property"
    )
    return {
        one.name: {
            node.attr for node in ast.walk(one) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
        }
        for one in properties
    }


def test_each_field_is_read() -> None:
    read, policies = set[str]().union(*map(read_in, SERVICE.rglob("*.py"))), read_by_policies()
    assert policies.keys() <= read
    assert (read - policies.keys()).union(*policies.values()) == set(FIELDS)


def test_each_field_is_documented() -> None:
    (timing,) = [one for one in ast.parse((SERVICE / "timing.py").read_text()).body if is_timing(one)]
    documented = [
        field.target.id
        for field, text in zip(timing.body, timing.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    ]
    assert documented == FIELDS


def delays(world: World) -> list[float]:
    """Return the delay of each message in the queues, in seconds."""
    return [(message.visible - world.clock()).total_seconds() for message in world.queues.messages]


def test_a_paused_folder_is_looked_at_after_the_given_time() -> None:
    world = World.make(timing=Timing(paused_check=7.0))
    world.blobs.create(naming.RECEIPTS, naming.PAUSED_BLOB, b"{}")
    world.drop("data/digits/digits.npz")
    world.go_on(10)
    assert delays(world) == [7.0]


def without_submissions(mocker: MockerFixture, timing: Timing) -> World:
    """Return a world whose only drop has not been submitted yet."""
    mocker.patch.object(MemoryTraining, "submit", side_effect=TrainingServiceUnavailable("The service is down."))
    world = World.make(timing=timing)
    world.drop_digits()
    world.go_on(Settings().quiet_period)
    assert world.receipt().status is Status.SUBMITTING
    return world


@pytest.mark.parametrize(
    ("timing", "longest"),
    [(Timing(), 5.0), (Timing(first_retry=0.5), 0.5), (Timing(max_retry=2.0), 2.0)],
    ids=["default", "first", "max"],
)
def test_a_submission_is_repeated_after_the_given_time(mocker: MockerFixture, timing: Timing, longest: float) -> None:
    (delay,) = delays(without_submissions(mocker, timing))
    assert longest / 2 <= delay <= longest


def test_a_submission_waits_for_the_service_until_the_given_deadline(mocker: MockerFixture) -> None:
    world = without_submissions(mocker, Timing(outage_deadline=1800.0))
    began = world.clock()
    world.rest()
    assert world.receipt().status is Status.FAILED
    assert "not available for 0.5 hours" in str(world.receipt().reason)
    assert timedelta(minutes=30) < world.clock() - began < timedelta(minutes=36)


def test_a_deletion_waits_for_functions_as_long_as_one_may_run() -> None:
    world = World.make(timing=Timing(max_function_runtime=30.0))
    world.drop_digits()
    world.rest()
    world.run_job()
    world.kedja.experiments.delete("digits", by="ada", force=True)
    world.clock.advance(29)
    world.reconcile()
    assert world.receipts()
    world.clock.advance(2)
    world.reconcile()
    assert not world.receipts()
