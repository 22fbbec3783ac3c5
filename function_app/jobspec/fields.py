"""Building blocks of the job spec's models: their base class, and their types of strings and numbers."""

import difflib
import json
import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, LiteralString, NoReturn, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from function_app.jobspec.budget import budget
from function_app.jobspec.problem import Path

REFUSED = "kedja_refused"
"""The type of pydantic errors whose messages are shown as they are."""

REQUIRED = "kedja_required"
"""The same, for a missing key."""

type Scalar = bool | int | float | str
type Number = int | float


class SpecModel(BaseModel):
    """Base of the spec's models: frozen, strict about types, and with a message about each unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=False)

    refused_keys: ClassVar[dict[str, str]] = {}
    """Keys that Azure ML knows and Kedja refuses, with the reason."""

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys as written in job.yaml."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="wrap")
    @classmethod
    def _read_keys(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, dict):
            known = cls.keys()
            # A key without a value, such as `kedja:` with every line below commented out, counts as omitted.
            value = {key: item for key, item in value.items() if item is not None or key not in known}
        try:
            return handler(value)
        except ValidationError as error:
            details = [
                refusal(item["loc"], cls._about_unknown(str(item["loc"][0])))
                if item["type"] == "extra_forbidden" and len(item["loc"]) == 1
                else _again(item)
                for item in budget().first(error.errors(include_url=False))
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from error

    @classmethod
    def _about_unknown(cls, key: str) -> str:
        if key in cls.refused_keys:
            return f"is refused: {cls.refused_keys[key]}"
        return f"unknown key{did_you_mean(key, cls.keys())} Allowed: {', '.join(sorted(cls.keys()))}"


def did_you_mean(written: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean at_least?`, or a period if no allowed word is similar."""
    if len(written) > _LONGEST_WORD or not budget().suggests():
        return "."
    near = difflib.get_close_matches(written, list(allowed), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def refusal(path: Path, message: str, kind: LiteralString = REFUSED) -> InitErrorDetails:
    """Return the pydantic error for the value at `path` below the one being validated."""
    # The message is an argument, as braces in a template would be replaced.
    error = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=path, input=None)


def raise_refusals(refusals: Iterable[tuple[Path, str]], required: Iterable[Path] = ()) -> None:
    """Raise one error for all refusals and missing required keys, if there are any.

    Raises:
        ValidationError: There is at least one.
    """
    details = [refusal(path, message) for path, message in refusals]
    details += [refusal(path, "is required, but missing", REQUIRED) for path in required]
    if details:
        raise ValidationError.from_exception_data("job", details)


def refuse(message: str) -> NoReturn:
    """Refuse the value that is being validated.

    Raises:
        PydanticCustomError: Always, with the message.
    """
    raise PydanticCustomError(REFUSED, "{message}", {"message": message})


def _again(item: Any) -> InitErrorDetails:  # noqa: ANN401 (pydantic's ErrorDetails, whose ctx holds anything)
    if item["type"] in (REFUSED, REQUIRED):
        return refusal(item["loc"], item["msg"], item["type"])
    return InitErrorDetails(type=item["type"], loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))


def validator[T](test: Callable[[T], str | None]) -> AfterValidator:
    """Return a validator that refuses values for which `test` returns a message."""

    def check(value: T) -> T:
        message = test(value)
        if message:
            refuse(message)
        return value

    return AfterValidator(check)


def pattern(pattern: str, wanted: str) -> AfterValidator:
    """Return a validator that requires the whole string to match; `wanted` describes the pattern in a message."""
    compiled = re.compile(pattern, re.ASCII)

    def problem(value: str) -> str | None:
        return None if compiled.fullmatch(value) else f"{redacted_repr(value)} is not {wanted}"

    return validator(problem)


