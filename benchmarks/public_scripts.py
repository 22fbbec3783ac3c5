"""Public Chainer scripts, unmodified, on tiny data and a CPU: which of them run, and which leave a model.

    python benchmarks/public_scripts.py --sources FOLDER [--only TEXT] [--report FILE]

FOLDER contains clones of the repositories that benchmarks/public/scripts.toml names, as `owner+name`. They are not part
of this repository, and a script whose repository is missing is left out, with a line that says so. Each script is
dropped as its repository has it, with the data that its recipe makes, and runs through `training_job.launch`, as in a
job on one machine. The table has what the job's manifest says: its result, its model, and why.
"""

import argparse
import base64
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-training" / "bin" / "python"
ROWS = ROOT / "benchmarks" / "public" / "scripts.toml"
RESULT = ROOT / "benchmarks" / "results" / "public-scripts.md"
LOCAL = {
    "KEDJA_GPU_OPTIONAL": "1",
    "KEDJA_PACKAGES_CACHE": str(ROOT / ".kedja" / "packages"),
    "KEDJA_UV": str(ROOT / ".venv-tools" / "bin" / "uv"),
}
"""What the local stack sets for its jobs."""
LIMIT_SECONDS = 1800
LARGEST_FILE = 4 << 20
"""Larger files of a repository, such as films for its README, are not dropped."""
_WRITE_DATA = """
import sys, pathlib
from benchmarks.public.data import RECIPES
RECIPES[sys.argv[1]](pathlib.Path(sys.argv[2]))
"""


@dataclass(frozen=True, kw_only=True)
class Script:
    """A row of scripts.toml, which describes the fields."""

    repository: str
    script: str
    folder: str = "."
    arguments: str = ""
    data: Sequence[str] = ()
    beside: Sequence[str] = ()
    requires: Sequence[str] = ()
    saves: bool = True
    ends: str | None = None
    variant: str = ""

    @property
    def name(self) -> str:
        """The script's path in its repository."""
        variant = f" ({self.variant})" if self.variant else ""
        return f"{self.repository}: {Path(self.folder, self.script).as_posix()}{variant}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a script. `seconds` include the installation of its packages."""

    script: Script
    commit: str
    result: str
    reason: str
    model: str
    notes: Sequence[str]
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scripts, print the table, and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, default=ROOT.parent / "public", help="folder with the clones")
    parser.add_argument("--only", default="", help="run the rows whose name contains this text")
    parser.add_argument("--report", type=Path, help=f"write the table here, such as {RESULT.relative_to(ROOT)}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder that keeps the jobs, to look at")
    parser.add_argument("--resume", action="store_true", help="take the results that --keep has of an earlier run")
    options = parser.parse_args(argv)
    rows = [Script(**row) for row in tomllib.loads(ROWS.read_text(encoding="utf-8"))["script"]]
    wanted = [row for row in rows if options.only in row.name]
    there = [row for row in wanted if _clone(options.sources, row).is_dir()]
    for row in (row for row in wanted if row not in there):
        print(f"left out: {row.name}: no clone of {row.repository} in {options.sources}")
    with ThreadPoolExecutor(options.processes) as pool:
        runs = list(pool.map(lambda row: _result(row, options), there))
    text = _table(runs)
    print(text)
    if options.report is not None:
        options.report.write_text(text, encoding="utf-8")
    return 0


def _clone(sources: Path, script: Script) -> Path:
    if script.repository == ".":  # our own
        return ROOT
    return sources / script.repository.replace("/", "+")


def _result(script: Script, options: argparse.Namespace) -> Run:
    """Run one script, or take the result that is kept of it."""
    if options.keep is None:
        with tempfile.TemporaryDirectory() as temporary:
            return _run(script, options.sources, Path(temporary))
    place = options.keep / re.sub(r"[^\w.+-]+", "_", script.name)
    kept = place / "run.json"
    if options.resume and kept.is_file():
        return Run(script=script, **json.loads(kept.read_text()))
    shutil.rmtree(place, ignore_errors=True)
    run = _run(script, options.sources, place)
    kept.write_text(json.dumps({name: value for name, value in vars(run).items() if name != "script"}))
    return run


