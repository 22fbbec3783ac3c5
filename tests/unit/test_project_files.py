"""What GitHub, git and editors read: workflows, forms for issues, hooks, and the container for development."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
WRITES = {"contents": "read", "id-token": "write"}
"""The most that a job may: an identity token signs in to Azure, and writes nothing in the repository."""


ON = True
"""The key `on`, as YAML 1.1 reads it."""


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_and_name_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_the_repository_and_leaves_no_credentials_in_it(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for job in workflow["jobs"].values():
        assert job.get("permissions", {}).items() <= WRITES.items()
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_pushes_and_pull_requests_run_what_has_to_pass() -> None:
    workflow = read(ROOT / ".github/workflows/ci.yml")
    assert {"push", "pull_request"} <= set(workflow[ON])
    assert any(step.get("run", "").rstrip().endswith(".ci/run") for step in workflow["jobs"]["ci"]["steps"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_requires(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)


def test_hooks_check_what_make_lint_checks() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {" ".join(_command(hook["entry"])) for hook in repository["hooks"]}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe
    assert hooks == {" ".join(_command(line)) for line in recipe[1].splitlines()}


def _command(line: str) -> list[str]:
    """Return a tool and its subcommand, without options and what it is run on."""
    tool, *rest = line.strip().removeprefix("@").split()
    return [tool.split("/")[-1], *(word for word in rest if word in {"check", "format"})]


def test_the_container_runs_the_project_s_own_set_up() -> None:
    text = (ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    image = (ROOT / ".devcontainer" / container["build"]["dockerfile"]).read_text(encoding="utf-8")
    python = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["python_version"]
    assert container["postCreateCommand"] == "make setup"
    assert f"FROM python:{python}-" in image
    assert all(package in image for package in ("chromium", "nodejs", "npm"))
