"""What the models of the job spec are made of: their base, and the kinds of text and number that occur in it."""

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
"""The type of pydantic error whose message is ready to be shown."""

REQUIRED = "kedja_required"
"""The same, about a key that is not there."""

type Scalar = bool | int | float | str
type Number = int | float


class SpecModel(BaseModel):
    """Base of the spec's models: frozen, of exact types, and with a word about each key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=False)

    refused_keys: ClassVar[dict[str, str]] = {}
    """Keys that Azure ML knows and Kedja refuses, with the reason."""

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys as they are written."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="wrap")
    @classmethod
    def _read_keys(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, dict):
            known = cls.keys()
            # A key with nothing behind it, such as `kedja:` with every line below commented out, is a key left out.
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
    """Return `; did you mean at_least?`, or a full stop where no allowed word is near."""
    if len(written) > _LONGEST_WORD or not budget().suggests():
        return "."
    near = difflib.get_close_matches(written, list(allowed), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def refusal(path: Path, message: str, kind: LiteralString = REFUSED) -> InitErrorDetails:
    """Return the pydantic error for the value at `path` below the one that is being validated."""
    # The message is an argument, since braces in a template would be replaced.
    error = PydanticCustomError(kind, "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=path, input=None)


def raise_refusals(refusals: Iterable[tuple[Path, str]], required: Iterable[Path] = ()) -> None:
    """Raise one ValidationError with all of them, and with the keys that are required and not there, if any."""
    details = [refusal(path, message) for path, message in refusals]
    details += [refusal(path, "is required, and not there", REQUIRED) for path in required]
    if details:
        raise ValidationError.from_exception_data("job", details)


def refuse(message: str) -> NoReturn:
    """Refuse the value that is being validated."""
    raise PydanticCustomError(REFUSED, "{message}", {"message": message})


def _again(item: Any) -> InitErrorDetails:  # noqa: ANN401 (pydantic's ErrorDetails, whose ctx holds anything)
    if item["type"] in (REFUSED, REQUIRED):
        return refusal(item["loc"], item["msg"], item["type"])
    return InitErrorDetails(type=item["type"], loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))


def checked[T](test: Callable[[T], str | None]) -> AfterValidator:
    """Return a validator that refuses what `test` has a message for."""

    def check(value: T) -> T:
        message = test(value)
        if message:
            refuse(message)
        return value

    return AfterValidator(check)


def matching(pattern: str, wanted: str) -> AfterValidator:
    """Return a validator that wants the whole text to match; `wanted` says in words what that is."""
    compiled = re.compile(pattern, re.ASCII)

    def problem(value: str) -> str | None:
        return None if compiled.fullmatch(value) else f"{shown(value)} is not {wanted}"

    return checked(problem)


_SECRETS = re.compile(
    r"""(?<=//)[^/@\s"]+(?=@) | (?<=\?)[^\s"]+ |
    (?<=key=)[^;&\s"]+ | (?<=signature=)[^;\s"]+ | (?<=sig=)[^;&\s"]+ |
    (?<=password=)[^;&\s"]+ | (?<=pwd=)[^;&\s"]+ | (?<=token=)[^;&\s"]+ | (?<=secret=)[^;&\s"]+""",
    re.IGNORECASE | re.VERBOSE,
)
"""What stands in an address or a connection string for somebody to get in with."""


_LONGEST_WORD = 100
_LOOKED_AT = 300
"""Characters of a text in which secrets are looked for, before the first 60 are shown."""


def shown(value: object) -> str:
    """Return a scalar as JSON, without what looks like a secret, cut to 60 characters; anything else by its kind."""
    if not budget().shows():
        return "…"
    if isinstance(value, str) and len(value) > _LOOKED_AT:
        value = f"{value[:_LOOKED_AT]}@"  # what is cut off may be the sign after a password
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
    """Return which member of a union a value is meant for: "mapping" or "text"."""
    return "mapping" if isinstance(value, dict | SpecModel) else "text"


def _as_text(value: object) -> object:
    """Turn numbers and truth values to text, as they are written in JSON."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def _drop_path(value: str) -> str:
    """Return the path without `./` and doubled slashes; refuse one that could lead out of the drop."""
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
        reason = "leads out of the drop"
    elif value.startswith("~") or any(part in value for part in ("\\", ":", "\t", "\n", "\r", "${{")):
        reason = "begins with ~, or holds a backslash, a colon, a tab, a line break or ${{"
    return f"{shown(value)} {reason}; give a path inside the drop, such as src/train.py" if reason else None


def _output_path(value: str) -> str:
    if not value.startswith("outputs/"):
        refuse(f"{shown(value)} is not below outputs/")
    return value


def _literal(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        refuse(f"expected a number, text, true or false, found {shown(value)}")
    return value


def _expandable(value: str) -> str | None:
    found = re.search(r"[^\w ./:=,@%+-]", value)
    if found:
        return (
            f"{shown(value)} holds {shown(found.group())}; text that is put into the command may hold letters, digits, "
            "spaces and any of _ . / : = , @ % + - alone"
        )
    return None


Text = Annotated[str, BeforeValidator(_as_text)]
"""Text; numbers and truth values are taken as they are written."""

DropPath = Annotated[str, AfterValidator(_drop_path)]
"""A relative path inside the drop, normalised."""

OutputPath = Annotated[DropPath, AfterValidator(_output_path)]
"""A path below `outputs/`."""

Line = Annotated[str, Field(min_length=1, max_length=255), matching(r"[^\t\n\r]*", "one line")]
"""One line of text."""

LiteralValue = Annotated[Scalar, BeforeValidator(_literal)]
"""A number, text, true or false, of its own type."""

CommandValue = Annotated[LiteralValue, checked(lambda value: _expandable(value) if isinstance(value, str) else None)]
"""A literal that Azure ML puts into the command line as it is, so that its text must mean nothing to a shell."""

Identifier = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "a name of letters, digits and underscores")]
"""The name of an input, output, hyperparameter or environment variable."""

ModelName = Annotated[
    str, matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", "a model's name: letters, digits, dots, dashes, underscores")
]

Seconds = Annotated[int, Field(ge=1, le=30 * 24 * 3600)]
"""A time of up to 30 days."""

Count = Annotated[int, Field(ge=1, le=1000)]
