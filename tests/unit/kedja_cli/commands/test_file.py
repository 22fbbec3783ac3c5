import csv
import json
from pathlib import Path

import pytest

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run


def test_init_writes_an_experiment_whose_job_yaml_is_valid(run: Run, tmp_path: Path) -> None:
    result = run("init", "rings")
    assert result.stdout.splitlines() == ["rings/scripts/train.py", "rings/scripts/job.yaml", "rings/data/points.csv"]
    assert "kedja drop rings --wait" in result.stderr
    assert run("validate", "rings/scripts/job.yaml", "-e", "rings").exit_code == 0
    compile((tmp_path / "rings/scripts/train.py").read_text(), "train.py", "exec")
    with (tmp_path / "rings/data/points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows[:2]] == ["0", "1"]
    assert len(rows) == 400


def test_init_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rings" / "scripts").mkdir(parents=True)
    (tmp_path / "rings" / "scripts" / "job.yaml").write_text("mine")
    result = run("init", "rings", "--json")
    assert result.exit_code == Exit.FAILED
    assert json.loads(result.stderr)["error"] == "rings/scripts/job.yaml exists already: nothing was written."
    assert [path.name for path in (tmp_path / "rings").rglob("*") if path.is_file()] == ["job.yaml"]


def test_init_without_sample_leaves_the_data_to_its_owner(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("init", "rings", "--no-sample", "--json").stdout)["files"] == [
        "rings/scripts/train.py",
        "rings/scripts/job.yaml",
    ]
    assert list((tmp_path / "rings" / "data").iterdir()) == []


def test_init_reports_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("init", "file/rings").exit_code == Exit.FAILED


def test_validate_names_each_problem_with_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kedja:\n  data: maybe\nidentity: {type: managed}\n")
    result = run("validate", "job.yaml")
    assert result.exit_code == Exit.FAILED
    assert "  job.yaml:2:3: kedja.data: " in result.stderr
    assert "  job.yaml:3:1: identity" in result.stderr


def test_validate_as_json_has_line_and_column(run: Run, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kedja:\n  data: maybe\n")
    result = run("validate", "job.yaml", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == Exit.FAILED
    assert document["valid"] is False
    assert {key: document["problems"][0][key] for key in ("file", "line", "column", "key")} == {
        "file": "job.yaml",
        "line": 2,
        "column": 3,
        "key": "kedja.data",
    }


def test_validate_compares_the_experiment(run: Run, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("experiment_name: other\n")
    assert "experiment_name" in run("validate", "job.yaml", "-e", "rings").stderr


@pytest.mark.parametrize(
    ("conda", "said"),
    [(None, "conda.yaml cannot be read"), ("dependencies: 3\n", "conda.yaml"), ("dependencies: [python=3.13]\n", "")],
)
def test_validate_reads_the_conda_file_too(run: Run, tmp_path: Path, conda: str | None, said: str) -> None:
    (tmp_path / "job.yaml").write_text("environment: {image: 'ubuntu:24.04', conda_file: conda.yaml}\n")
    if conda is not None:
        (tmp_path / "conda.yaml").write_text(conda)
    result = run("validate", "job.yaml")
    assert said in result.stderr
    assert (result.exit_code == 0) == (said == "")


def test_validate_of_nothing_exits_3(run: Run) -> None:
    assert run("validate", "job.yaml").exit_code == Exit.NOT_FOUND
