"""Python 2: source that Python 3 cannot compile, for a reason that Python 2 accepts.

Nothing that compiles is reported, so a script for Python 3 never is. Names that only Python 2 has (`xrange`) compile.
"""

import ast
import re
import warnings
from collections.abc import Sequence

from attrs import frozen

_SIGNS: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (what, re.compile(sign))
    for what, sign in (
        ("a print statement", r"(?:^|[:;])\s*print\b\s*(?![\s(=.,)\]]|$)"),
        ("a print statement", r"(?:^|[:;])\s*print\s*\([^#]*\)\s*[%,\w]"),
        ("an exec statement", r"(?:^|[:;])\s*exec\s+[^(=.\s]"),
        ("except with a comma", r"^\s*except\s+[^:#]+,\s*[\w.]+\s*:"),
        ("raise with a comma", r"(?:^|[:;])\s*raise\s+[\w.]+\s*,"),
        ("the operator <>", r"<>"),
        ("an octal number without 0o", r"(?<![\w.])0[0-7]+(?![\w.])"),
        ("a long integer", r"(?<![\w.])(?:0[xX][0-9a-fA-F]+|\d+)[lL]\b"),
        ("a string with the prefix ur", r"\b[uU][rR]['\"]"),
        ("a parameter that is a tuple", r"\b(?:def\s+\w+\s*\(|lambda\s)[^:#]*\(\s*\w+\s*,"),
        ("an expression in backquotes", r"`[^`]+`"),
    )
)
"""What a line with a mistake has, as https://docs.python.org/3/whatsnew/3.0.html lists what was removed."""


@frozen
class Python2Line:
    """The line that Python 3 cannot compile: its number from 1, its text, and what it has."""

    number: int
    text: str
    what: str
    is_indentation: bool = False


def parse(source: str | bytes) -> ast.Module | Python2Line | None:
    """Return the syntax tree of Python 3, the line that is Python 2, or None if the source is neither."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those of invalid escapes: the job's log has them
            return ast.parse(source)
    except TabError as error:
        what = "an indentation that mixes tabs and spaces"
        return Python2Line(error.lineno or 1, _shown(error), what, is_indentation=True)
    except IndentationError:
        return None
    except SyntaxError as error:
        text = error.text or ""
        found = next((what for what, sign in _SIGNS if sign.search(text)), None)
        return None if found is None else Python2Line(error.lineno or 1, _shown(error), found)
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _shown(error: SyntaxError) -> str:
    return " ".join((error.text or "").split())[:100]
