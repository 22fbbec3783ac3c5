"""How much work a hostile request or job.yaml can make: values read, problems made, near words looked for."""

import difflib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from pytest_mock import MockerFixture

from function_app.jobspec import fields
from function_app.jobspec.budget import PROBLEMS, SHOWN, SUGGESTIONS
from function_app.jobspec.fields import shown
from function_app.jobspec.placeholders import Placeholders
from function_app.jobspec.problem import InvalidJobSpec, Places
from function_app.jobspec.schema import JobSpec, parse_job_json, parse_job_yaml, stored_spec
from function_app.jobspec.yaml_source import MAX_BYTES, MAX_VALUES

MIB = 1 << 20


def numbered(piece: str, count: int, value: object = 0) -> dict[str, object]:
    return {f"{piece}{number:05}": value for number in range(count)}


def arguments(values: object) -> dict[str, object]:
    return {"kedja": {"arguments": values}}


def pip(lines: list[str]) -> dict[str, object]:
    return {"environment": {"image": "x/y", "conda_file": {"dependencies": [{"pip": lines}]}}}


def choices(values: list[object]) -> dict[str, object]:
    return {"type": "sweep", "search_space": {"a": {"type": "choice", "values": values}}}


HOSTILE: dict[str, Callable[[int], dict[str, object]]] = {
    "unknown keys": lambda count: numbered("environment_variable", count),
    "unknown keys deep below": lambda count: {"kedja": {"register": {"when": numbered("k", count)}}},
    "names of arguments": lambda count: arguments(numbered("!", count)),
    "values of arguments": lambda count: arguments(numbered("a", count, {})),
    "unknown inputs": lambda count: {"inputs": numbered("a", count, {})},
    "types of outputs": lambda count: {"outputs": numbered("a", count // 2, {"type": "uri"})},
    "values to choose from": lambda count: choices(["$"] * count),
    "packages": lambda count: pip(["$" + "x" * 50] * count),
    "texts that no job can hold": lambda count: {"x": ["\0"] * count},
    "keys that no job can hold": lambda count: numbered("\0", count),
}


@pytest.fixture
def work(mocker: MockerFixture) -> Callable[[], dict[str, int]]:
    """Return what counts the problems that are made, and the near words that are looked for."""
    problems = mocker.spy(Places, "problem")
    suggestions = mocker.spy(difflib, "get_close_matches")
    validations = mocker.spy(JobSpec, "model_validate")
    return lambda: {
        "problems": problems.call_count,
        "suggestions": suggestions.call_count,
        "validations": validations.call_count,
    }


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_request_of_too_many_values_is_refused_unread(work: Callable[[], dict[str, int]], kind: str) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json(HOSTILE[kind](4 * MAX_VALUES))
    assert str(caught.value) == f"there are more than {MAX_VALUES} values"
    assert work() == {"problems": 1, "suggestions": 0, "validations": 0}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_request_of_many_mistakes_makes_work_of_the_first_alone(
    work: Callable[[], dict[str, int]], kind: str
) -> None:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json(HOSTILE[kind](MAX_VALUES - 20))
    made = work()
    assert made["problems"] <= PROBLEMS
    assert made["suggestions"] <= SUGGESTIONS
    *told, more = map(str, caught.value.problems)
    assert len(told) == InvalidJobSpec.SHOWN
    assert not any(message.endswith("…") for message in told)
    count = MAX_VALUES - 20 if kind != "types of outputs" else MAX_VALUES // 2 - 10
    # A model that lacks a key of its own, or a list that has no good value left, is one problem more.
    assert more in [f"and {count + one - InvalidJobSpec.SHOWN} more" for one in (0, 1)]


@pytest.mark.parametrize("kind", HOSTILE)
def test_so_does_a_job_yaml(work: Callable[[], dict[str, int]], kind: str) -> None:
    text = json.dumps(HOSTILE[kind](3000))
    assert len(text) < MAX_BYTES
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_yaml(text)
    made = work()
    assert made["suggestions"] <= SUGGESTIONS
    assert len(caught.value.problems) == InvalidJobSpec.SHOWN + 1
    if "no job can hold" not in kind:
        assert made["problems"] <= PROBLEMS


@pytest.mark.parametrize(
    "text",
    [
        "a: [" + "0," * 120_000 + "]",
        "a:\n" + "-\n" * 120_000,
        "".join(f"k{n}: 0\n" for n in range(22_000)),
        "? []\n" * 50_000,
        "a: [" + "{}," * 80_000,
        "{" + "a, " * 80_000,
    ],
    ids=["numbers", "empty items", "keys", "keys that are lists", "mappings", "keys without values"],
)
def test_a_job_yaml_is_read_no_further_than_so_many_values(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = 0

    class Counting(yaml.CSafeLoader):
        def get_event(self) -> Any:  # noqa: ANN401 - PyYAML has no types for it
            nonlocal events
            events += 1
            return super().get_event()

    monkeypatch.setattr(yaml, "CSafeLoader", Counting)
    with pytest.raises(InvalidJobSpec, match=f"there are more than {MAX_VALUES} values"):
        parse_job_yaml(text)
    assert MAX_VALUES < events < 4 * MAX_VALUES


def test_what_is_stored_is_read_however_much_it_is() -> None:
    spec = stored_spec({"environment_variables": numbered("a", 2 * MAX_VALUES, "x")})
    assert stored_spec(json.loads(spec.to_json())) == spec


class Scanned(str):
    """A text that counts the characters that are searched."""

    __slots__ = ("searched",)
    searched: int

    def find(self, sub: str, start: Any = 0, end: Any = None) -> int:  # noqa: ANN401 - as its base
        found = super().find(sub, start, end)
        self.searched = getattr(self, "searched", 0) + (len(self) if found < 0 else found + len(sub)) - start
        return found


@pytest.mark.parametrize("piece", ["${{", "${{}}", "${{a}", "xxxx"])
def test_placeholders_are_looked_for_once_along_the_text(piece: str) -> None:
    text = Scanned(piece * 5000)
    problems = list(Placeholders({"inputs": (), "outputs": (), "search_space": ()}).problems(text))
    assert len(text) // 2 <= text.searched <= 3 * len(text)
    assert len(problems) == (5000 if piece == "${{}}" else 0)


def test_placeholders_that_name_nothing_are_told_in_few_words(work: Callable[[], dict[str, int]]) -> None:
    values = numbered("a", 200, "${{inputs.missing}}" * 200)
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json({**arguments(values), "inputs": numbered("b", 5000)})
    assert work()["problems"] <= PROBLEMS
    first = str(caught.value.problems[0])
    assert first.endswith("b00018, b00019 and 4982 more")
    assert len(first) < 300


def refused_names() -> Iterator[str]:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_job_json(arguments({f"!{number:05}{'x' * 80}": 0 for number in range(3000)}))
    yield from map(str, caught.value.problems)


def test_values_are_looked_at_only_for_messages_that_may_be_told(mocker: MockerFixture) -> None:
    looked_at = mocker.patch.object(fields, "_SECRETS")
    looked_at.sub.side_effect = lambda _, text: text
    assert len(list(refused_names())) == InvalidJobSpec.SHOWN + 1
    assert PROBLEMS <= looked_at.sub.call_count <= SHOWN
    looked_at.sub.reset_mock()
    shown("a" * MIB)
    assert len(looked_at.sub.call_args.args[1]) < 400


@pytest.mark.parametrize("text", ["//" + "s3cret" * 100 + "@x.test", "https://u:" + "s3cret" * 200 + "@x.test/y"])
def test_a_password_whose_end_is_cut_off_is_not_shown(text: str) -> None:
    assert "s3c" not in shown(text)
