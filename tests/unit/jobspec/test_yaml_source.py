import contextlib
import time
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from function_app.jobspec.problem import InvalidJobSpec, Path, SourcePosition, SpecProblem
from function_app.jobspec.yaml_source import MAX_BYTES, MAX_DEPTH, parse_yaml

NO_NUMBER = "not valid YAML: a number that cannot be read; put it in quotes if it is text"


def refusals(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidJobSpec) as caught:
        parse_yaml(text)
    return [str(problem) for problem in caught.value.problems]


def test_values_are_plain_and_know_their_place() -> None:
    document = parse_yaml("a: 1\nb:\n  - true\n  - {c: 1.50}\nd: text\ne:\n")
    assert document.values == {"a": 1, "b": [True, {"c": 1.5}], "d": "text", "e": None}
    assert document.written == {("a",): "1", ("b", 0): "true", ("b", 1, "c"): "1.50", ("e",): ""}
    assert document.places.positions[("b", 1, "c")] == SourcePosition(4, 6)
    assert document.places.problem(("b", 1, "missing"), "no") == SpecProblem(4, 5, "b[1].missing", "no")


def test_an_empty_text_is_none() -> None:
    assert parse_yaml("").values is None
    assert parse_yaml(b"\xef\xbb\xbf# only a remark\n").values is None


@pytest.mark.parametrize("text", ["12:30", "2026-01-31", "12:30:45.5", "<<", "="])
def test_what_yaml_1_1_makes_of_times_and_dates_is_left_alone(text: str) -> None:
    assert parse_yaml(f"a: {text}").values == {"a": text}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("a: 1\na: 2", "line 2, column 1: a: is a duplicate; the first is in line 1"),
        ("x: {a: 1, b: 2, a: 3}", "line 1, column 17: x.a: is a duplicate; the first is in line 1"),
        ("a: &x 1", "line 1, column 4: an anchor (&) is not allowed; write each value out, or put it in quotes"),
        ("a: *x", "line 1, column 4: an alias (*) is not allowed; write the value out, or put it in quotes"),
        ("a: !!str 1", "line 1, column 4: a tag (!) is not allowed; remove it, or put the value in quotes"),
        ("a: ! 1", "line 1, column 4: a tag (!) is not allowed; remove it, or put the value in quotes"),
        ("x:\n  1: a", "line 2, column 3: x: a key must be text, and 1 is not; put it in quotes"),
        ("on: a", "line 1, column 1: a key must be text, and on is not; put it in quotes"),
        ("? [a]\n: 1", "line 1, column 3: a key must be text, and this is not; put it in quotes"),
        ("a: .inf", "line 1, column 4: a: must be a finite number"),
        ("a: 0x8000000000000000", "line 1, column 4: a: is too large for a whole number of 64 bits"),
        ('a: "\\0"', "line 1, column 4: a: contains the character U+0000, which is not allowed"),
        ('a: "\\ud800"', "line 1, column 7: not valid YAML: found invalid Unicode character escape code"),
        ('"\\u0007": 1', "line 1, column 1: a key contains the character U+0007, which is not allowed"),
        ("ok: 1\nbad\x07", "line 2, column 4: the text contains the character U+0007, which is not allowed"),
        (b"ok: 1\n  \xff", "line 2, column 3: not UTF-8 text; save the file as UTF-8"),
        ("a: [1\nb", "line 2, column 2: not valid YAML: did not find expected ',' or ']'"),
        ("a: [b\n\n", "line 3, column 1: not valid YAML: did not find expected ',' or ']'"),
        ('a: "b', "line 1, column 6: not valid YAML: found unexpected end of stream"),
        ("a: " + "9" * 5000, f"line 1, column 4: a: {NO_NUMBER}"),
        ("a: 1\n--- \nb: 2", "line 2, column 1: not valid YAML: but found another document"),
    ],
)
def test_what_is_not_allowed_is_named_with_its_place(text: str | bytes, refusal: str) -> None:
    assert refusals(text) == [refusal]


def test_all_problems_are_told_at_once() -> None:
    assert len(refusals("a: 1\na: 2\n3: x\nb: .nan")) == 3


def test_values_out_of_range_are_no_crash() -> None:
    assert "not valid YAML" in refusals('a: "\\UFFFFFFFF"')[0]
    assert "not valid YAML" in refusals("a: " + "9" * 5000)[0]
    assert "not valid YAML" in refusals("a: 0b_")[0]


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 60_000, "- " * 100_000, "? " * 100_000, "&a [" * 50_000])
def test_bombs_end_at_once(text: str) -> None:
    before = time.process_time()
    refusals(text)
    assert time.process_time() - before < 5


def test_depth_and_size_have_limits() -> None:
    parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "nested more than" in refusals("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[0]
    parse_yaml("#" * MAX_BYTES)
    assert f"at most {MAX_BYTES}" in refusals("#" * (MAX_BYTES + 1))[0]
    assert f"at most {MAX_BYTES}" in refusals("é" * (MAX_BYTES // 2 + 1))[0]


_PIECES = st.lists(
    st.sampled_from(
        [*":-?[]{},&*!|>'\"%@`#\n\t \\", "a", "b", "1", "0x", "~", "---", "...", "\\U", "é", "\x85", "\x00"]
    )
)


@given(st.one_of(st.text(), st.binary(), _PIECES.map("".join)))
def test_any_text_is_a_document_or_refused(text: str | bytes) -> None:
    try:
        refused: tuple[object, ...] = (parse_yaml(text).places,)
    except InvalidJobSpec as error:
        refused = error.problems
    assert len(refused) > 0


def places_by_pyyaml(node: yaml.Node | None, path: Path = ()) -> Iterator[tuple[Path, SourcePosition]]:
    """Yield the place of each key and list item, as the reader that is written in Python has it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), SourcePosition(key.start_mark.line + 1, key.start_mark.column + 1)
            yield from places_by_pyyaml(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), SourcePosition(item.start_mark.line + 1, item.start_mark.column + 1)
            yield from places_by_pyyaml(item, (*path, index))


_WORDS = st.lists(
    st.sampled_from(
        ["a", "b: ", "c:\n", "- ", "\n", "\n  ", "\n    ", "é", "😀", "'x'", '"y"', "[", "]", "{", "}", ", ", "# r\n"]
    )
    | st.sampled_from(["1", "~", "? ", "|\n  t\n", ">-\n  t\n\n", "\r\n", "\x85", "\u2028", "1.5", "true", " "]),
    max_size=20,
)


@given(_WORDS.map("".join))
@example("a: 1\nb:\n  - é\n  - {😀: x, d: [1,\n 2]}\n? e\n: |\n  t\nf: >\n\n  u\n'g': \"h\\\n  i\"\nj:\n-\n- \n")
@example("\u2028a: 1\x85b: 2\r\nc: 3\rd: 4")
def test_places_are_those_of_the_reader_that_is_written_in_python(text: str) -> None:
    with contextlib.suppress(InvalidJobSpec):
        document = parse_yaml(text)
        node = yaml.SafeLoader(text).get_single_node()
        assert document.places.positions == {(): SourcePosition(1, 1), **dict(places_by_pyyaml(node))}


# Without the line breaks that YAML folds, whoever writes them.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")
_JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(_CHARACTERS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcde:1 ", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON_LIKE)
def test_what_yaml_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    if "!!" in text or "\\" in text or "&" in text:  # escapes that a job may not hold, and what safe_dump shares
        return
    assert parse_yaml(text).values == value
