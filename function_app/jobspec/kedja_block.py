"""The `kedja` block of the job spec: options for which Azure ML has no keys."""

import json
import posixpath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from function_app.domain.attempt import AttemptOptions
from function_app.domain.naming import SCRIPT_SUFFIXES, is_ignored
from function_app.jobspec.fields import (
    DropPath,
    Line,
    ModelName,
    OutputPath,
    Scalar,
    Seconds,
    SpecModel,
    pattern,
    raise_refusals,
    redacted_repr,
    refuse,
    validator,
)

EXPORT_VARIABLE = "KEDJA_EXPORT"
"""The job's environment variable with `kedja.export`, a JSON object of the keys that are set."""
_LONGEST_ARGUMENT = 4096
_LONGEST_LIST = 1000


def _argument(value: object) -> object:
    """Return the value, a list as a tuple; refuse values that cannot be put on a command line."""
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        refuse("is an empty list; give a value, or omit the key")
    if len(items) > _LONGEST_LIST:
        refuse(f"is a list of more than {_LONGEST_LIST} values")
    for item in items:
        if not isinstance(item, bool | int | float | str):
            refuse(f"expected a number, text, true, false or a list of numbers and texts, found {redacted_repr(item)}")
        if isinstance(item, bool) and item is not value:
            refuse("contains true or false in a list, where only numbers and texts are allowed")
        if isinstance(item, str) and len(item) > _LONGEST_ARGUMENT:
            refuse(f"contains a text of more than {_LONGEST_ARGUMENT} characters")
    return tuple(value) if isinstance(value, list) else value


Argument = Annotated[Scalar | tuple[Scalar, ...], BeforeValidator(_argument)]
"""The values after a flag on the command line; true is the flag alone, false is no flag."""

ArgumentName = Annotated[
    str,
    pattern(r"-{0,2}[A-Za-z][A-Za-z0-9_.-]{0,99}", "the name of an option: letters, digits, dashes, underscores"),
]

ScriptPath = Annotated[
    DropPath,
    validator(
        lambda path: (
            None
            if path.endswith(SCRIPT_SUFFIXES)
            else f"{redacted_repr(path)} is not a Python file (.py) or a notebook (.ipynb)"
        )
    ),
]


def _list_problem(path: str) -> str | None:
    if path.endswith((".txt", ".yml", ".yaml")) or posixpath.basename(path) == "setup.py":
        return None
    return (
        f"{redacted_repr(path)} lists no packages; give a requirements file (.txt), a setup.py or a conda file (.yml)"
    )


RequirementsPath = Annotated[DropPath, validator(_list_problem)]


def _file_problem(name: str) -> str | None:
    if posixpath.dirname(name):
        return f"{redacted_repr(name)} is a path; give the name of a file"
    if is_ignored(name):
        return f"{redacted_repr(name)} is hidden or temporary, so Kedja ignores it; give another name, such as _SUCCESS"
    return None


FileName = Annotated[DropPath, validator(_file_problem)]


class GateConditions(SpecModel):
    """The conditions for a model to be registered; all that are given must hold."""

    metric: Line
    goal: Literal["maximize", "minimize"] | None = None
    at_least: float | None = None
    at_most: float | None = None
    better_than: Literal["champion"] | None = None

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if self.at_least is None and self.at_most is None and self.better_than is None:
            raise_refusals([((), "needs at_least, at_most or better_than")])
        if self.better_than and self.goal is None:
            raise_refusals([(("better_than",), "also needs goal: maximize or goal: minimize")])
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise_refusals([(("at_least",), f"is more than at_most, which is {self.at_most}; no value could pass")])
        return self


class RegisterOptions(SpecModel):
    """Which model is registered, from which file or folder of the job's outputs, and when."""

    model: ModelName | None = None
    path: OutputPath | None = None
    when: GateConditions | None = None


class ParityOptions(SpecModel):
    """When an exported network counts as verified: within these tolerances, on so many inputs.

    What is None has the job's own default.
    """

    rtol: Annotated[float, Field(ge=0, le=1)] | None = None
    atol: Annotated[float, Field(ge=0, le=1)] | None = None
    samples: Annotated[int, Field(ge=1, le=10_000)] | None = None


class ExportOptions(SpecModel):
    """Whether the trained networks are exported as ONNX, and which of several is the registered model."""

    onnx: Literal["auto", "required", "never"] = "auto"
    network: Line | None = None
    parity: ParityOptions = ParityOptions()


class DropOptions(SpecModel):
    """When a drop counts as complete. `max_wait` is in seconds; None is the service's default."""

    wait_for: FileName | None = None
    supersede: bool = True
    max_wait: Annotated[Seconds, Field(le=24 * 3600)] | None = None


class KedjaOptions(SpecModel):
    """Kedja's own block, which is not passed on to Azure ML."""

    refused_keys: ClassVar[dict[str, str]] = {"command": "it belongs at the top level of the file, not under kedja"}

    entry_script: ScriptPath | None = None
    requirements: RequirementsPath | None = None
    arguments: dict[ArgumentName, Argument] = Field(default_factory=dict)
    registration: RegisterOptions = Field(default=RegisterOptions(), alias="register")
    export: ExportOptions = ExportOptions()
    data: Literal["required", "none"] = "required"
    allow_pickle: bool = False
    drop: DropOptions = DropOptions()

    @property
    def attempt_options(self) -> AttemptOptions:
        """The options that an attempt keeps."""
        registration = self.registration.model_dump(mode="json", exclude_none=True)
        return AttemptOptions(registration=registration, supersede=self.drop.supersede)

    @property
    def environment_variables(self) -> dict[str, str]:
        """What the job itself needs of this block, as environment variables; none if all of it is the default."""
        export = self.export.model_dump(mode="json", exclude_defaults=True)
        return {EXPORT_VARIABLE: json.dumps(export, sort_keys=True)} if export else {}


def register_options(options: AttemptOptions) -> RegisterOptions:
    """Return what an attempt is to register.

    Raises:
        ValidationError: A newer release wrote options that this one does not know.
    """
    return RegisterOptions.model_validate(dict(options.registration))
