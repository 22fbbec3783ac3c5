from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from function_app.domain.contents import DroppedFile
from function_app.domain.drop import Drop
from function_app.domain.plan import ReadyPlan, RejectedPlan, WaitingPlan
from function_app.drops.planning import Planner, detect_data_format
from function_app.jobspec.schema import JobSpec, parse_job_yaml
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def planner(world: World) -> Planner:
    return world.kedja.settler.planner


def files(names: Iterable[str]) -> list[DroppedFile]:
    return [DroppedFile(name=name, size=1, etag="e", md5="m") for name in names]


def drop(scripts: Iterable[str] = (), data: Iterable[str] = ()) -> Drop:
    return Drop(
        experiment="digits",
        folder="digits",
        scripts=files(scripts),
        data=files(data),
        job_yaml=None,
        now=NOW,
        newest=NOW,
        uploading=[],
        newest_names=(),
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["digits.npz"], "npz"),
        (["a/DIGITS.NPZ", "readme.md"], "npz"),
        (["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"], "idx"),
        (["t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"], "idx"),
        (["train-images-idx3-ubyte.gz"], None),
        (["table.csv"], "table"),
        (["table.csv.gz"], "table"),
        (["train.TSV", "test.tsv"], "table"),
        (["iris.data"], "table"),
        (["a/table.parquet"], "table"),
        (["cats/1.png", "dogs/2.JPG"], "images"),
        (["train/cats/1.png", "train/dogs/2.jpg"], "images"),
        (["cats/1.png", "cats/2.png"], None),
        (["1.png", "2.png"], None),
        (["notes.txt"], None),
        ([], None),
    ],
)
def test_formats_of_the_built_in_trainer_are_known_by_their_names(names: list[str], expected: str | None) -> None:
    assert detect_data_format(files(names)) == expected


@pytest.mark.parametrize(
    ("scripts", "data", "yaml", "entry_script"),
    [
        (["train.py"], ["a"], "", "train.py"),
        (["fit.py"], ["a"], "", "fit.py"),
        (["train.py", "model.py"], ["a"], "", "train.py"),
        (["fit.py", "lib/model.py", "requirements.txt"], ["a"], "", "fit.py"),
        (["fit.py", "model.py"], ["a"], "kedja: {entry_script: fit.py}", "fit.py"),
        (["networks.py"], ["a.npz"], "kedja: {arguments: {network: wide}}", None),
        (["fit.py", "networks.py"], ["a"], "", "fit.py"),
        (["src/train.py", "setup.py"], ["a"], "code: src", "train.py"),
        (["fit.py", "setup.py"], ["a"], "", "fit.py"),
        (["src/train.py", "src/gpu.txt"], ["a"], "code: src\nkedja: {requirements: gpu.txt}", "train.py"),
        (["fit.py"], [], "kedja: {data: none}", "fit.py"),
        (["fit.py", "model.py"], ["a"], "command: python fit.py", None),
        (["fit.ipynb"], ["a"], "", "fit.ipynb"),
        (["fit.ipynb", "fit.py"], ["a"], "", "fit.py"),
        (["a.ipynb", "train.ipynb"], ["a"], "", "train.ipynb"),
        (["a.ipynb", "networks.py"], ["a"], "", "a.ipynb"),
        (["fit.ipynb", "fit.py"], ["a"], "kedja: {entry_script: fit.ipynb}", "fit.ipynb"),
        ([], ["a.npz"], "", None),
        (["requirements.txt"], ["a.npz"], "", None),
    ],
)
def test_is_ready(planner: Planner, scripts: list[str], data: list[str], yaml: str, entry_script: str | None) -> None:
    plan = planner.plan(drop(scripts, data), parse_job_yaml(yaml))
    assert isinstance(plan, ReadyPlan)
    assert plan.entry_script == entry_script


@pytest.mark.parametrize(
    ("scripts", "data", "yaml", "what"),
    [
        (["train.py"], [], "", "data"),
        ([], [], "command: python -c 1", "data"),
        ([], ["notes.txt"], "", "script"),
        (["lib/model.py"], ["notes.txt"], "", "script"),
        (["train.py"], ["a"], "kedja: {entry_script: fit.py}", "script"),
        (["train.py"], ["a"], "kedja: {requirements: gpu.txt}", "script"),
        (["train.py", "gpu.txt"], ["a"], "command: x\nkedja: {requirements: src/gpu.txt}", "script"),
        (["train.py"], ["a"], "kedja: {drop: {wait_for: _SUCCESS}}", "_SUCCESS"),
        ([], [], "kedja: {data: none}", "script"),
    ],
)
def test_waits(planner: Planner, scripts: list[str], data: list[str], yaml: str, what: str) -> None:
    plan = planner.plan(drop(scripts, data), parse_job_yaml(yaml))
    assert isinstance(plan, WaitingPlan)
    assert (plan.what, bool(plan.what_to_do)) == (what, True)


def test_rejects_scripts_of_which_none_is_the_one(planner: Planner) -> None:
    plan = planner.plan(drop(["b.py", "a.py"], ["a"]), JobSpec())
    assert isinstance(plan, RejectedPlan)
    assert plan.reason == "It is unclear which script to run: a.py, b.py."


def test_rejects_notebooks_of_which_none_is_the_one(planner: Planner) -> None:
    plan = planner.plan(drop(["b.ipynb", "a.ipynb"], ["a"]), JobSpec())
    assert isinstance(plan, RejectedPlan)
    assert plan.reason == "It is unclear which script to run: a.ipynb, b.ipynb."


def test_rejects_a_compute_that_is_not_there(planner: Planner) -> None:
    plan = planner.plan(drop(["a.py"], ["a"]), parse_job_yaml("compute: gpu-clutser"))
    assert isinstance(plan, RejectedPlan)
    assert "gpu-cluster" in plan.reason


def test_waits_for_kedjas_own_compute(planner: Planner, training: MemoryTraining) -> None:
    training.compute_names = ["cpu-cluster"]
    plan = planner.plan(drop(["a.py"], ["a"]), JobSpec())
    assert isinstance(plan, WaitingPlan)
    assert (plan.what, "cpu-cluster" in plan.what_to_do) == ("compute gpu-cluster", True)


def test_data_is_no_part_of_a_drop_that_needs_none(planner: Planner) -> None:
    spec = parse_job_yaml("kedja: {data: none}")
    plans = [planner.plan(drop(["a.py"], data), spec) for data in ([], ["a"])]
    assert len({plan.drop.ref(spec.canonical()) for plan in plans}) == 1
