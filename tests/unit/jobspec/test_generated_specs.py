import json
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from function_app.jobspec.problem import InvalidJobSpec, SpecProblem
from function_app.jobspec.schema import JobSpec, parse_job_json, parse_job_yaml

_KEYS = st.sampled_from(
    [*JobSpec.keys(), "register", "arguments", "drop", "when", "metric", "at_least", "type", "values", "image", "pip"]
)
_WORDS = st.sampled_from(["sweep", "command", "none", "choice", "bandit", "mpi", "a", "outputs/x", "${{inputs.data}}"])
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


def outcome(parse: Callable[[], JobSpec]) -> JobSpec | tuple[object, ...]:
    try:
        return parse()
    except InvalidJobSpec as error:
        return error.problems


def check(spec: JobSpec | tuple[object, ...]) -> None:
    if isinstance(spec, tuple):
        assert len(spec) > 0
        return
    canonical = spec.canonical()
    assert parse_job_json(json.loads(canonical)).canonical() == canonical
    assert parse_job_json(json.loads(spec.to_json())) == spec
    spec.code_keys()


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_any_values_are_a_spec_or_refused(values: dict[str, Any]) -> None:
    check(outcome(lambda: parse_job_json(values)))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "tags": st.dictionaries(st.text("abc", min_size=1), st.text("xyz é:#'\"{}") | st.integers(0, 9)),
            "code": st.text("ab./", min_size=1),
            "inputs": st.dictionaries(
                st.text("abc", min_size=1), st.booleans() | st.floats() | st.text("ab ", max_size=4)
            ),
            "limits": st.fixed_dictionaries({}, optional={"timeout": st.integers(-1, 10**7)}),
            "kedja": st.fixed_dictionaries(
                {},
                optional={
                    "arguments": st.dictionaries(
                        st.text("ab-", min_size=1), st.booleans() | st.integers() | st.text() | st.lists(st.floats())
                    ),
                    "data": st.sampled_from(["required", "none", "nun"]),
                    "register": st.fixed_dictionaries({}, optional={"path": st.text("outps/.", min_size=1)}),
                },
            ),
        },
    )
)
def test_a_spec_that_is_taken_keeps_its_canonical_form(values: dict[str, Any]) -> None:
    check(outcome(lambda: parse_job_json(values)))


@given(st.text() | st.binary() | st.dictionaries(_KEYS, _VALUES, max_size=3).map(yaml.safe_dump))
def test_any_text_is_a_spec_or_refused(text: str | bytes) -> None:
    spec = outcome(lambda: parse_job_yaml(text))
    check(spec)
    assert isinstance(spec, JobSpec) or all(isinstance(problem, SpecProblem) and problem.line for problem in spec)
