"""Validates a job.yaml on this machine by the service's own rules, without calling the service."""

from pathlib import Path

import yaml
from attrs import frozen

from function_app.jobspec.problem import InvalidJobSpec, Problem
from function_app.jobspec.schema import JobSpec, parse_job_yaml
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json


@frozen
class JobFileProblem:
    """One problem of a job.yaml. `line` and `column` count from 1; None means the whole file."""

    file: str
    line: int | None
    column: int | None
    key: str
    message: str

    def __str__(self) -> str:
        """Return `job.yaml:3:5: kedja.data: …`, in which editors recognize the place."""
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.file}{place}: {f'{self.key}: ' if self.key else ''}{self.message}"


class InvalidJobFile(CommandError):
    """The service would reject this file."""

    def __init__(self, path: Path, problems: tuple[JobFileProblem, ...]) -> None:
        super().__init__(
            f"{path} would be rejected.", "docs/job-yaml.md describes each key.", details=[*map(str, problems)]
        )
        self.problems = problems


def validate_job_file(path: Path, experiment: str | None = None) -> JobSpec:
    """Read and validate a job.yaml, with the conda file that it names.

    Raises:
        InvalidJobFile: If the service would reject it, with each problem and its place.
        CommandError: If a file cannot be read.
    """
    text = _read(path)
    try:
        spec = parse_job_yaml(text)
        if experiment is not None:
            spec.check_experiment(experiment)
    except InvalidJobSpec as error:
        raise InvalidJobFile(path, _problems(path, error)) from None
    if spec.conda_path is None:
        return spec
    conda = path.parent / spec.conda_path
    try:
        return spec.with_conda_file(_read(conda))
    except InvalidJobSpec as error:
        raise InvalidJobFile(path, _problems(conda, error)) from None


def read_keys(path: Path) -> Json:
    """Return the keys of a partial job.yaml, which the service validates after merging them.

    Raises:
        CommandError: If the file cannot be read, or is not a mapping.
    """
    try:
        keys = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is not YAML: {error}", "docs/job-yaml.md describes each key.") from None
    if not isinstance(keys, dict):
        raise CommandError(f"{path} has no keys of a job.yaml.", "docs/job-yaml.md describes each key.")
    return keys


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        code = Exit.NOT_FOUND if isinstance(error, FileNotFoundError) else Exit.FAILED
        raise CommandError(f"{path} cannot be read: {error.strerror}.", code=code) from None


def _problems(path: Path, error: InvalidJobSpec) -> tuple[JobFileProblem, ...]:
    return tuple(
        JobFileProblem(str(path), one.line, one.column, one.key, one.message)
        if isinstance(one, Problem)
        else JobFileProblem(str(path), None, None, "", one)
        for one in error.problems
    )
