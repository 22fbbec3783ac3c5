"""Docstrings, comments and messages use none of the phrases for which there is plainer English."""

import io
import re
import tokenize
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("function_app", "kedja_cli", "local_azure", "training_job")
INSTEAD = {
    "where (it|there|he|she|that) (is|was|are)": "if",
    "goes on": "continues",
    "go on": "continue",
    "is told": "is informed, is notified, is given",
    "tells of": "reports, describes",
    "told of": "informed of, described",
}
"""What each phrase says in plain English."""
BETWEEN = r"""[\s#"']+"""
"""What may stand between two words of a phrase: a comment or a string may continue on the next line."""
PHRASES = {re.compile(rf"\b{phrase.replace(' ', BETWEEN)}\b", re.IGNORECASE): INSTEAD[phrase] for phrase in INSTEAD}
PROSE = {tokenize.COMMENT, tokenize.STRING, tokenize.FSTRING_START, tokenize.FSTRING_MIDDLE, tokenize.FSTRING_END}


def passages(source: str) -> Iterator[tuple[int, str]]:
    """Return comments and strings with the lines on which they begin, those that follow on each other as one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    for is_prose, run in groupby(tokens, lambda token: token.type in PROSE or token.type == tokenize.NL):
        if is_prose:
            found = list(run)
            yield found[0].start[0], "".join(token.string for token in found)


def findings(source: str) -> list[tuple[int, str, str]]:
    """Return line, phrase and what to write instead."""
    return sorted(
        (line + text.count("\n", 0, match.start()), " ".join(re.findall(r"\w+", match.group())), instead)
        for line, text in passages(source)
        for phrase, instead in PHRASES.items()
        for match in phrase.finditer(text)
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_every_phrase_is_plain_english(package: str) -> None:
    found = [
        f'{path.relative_to(ROOT)}:{line}: "{phrase}": write {instead}'
        for path in sorted((ROOT / package).rglob("*.py"))
        if "vendor" not in path.parts
        for line, phrase, instead in findings(path.read_text(encoding="utf-8"))
    ]
    assert not found, f"{len(found)} phrases:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Return it.\n\n    Where there\n    is none, nothing.\n    """\n', [(3, "Where there is")]),
        ("a = 1  # the drop goes\nb = 2\n# the round goes\n# on\n", [(3, "goes on")]),
        ('raise Error(\n    "The job "\n    f"{job} is "\n    "told."\n)\n', [(3, "is told")]),
        ('goes_on = go.on = "go_on"\n', []),
    ],
    ids=["docstring", "comments", "strings in pieces", "names"],
)
def test_a_phrase_is_found_with_its_line(source: str, expected: list[tuple[int, str]]) -> None:
    assert [(line, phrase) for line, phrase, _ in findings(source)] == expected
