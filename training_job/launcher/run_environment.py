"""Describes a job's environment and arguments, for the tags and parameters of its run."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence

_PACKAGES = ("chainer", "numpy", "cupy", "cupy-cuda12x", "cupy-cuda13x", "onnx", "mpi4py")


def tags() -> dict[str, str]:
    """Return tags `environment.…`: the versions of Python and relevant packages, the platform, CPUs and GPUs."""
    found = {"environment.python": platform.python_version(), "environment.platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[f"environment.{package}"] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["environment.cpus"] = str(os.cpu_count())
    gpus = _gpus()
    if gpus:
        found["environment.gpu"] = ", ".join(gpus)
    return found


def parameters(argv: Sequence[str]) -> dict[str, str]:
    """Return the arguments of a command by name: `--epochs 10`, `--epochs=10` and `-e 10`; a flag alone is `true`.

    The module in `python -m module` is not an argument.
    """
    return dict(_pairs(argv[3:] if list(argv[1:2]) == ["-m"] else argv))


def _pairs(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    for index, word in enumerate(argv):
        name, has_value, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name or _is_number(word):
            continue
        following = argv[index + 1 : index + 2]
        if has_value:
            yield name, value
        elif following and (not following[0].startswith("-") or _is_number(following[0])):
            yield name, following[0]
        else:
            yield name, "true"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _gpus() -> list[str]:
    """Return the models of the GPUs that nvidia-smi lists."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
