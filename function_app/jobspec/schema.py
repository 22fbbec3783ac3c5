"""The keys that a job.yaml, or a request with its keys, may have: an allow-list.

The keys are those of Azure ML's command-job and sweep-job YAML (`azure.ai.ml._schema.job.command_job`,
`azure.ai.ml._schema._sweep.sweep_job`; https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-command
and …-sweep) and the `kedja` block. A user's text is never passed to Azure ML's own loader, which reads files of the
machine that it runs on. docs/job-yaml.md describes each key for users.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from function_app.domain.naming import slug
from function_app.jobspec.blocks import (
    MOST_TAGS,
    ComputeName,
    Distribution,
    FolderInput,
    Input,
    Limits,
    Output,
    QueueSettings,
    Resources,
    TagName,
    VariableName,
)
from function_app.jobspec.environment import CondaFile, Environment, InlineEnvironment
from function_app.jobspec.fields import (
    DropPath,
    Identifier,
    Line,
    SpecModel,
    Text,
    did_you_mean,
    raise_refusals,
    redacted_repr,
)
from function_app.jobspec.kedja_block import KedjaOptions
from function_app.jobspec.placeholders import Placeholders, is_free_text
from function_app.jobspec.problem import InvalidJobSpec, Path, SourceMap, SpecProblem
from function_app.jobspec.sweep import Choice, EarlyTermination, Hyperparameter, Objective, RandomSampling, Sampling
from function_app.jobspec.validation import read_json, read_yaml

DATA_INPUT = "data"
SCRIPTS_INPUT = "scripts"

_TEXT_PATHS = re.compile(r"(tags|environment_variables|trial\.environment_variables)\..+", re.DOTALL)
_NOT_HASHED = {"json_schema", "experiment_name", "display_name", "description", "tags"}
_SWEEP_KEYS = ("trial", "search_space", "objective", "sampling_algorithm", "early_termination")
_CODE_KEYS = ("command", "code", "environment", "environment_variables")
_KEDJA_CODE_KEYS = ("entry_script", "requirements", "allow_pickle")

_MOST_LOST = 100
"""Max problems with unknown placeholders: a text may have one in every few characters."""
_SERVICE_SETS = "the service sets it"
_IDENTITY = "jobs run as the cluster's identity"
_NO_ACCESS = "a job gives no access to its node"


class Trial(SpecModel):
    """What runs: the keys that a command job has at its top level, and a sweep job under `trial`."""

    command: Annotated[str, Field(min_length=1, max_length=32_768)] | None = None
    code: DropPath = "."
    environment: Environment | None = None
    environment_variables: dict[VariableName, Annotated[Text, Field(max_length=32_768)]] = Field(default_factory=dict)
    distribution: Distribution | None = None
    resources: Resources = Resources()


class JobSpec(Trial):
    """A job as its user specifies it. What is None or missing gets Kedja's default."""

    refused_keys: ClassVar[dict[str, str]] = {
        "name": "Kedja names jobs; display_name is what people see",
        "identity": _IDENTITY,
        "services": _NO_ACCESS,
        "job_service": _NO_ACCESS,
        "properties": "Kedja keeps the job's lineage there; use tags",
        "component": "write out the command",
        "parent_job_name": _SERVICE_SETS,
        "id": _SERVICE_SETS,
        "status": _SERVICE_SETS,
        "creation_context": _SERVICE_SETS,
        "log_files": _SERVICE_SETS,
    }

    json_schema: str | None = Field(default=None, alias="$schema")
    type: Literal["command", "sweep"] = "command"
    experiment_name: Line | None = None
    display_name: Line | None = None
    description: Annotated[str, Field(max_length=5000)] | None = None
    tags: dict[TagName, Annotated[Text, Field(max_length=255)]] = Field(default_factory=dict, max_length=MOST_TAGS)
    compute_name: ComputeName | None = Field(default=None, alias="compute")
    inputs: dict[Identifier, Input] = Field(default_factory=dict)
    outputs: dict[Identifier, Output] = Field(default_factory=dict)
    limits: Limits = Limits()
    queue_settings: QueueSettings = QueueSettings()
    trial: Trial = Trial()
    search_space: Annotated[dict[Identifier, Hyperparameter], Field(min_length=1)] | None = None
    objective: Objective | None = None
    sampling_algorithm: Sampling = RandomSampling()
    early_termination: EarlyTermination | None = None
    kedja: KedjaOptions = KedjaOptions()

    _places: SourceMap = PrivateAttr(default=SourceMap())

    @property
    def work(self) -> Trial:
        """What runs, for either type of job."""
        return self.trial if self.type == "sweep" else self

    @property
    def needs_data(self) -> bool:
        """Whether the job has the input `data`."""
        return self.kedja.data == "required"

    def folder_input(self, name: str) -> FolderInput:
        """Return how the node gets the input `data` or `scripts`."""
        given = self.inputs.get(name)
        return given if isinstance(given, FolderInput) else FolderInput()

    def in_code(self, names: Iterable[str]) -> list[str]:
        """Return the files of a drop that are in the job's code folder, by names relative to it."""
        folder = "" if self.work.code == "." else f"{self.work.code}/"
        return [name.removeprefix(folder) for name in names if name.startswith(folder)]

    @property
    def conda_path(self) -> str | None:
        """The conda file's path in the drop, if the environment names one that has not been read yet."""
        environment = self.work.environment
        path = environment.conda_file if isinstance(environment, InlineEnvironment) else None
        return path if isinstance(path, str) else None

    def with_conda_file(self, text: str | bytes) -> Self:
        """Return the spec with the conda file's contents inline, so that it no longer refers to a file.

        Raises:
            InvalidJobSpec: The conda file has problems, given with its lines.
        """
        environment = self.work.environment
        if not isinstance(environment, InlineEnvironment):
            return self
        conda_file, _ = read_yaml(CondaFile, text, re.compile(r"(?!)"))
        work = {"environment": environment.model_copy(update={"conda_file": conda_file})}
        return self.model_copy(
            update={"trial": self.trial.model_copy(update=work)} if self.type == "sweep" else work,
        )

    def check_experiment(self, folder: str) -> None:
        """Raise InvalidJobSpec if the job.yaml of a folder names another experiment."""
        if self.experiment_name not in (None, folder, slug(folder)):
            other = f"{redacted_repr(self.experiment_name)} is another experiment"
            message = f"{other}; write {redacted_repr(folder)}, or omit the key"
            raise InvalidJobSpec([self._places.problem(("experiment_name",), message)])

    def unknown_compute(self, known: Collection[str]) -> SpecProblem | None:
        """Return the problem with a compute that does not exist, or None."""
        if self.compute_name is None or self.compute_name in known:
            return None
        message = f"{redacted_repr(self.compute_name)} does not exist{did_you_mean(self.compute_name, known)}"
        return self._places.problem(("compute",), f"{message} Allowed: {', '.join(sorted(known)) or '(none exists)'}")

    def to_json(self) -> str:
        """Return the whole spec as JSON for `parse_job_json`, without defaults."""
        return _json(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))

    def canonical(self) -> str:
        """Return the spec as JSON for a drop's id: the same for two specs of the same training.

        Keys are sorted and defaults are omitted. So are `experiment_name` (the folder has it), `display_name`,
        `description`, `tags` and `$schema` (they are for readers), and `kedja.drop` (it is about intake).
        """
        values = self.model_dump(
            mode="json",
            by_alias=True,
            exclude_defaults=True,
            exclude={**dict.fromkeys(_NOT_HASHED, True), "kedja": {"drop"}},
        )
        if not values.get("kedja", True):
            del values["kedja"]
        return _json(values)

    def code_keys(self) -> tuple[str, ...]:
        """Return the keys, dotted, that only a caller with the role `code` may set in a request.

        They decide which code runs, or pass it text that could refer it elsewhere. Numbers, booleans and placeholders
        may come from anyone who may start the script.
        """
        return tuple(self._code_keys())

    def _code_keys(self) -> Iterator[str]:
        for prefix, part in (("", self), ("trial.", self.trial)):
            yield from (f"{prefix}{key}" for key in _CODE_KEYS if key in part.model_fields_set)
        yield from (f"kedja.{key}" for key in _KEDJA_CODE_KEYS if getattr(self.kedja, key))
        yield from (f"kedja.register.{key}" for key in sorted(self.kedja.registration.model_fields_set))
        yield from (f"kedja.export.{key}" for key in sorted(self.kedja.export.model_fields_set))
        for name, argument in self.kedja.arguments.items():
            if is_free_text(argument):
                yield f"kedja.arguments.{name}"
        for name, value in self.inputs.items():
            if is_free_text(value):
                yield f"inputs.{name}"
        for name, parameter in (self.search_space or {}).items():
            if isinstance(parameter, Choice) and is_free_text(parameter.values):
                yield f"search_space.{name}.values"

    @field_validator("outputs", mode="before")
    @classmethod
    def _empty_outputs(cls, value: object) -> object:
        """Read `outputs: {model: }` as `{model: {}}`, as `az ml` does."""
        return {key: {} if item is None else item for key, item in value.items()} if isinstance(value, dict) else value

    @field_validator("inputs", mode="after")
    @classmethod
    def _own_inputs(cls, value: dict[str, Input]) -> dict[str, Input]:
        """Check that `data` and `scripts`, and no others, are folders; omit those that are the default."""
        raise_refusals(
            ((name,), "is Kedja's own input; its value is a mapping that may only have mode and type")
            if name in (DATA_INPUT, SCRIPTS_INPUT)
            else ((name,), "must be a number, text, true or false; only inputs.data and inputs.scripts are folders")
            for name, item in value.items()
            if isinstance(item, FolderInput) != (name in (DATA_INPUT, SCRIPTS_INPUT))
        )
        return {name: item for name, item in value.items() if item != FolderInput()}

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.type == "sweep":
            raise_refusals(
                [*self._sweep_problems(), *islice(self._lost_placeholders(), _MOST_LOST)], self._missing_in_sweep()
            )
        else:
            raise_refusals([*self._sweep_keys(), *islice(self._lost_placeholders(), _MOST_LOST)])
        return self

    def _sweep_keys(self) -> Iterator[tuple[Path, str]]:
        given: list[Path] = [(key,) for key in _SWEEP_KEYS if key in self.model_fields_set]
        given += [("limits", key) for key in sorted(self.limits.model_fields_set - {"timeout"})]
        for path in given:
            yield path, "is only for sweeps; write type: sweep, or omit the key"

    def _missing_in_sweep(self) -> Iterator[Path]:
        yield from ((key,) for key in ("search_space", "objective") if key not in self.model_fields_set)
        if self.limits.max_total_trials is None:
            yield "limits", "max_total_trials"

    def _sweep_problems(self) -> Iterator[tuple[Path, str]]:
        for key in sorted(self.model_fields_set & (set(Trial.model_fields) - {"resources"})):
            yield (key,), "belongs under trial in a sweep"
        total = self.limits.max_total_trials
        if total is not None and (self.limits.max_concurrent_trials or 1) > total:
            yield ("limits", "max_concurrent_trials"), f"is more than max_total_trials, which is {total}"
        if self.sampling_algorithm.type == "grid":
            for name, parameter in (self.search_space or {}).items():
                if not isinstance(parameter, Choice):
                    yield ("search_space", name, "type"), "must be choice if the sampling algorithm is grid"

    def _lost_placeholders(self) -> Iterator[tuple[Path, str]]:
        placeholders = Placeholders(
            {
                "inputs": {SCRIPTS_INPUT, *([DATA_INPUT] if self.needs_data else []), *self.inputs},
                "outputs": set(self.outputs),
                "search_space": set(self.search_space or {}),
            }
        )
        prefix = ("trial",) if self.type == "sweep" else ()
        texts: list[tuple[Path, object]] = [((*prefix, "command"), self.work.command)]
        for name, argument in self.kedja.arguments.items():
            items = argument if isinstance(argument, tuple) else (argument,)
            texts += [(("kedja", "arguments", name), item) for item in items]
        for path, text in texts:
            if isinstance(text, str):
                yield from ((path, message) for message in placeholders.problems(text))


def _json(values: object) -> str:
    return json.dumps(values, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse_job_yaml(text: str | bytes) -> JobSpec:
    """Parse the text of a job.yaml; an empty one means every default.

    Raises:
        InvalidJobSpec: The text has problems, given with line and column.
    """
    spec, places = read_yaml(JobSpec, text, _TEXT_PATHS)
    spec._places = places  # noqa: SLF001 (a private attribute, as the model's fields are frozen)
    return spec


def parse_job_json(values: Mapping[str, object]) -> JobSpec:
    """Parse the body of a request, which has the keys of a job.yaml.

    Raises:
        InvalidJobSpec: The body has problems, given with their keys.
    """
    spec, _ = read_json(JobSpec, values)
    return spec


def stored_spec(values: Mapping[str, object]) -> JobSpec:
    """Parse the output of `to_json`, of any size: it may include a conda file.

    Raises:
        InvalidJobSpec: As `parse_job_json`.
    """
    spec, _ = read_json(JobSpec, values, most=math.inf)
    return spec
