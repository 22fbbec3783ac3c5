"""What azd reads: `azure.yaml`, the hook and `.funcignore`."""

import fnmatch
import os
import subprocess

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

    assert {"app.py", "host.json", "requirements.txt", "function_app/app.py", "training_job/launch.py"} <= files


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


def test_the_hook_is_there_on_every_system() -> None:
    hook = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))["hooks"]["postdeploy"]

    for system in ("posix", "windows"):
        script = ROOT / hook[system]["run"]
        assert "-m infra.hooks.release" in script.read_text(encoding="utf-8")
    assert os.access(ROOT / hook["posix"]["run"], os.X_OK)
