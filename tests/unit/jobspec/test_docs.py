import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from function_app.jobspec.fields import SpecModel
from function_app.jobspec.schema import JobSpec, Trial, parse_job_yaml

DOCS = (Path(__file__).parents[3] / "docs" / "job-yaml.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)


def models(annotation: object) -> Iterator[tuple[str, type[SpecModel]]]:
    """Yield the models that a field may hold, with `.<name>` where they are values of a mapping."""
    if isinstance(annotation, typing.TypeAliasType):
        yield from models(annotation.__value__)
    elif isinstance(annotation, type) and issubclass(annotation, SpecModel):
        yield "", annotation
    elif typing.get_origin(annotation) is dict:
        yield from ((f".<name>{path}", model) for path, model in models(typing.get_args(annotation)[1]))
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from models(part)


def keys(model: type[SpecModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key
        if "dict[" in str(field.annotation) and key != "kedja.arguments":
            yield f"{key}.<name>"
        if field.annotation is not Trial:
            for path, inner in models(field.annotation):
                yield from keys(inner, f"{key}{path}.")


def test_the_tables_have_every_key_once_and_no_other() -> None:
    tables = DOCS.partition("## Every key")[2].partition("## What is refused")[0]
    documented = re.findall(r"^\| `([^`]+)` \|", tables, re.MULTILINE)
    assert sorted(documented) == sorted(set(keys(JobSpec)))
    assert all(f"`{key}`" in tables for key in Trial.model_fields)


def test_every_refused_key_is_explained() -> None:
    refused = DOCS.partition("## What is refused")[2]
    set_by_the_service = {"id", "status", "creation_context", "log_files", "parent_job_name"}
    assert all(f"`{key}`" in refused for key in JobSpec.refused_keys if key not in set_by_the_service)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_taken(example: str) -> None:
    assert parse_job_yaml(example).canonical() != "{}"
