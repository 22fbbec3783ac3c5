import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training_job.hooks import azureml_v1
from training_job.hooks.azureml_v1 import Run

Records = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: Records) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    return Run()


def logged(records: Records) -> list[tuple[str, float, int]]:
    return [(record["metric"], record["value"], record["step"]) for record in records()]


def test_values_count_their_steps(run: Run, records: Records) -> None:
    run.log("Accuracy", 0.5)
    run.log("Batch size", 128)
    run.log("Accuracy", 0.75)
    run.log("Accuracy", 0.8, step=9)
    assert logged(records) == [
        ("Accuracy", 0.5, 0),
        ("Batch size", 128.0, 0),
        ("Accuracy", 0.75, 1),
        ("Accuracy", 0.8, 9),
    ]


def test_lists_rows_and_tables(run: Run, records: Records) -> None:
    run.log_list("l", [1, 2])
    run.log_row("r", x=1, y=2)
    run.log_row("r", x=3, y=4)
    run.log_table("t", {"a": [5], "b": 6})
    assert logged(records) == [
        ("l", 1, 0), ("l", 2, 1), ("r/x", 1, 0), ("r/y", 2, 0), ("r/x", 3, 1), ("r/y", 4, 1),
        ("t/a", 5, 0), ("t/b", 6, 0),
    ]  # fmt: skip


def test_texts_are_tags(run: Run, records: Records) -> None:
    run.log("note", "good")
    run.tag("k", "v")
    run.set_tags({"a": "b"})
    assert [(record["tag"], record["value"]) for record in records()] == [("note", "good"), ("k", "v"), ("a", "b")]
    assert run.get_tags() == {"note": "good", "k": "v", "a": "b"}


def test_a_failure_has_its_reason(run: Run, records: Records) -> None:
    run.fail("no\nluck")
    run.complete()
    assert records() == [{"failure": "no luck", "refused": False}]


def test_uploads_are_kept_under_outputs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/b.txt").write_text("b")
    run.upload_file("a.txt", "a.txt")
    run.upload_file(name="outputs/x/a.txt", path_or_stream="a.txt")
    run.upload_file("outputs/a.txt", "outputs/a.txt")
    run.upload_file("stream", io.StringIO("c"))
    run.upload_folder("folder", "folder")
    run.log_image("plot", path="a.txt")
    assert run.get_file_names() == [
        "outputs/a.txt", "outputs/folder/b.txt", "outputs/images/a.txt", "outputs/stream", "outputs/x/a.txt"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../x", "/x", "outputs/../../x"])
def test_an_upload_stays_under_outputs(run: Run, name: str) -> None:
    with pytest.raises(ValueError, match="is no name under outputs/"):
        run.upload_file(name, io.StringIO(""))


def test_the_context_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Run.get_context() is Run.get_context(allow_offline=False)
    assert Run.get_context() is Run.get_context(False)  # noqa: FBT003 - as scripts call it
    monkeypatch.setenv("AZUREML_RUN_ID", "digits-1")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    assert (Run().id, Run().experiment.name) == ("digits-1", "digits")


@pytest.fixture
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "azureml"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    azureml_v1.install()


@pytest.mark.usefixtures("_served")
def test_the_package_is_served_where_it_is_not_installed() -> None:
    modules = [importlib.import_module(name) for name in ("azureml.core.run", "azureml.core")]
    assert all(vars(module)["Run"] is Run for module in modules)


@pytest.mark.usefixtures("_served")
def test_an_installed_package_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "azureml/core").mkdir(parents=True)
    (tmp_path / "azureml/__init__.py").write_text("")
    (tmp_path / "azureml/core/__init__.py").write_text("Run = 'real'")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert vars(importlib.import_module("azureml.core"))["Run"] == "real"


def test_runs_inside_a_run(run: Run, records: Records) -> None:
    with run.child_run("fold") as child:
        child.log("loss", 0.5)
        child.tag("k", "v")
    first, second = run.create_children(tag_key="size", tag_values=["1", "2"])
    assert (child.parent, child.id) == (run, "local_fold")
    assert list(run.get_children()) == [child, first, second]
    assert [record.get("metric", record.get("tag")) for record in records()][:2] == ["fold/loss", "fold/k"]


def test_what_was_logged_can_be_asked_for(run: Run) -> None:
    run.log("a", 1)
    run.log_list("b", [1, 2])
    assert run.get_metrics() == {"a": 1.0, "b": [1.0, 2.0]}
    assert run.get_metrics("a") == {"a": 1.0}
    assert (run.get_status(), run.get_details()["runId"]) == ("Running", run.id)


def test_a_model_is_registered_by_kedja_and_noted(run: Run, records: Records) -> None:
    assert run.register_model("digits", "outputs/model.npz").name == "digits"
    assert records()[-1] == {"tag": "register_model", "value": "digits: outputs/model.npz"}


def test_the_rest_of_the_retired_package_says_so() -> None:
    azureml_v1.install()
    with pytest.raises(ImportError, match=r"azureml\.core\.Workspace was part of the Azure ML SDK v1"):
        importlib.import_module("azureml.core").Workspace  # noqa: B018 - what is tested
