"""Where uv comes from, and the settings that it runs with."""

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.training_job.requirements import index as packages
from tests.unit.training_job.requirements.conftest import ROOT
from training_job.errors import PackagesError
from training_job.requirements import uv
from training_job.requirements.outcome import Outcome

REAL = ROOT / ".venv-tools/bin/uv"


@pytest.fixture
def nowhere(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide every uv, and return the index, which pip uses too."""
    monkeypatch.delenv(uv.VARIABLE)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


def wheel_of_uv(folder: Path, version: str) -> None:
    script = f'#!/bin/sh\nexec {REAL} "$@"\n'
    packages.wheel(folder, "uv", version, modules={f"uv-{version}.data/scripts/uv": script})


def test_an_environment_with_pip_alone_gets_the_release_of_the_tools(nowhere: Path, tmp_path: Path) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    (pinned,) = groups["tools"]
    wheel_of_uv(nowhere, pinned.partition("==")[2])
    wheel_of_uv(nowhere, "999")
    assert uv.find(tmp_path / "tools") == str(tmp_path / "tools/bin/uv")
    assert (tmp_path / f"tools/uv-{pinned.partition('==')[2]}.dist-info").is_dir()


@pytest.mark.usefixtures("nowhere")
def test_without_any_the_reason_is_pips(prepare: Callable[..., Outcome]) -> None:
    (failure,) = prepare("kedja-helper").failures
    assert failure.reason.startswith("packages are asked for, and pip could not install uv for them: ")


@pytest.mark.usefixtures("nowhere")
def test_without_pip_too_an_installer_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(PackagesError, match="has neither uv nor pip: add uv"):
        uv.find(tmp_path / "tools")


def test_pips_settings_hold(index: Path, prepare: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_NO_INDEX", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    more = index / "more"
    more.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{index} {more}")
    packages.wheel(index, "kedja_helper")
    packages.wheel(more, "kedja_more")
    assert prepare("kedja-helper\nkedja-more\n").installed == {"kedja-helper": "1.0", "kedja-more": "1.0"}


def test_the_settings_of_a_dropped_project_are_not_read(
    index: Path, top: Path, prepare: Callable[..., Outcome]
) -> None:
    packages.wheel(index, "kedja_helper")
    (top / "pyproject.toml").write_text("[tool.uv]\nrequired-version = '==0.0.1'\n")
    (top / "uv.toml").write_text("required-version = '==0.0.1'\n")
    assert prepare("kedja-helper\n").installed == {"kedja-helper": "1.0"}


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("error: No solution found\n  cause: Because a was not found\n", "Because a was not found"),
        ("Traceback …\n  setuptools.errors.CompileError: no gcc\nhint: look", "setuptools.errors.CompileError: no gcc"),
        ("ModuleNotFoundError: No module named 'x'\n\nhint: add x", "ModuleNotFoundError: No module named 'x'"),
        ("something", "something"),
        ("", "uv gave no reason"),
        (f"error: {'x' * 300}", f"{'x' * 199}…"),
    ],
)
def test_the_reason_is_one_line(errors: str, reason: str) -> None:
    assert uv.Run(1, "", errors).reason == reason


def test_the_time_for_installing_is_limited(tmp_path: Path) -> None:
    tool = uv.Uv(executable=str(REAL), folder=tmp_path, python=Path(sys.executable), deadline=0.0)
    assert tool.resolve("numpy").reason == "the 30 minutes for installing packages were over"
