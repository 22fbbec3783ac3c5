"""job.yaml and the same keys in a request: read to a job that says the same when it is written, or refused."""

import json
from typing import Any

import yaml
from hypothesis import strategies as st

from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec, parse_job_json, parse_job_yaml
from tests.fuzz import inputs
from tests.fuzz.budget import fuzz, outcome
from tests.fuzz.examples import DOCUMENTED, VALUES

PIECES = [
    "&a ",
    "*a",
    "<<: *a",
    "!!python/object/apply:os.system [id]",
    "!!binary aGk=",
    "!!set {a, b}",
    "!<tag:yaml.org,2002:str> x",
    "? ",
    ": ",
    "- ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "%TAG ! tag:x,2000:\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "|\n  ",
    ">-\n  ",
    "'",
    '"',
    '"\\x00"',
    '"\\ud800"',
    '"\\UFFFFFFFF"',
    "\t",
    "\n",
    "\n  ",
    "#",
    "=",
    "~",
    ".inf",
    ".nan",
    "0b1",
    "0o7",
    "1_000",
    "12:30:45",
    "1e400",
    "9" * 5000,
    "\ufeff",
    "\u2028",
    "\x85",
    "command",
    "kedja",
    "inputs",
    "search_space",
    "arguments",
    "environment",
    "type: choice",
]
BOMBS = [
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "\n".join(f"k{number}: {{a: 1}}" for number in range(20_000)),
    "[" * 5000,
    "{a: " * 5000,
    "- " * 5000,
    "? " * 5000,
    "command: " + "x" * 300_000,
    "a: '" + "\\" * 100_000,
]

dumped = inputs.mutated(VALUES).map(lambda value: yaml.dump(value, allow_unicode=True))
written = st.sampled_from(DOCUMENTED).map(str.encode)
texts = st.one_of(
    inputs.corrupted(written),
    dumped.map(lambda text: text.encode(errors="surrogatepass")),
    inputs.corrupted(dumped.map(lambda text: text.encode(errors="replace"))),
    st.lists(st.sampled_from(PIECES), max_size=30).map(lambda pieces: "".join(pieces).encode()),
    st.tuples(st.sampled_from(DOCUMENTED), st.sampled_from(PIECES), st.integers(0, 400)).map(
        lambda drawn: (drawn[0][: drawn[2]] + drawn[1] + drawn[0][drawn[2] :]).encode()
    ),
    st.sampled_from(BOMBS).map(str.encode),
    st.binary(max_size=100),
)


def holds(spec: JobSpec | InvalidJobSpec) -> None:
    """Check what must hold of every job that is taken, and of every refusal."""
    if isinstance(spec, InvalidJobSpec):
        assert spec.problems
        assert len(str(spec)) < 100_000
        return
    again = parse_job_json(json.loads(spec.to_json()))
    assert again == spec
    assert again.canonical() == spec.canonical()


def test_texts() -> None:
    def check(text: bytes) -> None:
        holds(outcome(InvalidJobSpec, lambda: parse_job_yaml(text)))

    fuzz("job.yaml", texts, check)


def test_requests() -> None:
    def check(values: Any) -> None:  # noqa: ANN401 - any JSON object
        holds(outcome(InvalidJobSpec, lambda: parse_job_json(values)))

    values = inputs.mutated(VALUES).filter(lambda value: isinstance(value, dict))
    fuzz("job requests", values, check)
