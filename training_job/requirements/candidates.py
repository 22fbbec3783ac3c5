"""The versions to try for a line, nearest first: as it asks, the next that has a build, and sources that build here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

_PINS = ("==", "===", "~=")
_UPPER = ("<", "<=")


@dataclass(frozen=True)
class Candidate:
    """Versions to try: a requirement's text, the lowest of them or the highest, and wheels or sources.

    `any` is the highest version, as a wheel or else a source. The newest wheel alone may be one of years before.
    """

    requirement: str
    order: Literal["lowest", "highest"]
    kind: Literal["wheel", "source", "any"]


def candidates(requirement: Requirement) -> Iterator[Candidate]:
    """Yield what to try for a requirement, one after the other, without repetitions."""
    return iter(dict.fromkeys(_candidates(requirement)))


def _candidates(requirement: Requirement) -> Iterator[Candidate]:
    name = _with_extras(requirement)
    written = f"{name}{requirement.specifier}"
    base = _base(requirement, _PINS) or _base(requirement, _UPPER)
    is_pinned = _base(requirement, _PINS) is not None
    if is_pinned:
        # The lowest version of at least the pin is the pin itself, if that has a build.
        yield Candidate(f"{name}>={base}", "lowest", "wheel")
        yield Candidate(written, "highest", "source")
        yield Candidate(f"{name}>={base}", "highest", "source")
    else:
        yield Candidate(written, "highest", "any")
        yield Candidate(written, "highest", "wheel")
        if base is not None:
            yield Candidate(f"{name}>={base}", "lowest", "wheel")
    yield Candidate(name, "highest", "wheel")
    yield Candidate(name, "highest", "source")


def _with_extras(requirement: Requirement) -> str:
    return f"{requirement.name}[{','.join(sorted(requirement.extras))}]" if requirement.extras else requirement.name


def _base(requirement: Requirement, operators: Sequence[str]) -> str | None:
    """Return the highest version that the requirement names with one of the operators, without a local part."""
    versions = []
    for specifier in requirement.specifier:
        if specifier.operator in operators:
            try:
                versions.append(Version(specifier.version.removesuffix(".*")))
            except InvalidVersion:  # `===` takes any text
                continue
    return max(versions).public if versions else None