def _run(script: Script, sources: Path, place: Path) -> Run:
    """Drop one script and run it in the folder `place`."""
    clone = _clone(sources, script)
    commit = _git(clone, "log", "-1", "--format=%h (%as)")
    for name in ("snapshot/scripts", "data", "job"):
        (place / name).mkdir(parents=True)
    _drop(script, clone, place)
    start = time.monotonic()
    with (place / "log.txt").open("wb") as log:
        code = _launch(script, place, log.fileno())
    seconds = time.monotonic() - start
    manifest = place / "job" / "outputs" / ".kedja-manifest.json"
    document = json.loads(manifest.read_text()) if manifest.is_file() else {"result": f"no manifest ({code})"}
    print(f"{document['result']:10} {seconds:6.1f} s  {script.name}  {document.get('reason') or ''}", flush=True)
    return Run(
        script=script,
        commit=commit,
        result=document["result"],
        reason=document.get("reason") or "",
        model=document.get("model") or "",
        notes=document.get("notes", []),
        seconds=seconds,
    )


def _drop(script: Script, clone: Path, place: Path) -> None:
    """Write the drop: the repository's files, the data and the manifest of both."""
    scripts, base = place / "snapshot" / "scripts", clone / script.folder
    for name in _git(clone, "ls-files", "-z", "--", str(base)).split("\0"):
        path = clone / name
        if path.is_file() and path.stat().st_size <= LARGEST_FILE:
            target = scripts / path.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for recipe in script.beside:
        _write_data(recipe, scripts)
    for recipe in script.data:
        _write_data(recipe, place / "data")
    if script.requires and not (scripts / "requirements.txt").exists():
        (scripts / "requirements.txt").write_text("".join(f"{line}\n" for line in script.requires))
    manifest = {
        "version": 1, "experiment": "public", "drop": "0" * 64, "entry_script": script.script, "ignored": [],
        "scripts": _files(scripts), "data": _files(place / "data"),
    }  # fmt: skip
    (place / "snapshot" / "manifest.json").write_text(json.dumps(manifest))


def _write_data(recipe: str, folder: Path) -> None:
    subprocess.run([str(PYTHON), "-c", _WRITE_DATA, recipe, str(folder)], cwd=ROOT, check=True)


def _files(folder: Path) -> list[dict[str, object]]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        found.append({"name": path.relative_to(folder).as_posix(), "size": len(content), "md5": md5, "etag": "0"})
    return found


def _launch(script: Script, place: Path, log: int) -> int:
    data = place / "data"
    words = shlex.split(script.arguments.replace("{data}", str(data)))
    command = [str(PYTHON), "-m", "training_job.launch", "--snapshot", str(place / "snapshot")]
    if script.data:
        command += ["--data", str(data)]
    module = ["-m", "training_job.notebook"] if script.script.endswith(".ipynb") else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEDJA_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **LOCAL}
    try:
        done = subprocess.run(
            [*command, "--", "python", *module, script.script, *words], cwd=place / "job", env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1
    return done.returncode


def _git(clone: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(clone), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _table(runs: Sequence[Run]) -> str:
    repositories = {run.script.repository for run in runs}
    ran = sum(run.result == "completed" for run in runs)
    saving = [run for run in runs if run.script.saves]
    found = sum(bool(run.model) for run in saving)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    summary = (
        f"{len(runs)} scripts of {len(repositories)} repositories, on tiny data and a CPU ({machine}). {ran} ran to "
        f"their end. Of {len(saving)} that save a Link, {found} left a model that is registered."
    )
    lines = [
        "# Public Chainer scripts, unmodified",
        "",
        summary,
        "",
        "`benchmarks/public_scripts.py` made this table. The scripts are not part of this repository. The seconds are",
        "those of the job, with the installation of its packages.",
        "",
        "| script | commit | result | model | cause | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        model = f"`{run.model}`" if run.model else "" if run.script.saves else "(it saves none)"
        cause = run.script.ends or run.reason
        cells = (run.script.name, run.commit, run.result, model, cause.replace("|", "\\|")[:200], f"{run.seconds:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
