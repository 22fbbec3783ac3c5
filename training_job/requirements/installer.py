"""Installs what a selection names into a venv: wheels, else sources that build here. The rest is reported."""

import logging
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from training_job.requirements import selection, venv
from training_job.requirements.candidates import Candidate, candidates
from training_job.requirements.lists import finder
from training_job.requirements.lists.line import Line, redacted
from training_job.requirements.outcome import Outcome, Substitution
from training_job.requirements.provided import Environment
from training_job.requirements.selection import Selection
from training_job.requirements.uv import Run, Uv

logger = logging.getLogger(__name__)

_AT_ONCE = 4
_LOGGED_LINES = 20
_STAND_INS = {"chainercv": ("chainercv/utils/bbox/_nms_gpu_post", "nms_gpu_post.py")}
"""Distributions whose module in C does not compile on this Python, and the module in `stand_ins` that replaces it."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What is installed for a line: a line of a requirements file for uv."""

    line: Line
    asked: str
    has_dependencies: bool = True


@dataclass
class Installer:
    """Installs into the venv `folder`, with uv, and adds to the outcome what became of each line."""

    uv: Uv
    folder: Path
    environment: Environment
    outcome: Outcome

    def install(self, wanted: Selection) -> None:
        """Install the selected lines. Lines that cannot be installed are in the outcome's failures."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            found = [it for it in threads.map(lambda pair: self._find(*pair), wanted.packages) if it is not None]
        found += [_other(line) for line in wanted.others]
        projects = [it for it in found if not it.has_dependencies]
        rest = [it for it in found if it.has_dependencies]
        if rest and not self._install(it.asked for it in rest).succeeded:
            # Together they contradict each other, or one of them or of what it needs cannot be installed.
            projects = found
        for it in projects:
            self._install_alone(it)
        self._add_stand_ins()
        self.outcome.installed = venv.versions(self.folder)
        self._report(wanted)

    def _find(self, line: Line, requirement: Requirement) -> _Found | None:
        """Return the first candidate for a line that has a wheel, or that was built from its source just now."""
        name = canonicalize_name(requirement.name)
        failed: dict[str, Run] = {}
        for candidate in candidates(requirement):
            run, version = self._try(candidate, line, name)
            if version is not None:
                extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
                return _Found(line=line, asked=f"{name}{extras}=={version}{_hashes(line, name, version)}")
            failed.setdefault(candidate.kind, run)
        self._fail(line, failed["source"])
        return None

    def _try(self, candidate: Candidate, line: Line, name: str) -> tuple[Run, str | None]:
        """Return the version of a candidate, or None if it cannot be installed."""
        if candidate.kind == "wheel":
            run = self._resolve(candidate)
            return run, _version(run)
        if candidate.kind == "any":
            run, wheel = self.uv.resolve(candidate.requirement), self._resolve(replace(candidate, kind="wheel"))
            if not run.succeeded or run.output == wheel.output:
                return run, _version(run)
            exact = f"{Requirement(candidate.requirement).name}=={_version(run)}"
            candidate = Candidate(exact, "highest", "source")
        run = self._build(candidate, line, name)
        return run, venv.versions(self.folder).get(name) if run.succeeded else None

    def _resolve(self, candidate: Candidate) -> Run:
        order = "lowest-direct" if candidate.order == "lowest" else "highest"
        return self.uv.resolve(candidate.requirement, "--only-binary", ":all:", "--resolution", order)

    def _build(self, candidate: Candidate, line: Line, name: str) -> Run:
        """Build and install a source without its dependencies, without its extensions in C if they do not compile."""
        options = ("--no-deps", "--no-binary", name)
        versions = Requirement(candidate.requirement).specifier
        is_as_written = line.requirement is not None and versions == line.requirement.specifier
        asked = [candidate.requirement + (_hash_options(line) if is_as_written else "")]
        if name in _STAND_INS:
            return self.uv.install(asked, *options, without_extensions=True)
        run = self.uv.install(asked, *options)
        if run.succeeded:
            return run
        again = self.uv.install(asked, *options, without_extensions=True)
        if again.succeeded:
            self.outcome.remarks.append(f"{line.file}: {name} was built without its extensions in C: {run.reason}")
        return again if again.succeeded else run

    def _install(self, lines: Iterable[str], *options: str) -> Run:
        return self.uv.install(lines, *options, excluded=self.environment.excluded())

    def _install_alone(self, found: _Found) -> None:
        """Install one line, without what it needs if that cannot be installed."""
        run = self._install([found.asked]) if found.has_dependencies else None
        if run is not None and run.succeeded:
            return
        alone = self._install([found.asked], "--no-deps")
        if not alone.succeeded:
            self._fail(found.line, alone)
        elif run is not None:
            self.outcome.remarks.append(
                f"{found.line.file}: {found.line.shown} was installed without the packages that it needs: {run.reason}"
            )

    def _fail(self, line: Line, run: Run) -> None:
        tail = redacted("\n".join(run.errors.splitlines()[-_LOGGED_LINES:]))
        logger.warning("%s: %s could not be installed:\n%s", line.file, line.shown, tail)
        self.outcome.failures.append(selection.failure(line, redacted(run.reason)))

    def _add_stand_ins(self) -> None:
        for name in _STAND_INS.keys() & venv.versions(self.folder).keys():
            module, source = _STAND_INS[name]
            target = venv.packages(self.folder) / module
            built = any(target.with_name(target.name + suffix).exists() for suffix in EXTENSION_SUFFIXES)
            if target.parent.is_dir() and not built:
                self.outcome.remarks.append(f"{name} runs with {target.name} in Python, as its C does not compile here")
                shutil.copyfile(Path(__file__).parent / "stand_ins" / source, target.with_suffix(".py"))

    def _report(self, wanted: Selection) -> None:
        """Add a substitution for each package that was installed in another version than its line asks for.

        Failures and remarks are put in the order of the lines, as threads report them in any order.
        """
        order = {(line.file, line.shown): place for place, (line, _) in enumerate(wanted.packages)}
        self.outcome.failures.sort(key=lambda it: order.get((it.file, it.asked), -1))
        self.outcome.remarks.sort()
        for line, requirement in wanted.packages:
            name = canonicalize_name(requirement.name)
            version = self.outcome.installed.get(name)
            asked = line.requirement
            if version is None or asked is None or selection.is_exact(asked, name, version):
                continue
            became = f"became {name} {version}" + (" (without its hash)" if line.hashes else "")
            self.outcome.substitutions.append(Substitution(file=line.file, asked=line.shown, became=became))


def _version(run: Run) -> str | None:
    """Return the version in a line `name==version`, which uv prints for a resolved requirement."""
    lines = [line for line in run.output.splitlines() if "==" in line] if run.succeeded else []
    return lines[0].partition("==")[2].partition(";")[0].strip() if lines else None


def _hash_options(line: Line) -> str:
    return "".join(f" --hash={value}" for value in line.hashes)


def _hashes(line: Line, name: str, version: str) -> str:
    """Return the hashes of a line, if it asks for this version."""
    is_asked = line.requirement is not None and selection.is_exact(line.requirement, name, version)
    return _hash_options(line) if is_asked else ""


def _other(line: Line) -> _Found:
    """Return what uv is asked for a path or an address."""
    if line.path is None:
        text = f"-e {line.text}" if line.is_editable else line.text
        return _Found(line=line, asked=text)
    extras = line.text.partition("[")[1:] if line.requirement is None else ("", "")
    text = f"{'-e ' if line.is_editable else ''}{line.path}{''.join(extras)}{_hash_options(line)}"
    has_script = (line.path / finder.SETUP).is_file()
    return _Found(line=line, asked=text, has_dependencies=not has_script)
