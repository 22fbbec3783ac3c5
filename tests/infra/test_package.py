"""What azd reads: `azure.yaml`, the hook and `.funcignore`."""

import fnmatch
import os
import subprocess
from pathlib import Path

import yaml

from tests.infra.bicep import ROOT, Infra


def packaged() -> set[str]:
    """Return the files that git knows or would take, less those that `.funcignore` leaves out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return {path for path in listed if not any(_matches(path, pattern) for pattern in patterns)}


def _matches(path: str, pattern: str) -> bool:
    """Return whether a pattern of gitignore's kind, as far as they are used here, leaves a path out."""
    parts = path.split("/")
    folder = pattern.endswith("/")
    bare = pattern.rstrip("/").removeprefix("**/")
    if "/" in bare:
        return path.startswith(f"{bare}/") if folder else fnmatch.fnmatchcase(path, bare)
    return any(fnmatch.fnmatchcase(part, bare) for part in (parts[:-1] if folder else parts))


def test_the_package_has_what_the_app_needs() -> None:
    files = packaged()

    assert {"app.py", "host.json", "requirements.txt", "function_app/triggers.py", "training_job/launch.py"} <= files


def test_the_package_has_nothing_else() -> None:
    tops = {path.split("/")[0] for path in packaged()}

    assert tops == {"app.py", "host.json", "requirements.txt", "function_app", "training_job"}


def test_azd_deploys_the_app_where_the_bicep_put_it() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))

    (service,) = project["services"]
    assert project["services"][service] == {"project": ".", "language": "python", "host": "function"}
    site = next(each for each in Infra.load().made("Microsoft.Web/sites"))
    assert f"'azd-service-name': '{service}'" in site.body["tags"].text
    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").is_file()


PYTHON = """#!/bin/sh
echo "$@" >> calls
if [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi
if [ "$2" = pip ] && [ -e cut-off ]; then exit 1; fi
"""


def test_the_hook_installs_its_packages_once_and_whole(tmp_path: Path) -> None:
    """The Python here only writes down what it is called with."""
    python = tmp_path / "python"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    requirements, cut_off, calls = (tmp_path / name for name in ("requirements.txt", "cut-off", "calls"))

    def run() -> list[str]:
        calls.unlink(missing_ok=True)
        environment = {**os.environ, "KEDJA_PYTHON": str(python)}
        subprocess.run([ROOT / "infra/hooks/postdeploy.sh"], cwd=tmp_path, env=environment, check=False)
        return [line.split()[1] for line in calls.read_text(encoding="utf-8").splitlines()]

    requirements.write_text("a==1", encoding="utf-8")
    cut_off.touch()
    assert run() == ["venv", "pip"]
    cut_off.unlink()
    assert run() == ["venv", "pip", "infra.hooks.release"]
    assert run() == ["infra.hooks.release"]
    requirements.write_text("a==2", encoding="utf-8")
    assert run() == ["venv", "pip", "infra.hooks.release"]


def test_the_hook_s_packages_are_no_environment_of_azd_s_and_in_no_package() -> None:
    subprocess.run(["git", "check-ignore", "--quiet", ".venv-release/bin/python"], cwd=ROOT, check=True)
    patterns = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    assert any(_matches(".venv-release/bin/python", pattern) for pattern in patterns)
    for script in ("postdeploy.sh", "postdeploy.ps1"):
        text = (ROOT / "infra" / "hooks" / script).read_text(encoding="utf-8")
        assert ".venv-release" in text
        assert ".azure" not in text, "each folder in .azure is an environment to azd"


def test_the_hook_is_there_on_every_system() -> None:
    hook = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))["hooks"]["postdeploy"]

    for system in ("posix", "windows"):
        script = ROOT / hook[system]["run"]
        assert "-m infra.hooks.release" in script.read_text(encoding="utf-8")
    assert os.access(ROOT / hook["posix"]["run"], os.X_OK)
