"""The keys of the job spec for the software that a job runs with."""

import re
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from function_app.jobspec.fields import DropPath, Line, SpecModel, pattern, redacted_repr, shape, validator
from function_app.jobspec.public_hosts import host_problem, url_problem

EnvironmentName = Annotated[
    str,
    pattern(
        r"azureml:[A-Za-z0-9][A-Za-z0-9._-]{0,254}(:[A-Za-z0-9._-]{1,30}|@latest)",
        "an environment: azureml:<name>:<version>, azureml:<name>@latest, or a mapping with image and conda_file",
    ),
]


def _image_problem(image: str) -> str | None:
    """Return what is wrong with an image's registry; an image without one comes from Docker Hub."""
    first, slash, _ = image.partition("/")
    host, _, port = first.partition(":")
    if not slash or not ("." in first or port or first == "localhost"):
        return None
    reason = "names a port" if port else host_problem(host)
    return f"{redacted_repr(image)}: the registry {redacted_repr(first)} {reason}" if reason else None


_WORD_OPTIONS = ("--pre", "--prefer-binary")
_URL_OPTIONS = ("--index-url", "-i", "--extra-index-url", "--find-links", "-f")
_NAME_OPTIONS = ("--no-binary", "--only-binary")
_PIP_OPTIONS = (*_WORD_OPTIONS, *_URL_OPTIONS, *_NAME_OPTIONS)


def _text_problem(text: str) -> str | None:
    """Return why pip or conda may read more into a text than the one line that it shows."""
    if "$" in text:
        return f"{redacted_repr(text)} contains $, which may be replaced from the builder's environment"
    if "\\" in text or not text.isprintable():
        return f"{redacted_repr(text)} contains a backslash or a control character, which may join or split lines"
    return None


def _pip_problem(line: str) -> str | None:
    """Return what is wrong with a line for pip: a requirement, or one option that reads none of the builder's files."""
    if reason := _text_problem(line):
        return reason
    text = line.partition(" #")[0].strip()
    if text.startswith("-"):
        return _option_problem(text)
    if " -" in text:
        return f"{redacted_repr(line)} contains an option; put each option on its own line"
    name, at, _ = text.partition(";")[0].partition("@")
    is_named = ":" not in name and "/" not in name and not name.startswith((".", "~"))
    if is_named and not at:
        return None
    # The address is all that follows: pip may take a semicolon as part of it.
    address, _, rest = (text.partition("@")[2] if is_named else text).strip().partition(" ")
    if rest and not (rest.startswith(";") or address.endswith(";")):
        return f"{redacted_repr(line)} contains more than an address"
    return f"{redacted_repr(line)} {reason}" if (reason := url_problem(address.removeprefix("git+"))) else None


def _option_problem(line: str) -> str | None:
    """Return what is wrong with a line of options: pip applies every option on it, so only one is allowed."""
    option, *values = re.split(r"\s*=\s*|\s+", line, maxsplit=1)
    if option not in _PIP_OPTIONS:
        return f"{redacted_repr(option)} is refused; allowed: {', '.join(_PIP_OPTIONS)}"
    if option in _WORD_OPTIONS:
        return f"{redacted_repr(line)}: {option} must be alone on its line" if values else None
    if len(values) != 1 or not re.fullmatch(r"[^\s'\"-][^\s'\"]*", values[0]):
        return f"{redacted_repr(line)}: {option} takes one value, and nothing else may be on its line"
    reason = url_problem(values[0]) if option in _URL_OPTIONS else None
    return f"{redacted_repr(values[0])} {reason}" if reason else None


def _channel_problem(channel: str) -> str | None:
    """Return what is wrong with a conda channel, which is a name or an address."""
    if reason := _text_problem(channel):
        return reason
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/(label/)?[A-Za-z0-9_.-]+)?", channel):
        return None
    return f"{redacted_repr(channel)} {reason}" if (reason := url_problem(channel)) else None


def _dependency_problem(dependency: str) -> str | None:
    """Return what is wrong with a conda package: `numpy=2.1`, or with its channel `pytorch::torch`."""
    channel, colons, package = dependency.partition("::")
    if colons and (reason := _channel_problem(channel)):
        return reason
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+!*|,<>=~ -]*", package if colons else dependency):
        return (
            f"{redacted_repr(dependency)} is not a package with its version, such as numpy=2.1; name its channel "
            "in channels, or before ::"
        )
    return None


Image = Annotated[
    str,
    Field(max_length=255),
    pattern(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+)?(/[A-Za-z0-9][A-Za-z0-9._-]*)*(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?",
        "the name of a container image, such as mcr.microsoft.com/azureml/openmpi5.0-cuda12.4-ubuntu22.04:20260101.v1",
    ),
    validator(_image_problem),
]


class PipPackages(SpecModel):
    """The packages of a conda file that pip installs."""

    pip: Annotated[tuple[Annotated[Line, validator(_pip_problem)], ...], Field(strict=False)]


Dependency = Annotated[
    Annotated[Line, validator(_dependency_problem), Tag("text")] | Annotated[PipPackages, Tag("mapping")],
    Discriminator(shape),
]


class CondaFile(SpecModel):
    """The contents of a conda file, from the drop or inline in the job."""

    name: Line | None = None
    channels: Annotated[tuple[Annotated[Line, validator(_channel_problem)], ...], Field(strict=False)] = ()
    dependencies: Annotated[tuple[Dependency, ...], Field(strict=False, min_length=1)]


class InlineEnvironment(SpecModel):
    """An environment that is built for the job: an image, and conda packages on top of it."""

    refused_keys: ClassVar[dict[str, str]] = {
        "build": "Kedja does not build images; name one in image",
        "name": "an inline environment has none; a registered one is azureml:<name>:<version>",
        "version": "an inline environment has none; a registered one is azureml:<name>:<version>",
        "os_type": "jobs run on Linux",
        "inference_config": "it is for endpoints",
        "datastore": "Kedja decides where files are stored",
    }

    image: Image
    conda_file: (
        Annotated[
            Annotated[DropPath, Tag("text")] | Annotated[CondaFile, Tag("mapping")],
            Discriminator(shape),
        ]
        | None
    ) = None


Environment = Annotated[
    Annotated[EnvironmentName, Tag("text")] | Annotated[InlineEnvironment, Tag("mapping")],
    Discriminator(shape),
]
"""A registered environment by name, or an inline one."""
