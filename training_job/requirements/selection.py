"""Decides for each line of a source whether the environment fulfils it, or what has to be installed for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from training_job.errors import PackagesError
from training_job.requirements import known_names
from training_job.requirements.lists import finder, setup_script
from training_job.requirements.lists.line import Line
from training_job.requirements.outcome import Failure, Outcome, Substitution
from training_job.requirements.provided import Environment, Provider

_SAME_VERSIONS = frozenset(
    {"opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless", "tensorflow-gpu"}
)
"""Distributions that another replaces under the same version numbers."""
_FROM_CHAINER_7 = {"chainer": "chainer==7.8.1"}
"""The release that Kedja runs; older ones do not build on this Python."""


@dataclass
class Selection:
    """What has to be installed: `packages`, found in an index, and `others`, which are paths and addresses."""

    packages: list[tuple[Line, Requirement]] = field(default_factory=list)
    others: list[Line] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.packages or self.others)


def select(lines: Iterable[Line], environment: Environment, outcome: Outcome) -> Selection:
    """Return what has to be installed. Other lines are added to the outcome if they ask for something else."""
    selection = Selection()
    seen: set[str] = set()
    waiting = list(lines)
    while waiting:
        item = waiting.pop(0)
        requirement = item.requirement
        if requirement is None and item.path is None and not item.is_address:
            outcome.failures.append(failure(item, "it names no package, path or address"))
            continue
        if requirement is not None and requirement.marker is not None and not requirement.marker.evaluate():
            continue
        if requirement is None:
            if item.path is not None:
                item, more = _project(item)
                waiting += more
            selection.others.append(item)
            continue
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        provider = environment.provider(name)
        if provider is not None:
            _note_provided(item, requirement, provider, outcome)
            waiting += [
                replace(item, text=str(extra), requirement=extra, hashes=(), path=None)
                for extra in environment.extras_of(requirement)
            ]
        elif item.is_package:
            selection.packages.append((item, _replaced(requirement)))
        else:
            selection.others.append(item)
    return selection


def is_exact(asked: Requirement, name: str, version: str) -> bool:
    """Whether a distribution is the one that is asked for, in a version that is."""
    return canonicalize_name(asked.name) == name and asked.specifier.contains(version, prereleases=True)


def failure(item: Line, reason: str) -> Failure:
    """Return a line that cannot be installed, with the reason."""
    name = canonicalize_name(item.requirement.name) if item.requirement else None
    return Failure(file=item.file, asked=item.shown, name=name, reason=reason)


def _project(item: Line) -> tuple[Line, list[Line]]:
    """Return a dropped project without its dependencies, and these as lines, so that old pins in them count as such."""
    script = item.path / finder.SETUP if item.path is not None else None
    if script is None or not script.is_file():
        return item, []
    try:
        return item, setup_script.read(script, script.parent).lines
    except PackagesError:  # for the installer, which reports it
        return item, []


def _note_provided(item: Line, requirement: Requirement, provider: Provider, outcome: Outcome) -> None:
    if provider.name == "python":
        became = "is a part of Python"
    elif known_names.is_cupy(requirement.name) and provider.version is None:
        became = "is left to the environment, which has no CuPy (a CPU)"
    elif provider.name == "chainer" and canonicalize_name(requirement.name) != "chainer":
        became = "is a part of Chainer 7, or not needed with it"
    elif item.is_package and is_exact(requirement, provider.name, provider.version or ""):
        return
    else:
        became = f"is the environment's {provider.name} {provider.version}"
    outcome.substitutions.append(Substitution(file=item.file, asked=item.shown, became=became))


def _replaced(requirement: Requirement) -> Requirement:
    """Return the requirement of the distribution that provides the same modules here."""
    name = canonicalize_name(requirement.name)
    if name in _FROM_CHAINER_7:
        return Requirement(_FROM_CHAINER_7[name])
    if name not in known_names.SAME:
        return requirement
    replacing = Requirement(known_names.SAME[name])
    replacing.specifier = requirement.specifier if name in _SAME_VERSIONS else SpecifierSet()
    return replacing