_SECRETS = re.compile(
    r"""(?<=//)[^/@\s"]+(?=@) | (?<=\?)[^\s"]+ |
    (?<=key=)[^;&\s"]+ | (?<=signature=)[^;\s"]+ | (?<=sig=)[^;&\s"]+ |
    (?<=password=)[^;&\s"]+ | (?<=pwd=)[^;&\s"]+ | (?<=token=)[^;&\s"]+ | (?<=secret=)[^;&\s"]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Credentials in an address or a connection string."""


_LONGEST_WORD = 100
_LOOKED_AT = 300
"""Characters of a string that are searched for secrets, before the first 60 are shown."""


def redacted_repr(value: object) -> str:
    """Return a scalar as JSON, without what looks like a secret, cut to 60 characters; for other values, their kind."""
    if not budget().shows():
        return "…"
    if isinstance(value, str) and len(value) > _LOOKED_AT:
        value = f"{value[:_LOOKED_AT]}@"  # the part that is cut off may hold the @ after a password
    match value:
        case None:
            return "nothing"
        case bool() | int() | float() | str():
            text = _SECRETS.sub("…", json.dumps(value, ensure_ascii=False))
            return text if len(text) <= 60 else f"{text[:56]}…"  # noqa: PLR2004 (as the docstring says)
        case list() | tuple():
            return "a list"
        case _:
            return "a mapping"


def shape(value: object) -> str:
    """Return which member of a union a value belongs to: "mapping" or "text"."""
    return "mapping" if isinstance(value, dict | SpecModel) else "text"


def _as_text(value: object) -> object:
    """Convert numbers and booleans to strings, as in JSON."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _drop_path(value: str) -> str:
    """Return the path without `./` and double slashes; refuse a path that could lead outside the drop."""
    message = _path_problem(value)
    if message:
        refuse(message)
    return posixpath.normpath(value)


def _path_problem(value: str) -> str | None:
    reason = None
    if not value.strip():
        reason = "is empty"
    elif "://" in value or value.lower().startswith(("azureml:", "file:", "http:", "https:")):
        reason = "is an address"
    elif value.startswith("/"):
        reason = "is an ARM id" if value.lower().startswith("/subscriptions/") else "is absolute"
    elif ".." in value.split("/"):
        reason = "leads outside the drop"
    elif value.startswith("~") or any(part in value for part in ("\\", ":", "\t", "\n", "\r", "${{")):
        reason = "begins with ~, or contains a backslash, a colon, a tab, a line break or ${{"
    return f"{redacted_repr(value)} {reason}; give a path inside the drop, such as src/train.py" if reason else None


def _output_path(value: str) -> str:
    if not value.startswith("outputs/"):
        refuse(f"{redacted_repr(value)} is not below outputs/")
    return value


def _literal(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        refuse(f"expected a number, text, true or false, found {redacted_repr(value)}")
    return value


def _expandable(value: str) -> str | None:
    found = re.search(r"[^\w ./:=,@%+-]", value)
    if found:
        return (
            f"{redacted_repr(value)} contains {redacted_repr(found.group())}; text that is put into the command may "
            "contain only letters, digits, spaces and _ . / : = , @ % + -"
        )
    return None


Text = Annotated[str, BeforeValidator(_as_text)]
"""Text; numbers and booleans are taken as written."""

DropPath = Annotated[str, AfterValidator(_drop_path)]
"""A relative path inside the drop, normalized."""

OutputPath = Annotated[DropPath, AfterValidator(_output_path)]
"""A path below `outputs/`."""

Line = Annotated[str, Field(min_length=1, max_length=255), pattern(r"[^\t\n\r]*", "one line")]
"""One line of text."""

LiteralValue = Annotated[Scalar, BeforeValidator(_literal)]
"""A number, text, true or false, which keeps its type."""

CommandValue = Annotated[LiteralValue, validator(lambda value: _expandable(value) if isinstance(value, str) else None)]
"""A literal that Azure ML puts into the command line unquoted, so it must not contain shell syntax."""

Identifier = Annotated[str, pattern(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "a name of letters, digits and underscores")]
"""The name of an input, output, hyperparameter or environment variable."""

ModelName = Annotated[
    str, pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", "a model's name: letters, digits, dots, dashes, underscores")
]

Seconds = Annotated[int, Field(ge=1, le=30 * 24 * 3600)]
"""A time of up to 30 days."""

Count = Annotated[int, Field(ge=1, le=1000)]
