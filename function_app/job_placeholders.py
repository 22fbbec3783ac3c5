"""The `${{…}}` in commands and arguments, which Azure ML fills in when the job starts."""

import re
import shlex
from collections.abc import Collection, Mapping

_ANY = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$\{\{\s*((inputs|outputs|search_space)\.([A-Za-z_][A-Za-z0-9_]*))\s*\}\}", re.ASCII)


def is_placeholder(text: str) -> bool:
    """Return whether the text is one placeholder and nothing else."""
    return bool(_PLACEHOLDER.fullmatch(text))


def placeholder_problems(text: str, known: Mapping[str, Collection[str]]) -> list[str]:
    """Return what is wrong with each placeholder that names nothing.

    `known` has the names under `inputs`, `outputs` and `search_space`.
    """
    problems = []
    for written in _ANY.findall(text):
        found = _PLACEHOLDER.fullmatch(written)
        if not found:
            problems.append(f"{written[:60]} is not ${{{{inputs.…}}}}, ${{{{outputs.…}}}} or ${{{{search_space.…}}}}")
        elif found[3] not in known[found[2]]:
            names = ", ".join(sorted(known[found[2]])) or "none"
            problems.append(f"{written} names nothing; under {found[2]} there is: {names}")
    return problems


def quote(text: str) -> str:
    """Quote text as one word of a shell line, with its placeholders left to be filled in.

    A placeholder stands in double quotes, so that a value with a space stays in its word. What Azure ML puts there is
    a path of its own or a value that `job_fields.CommandValue` has checked: nothing in it means anything to a shell.
    """
    words = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        words += [_quoted(text[end : found.start()]), f'"${{{{{found[1]}}}}}"']
        end = found.end()
    return "".join([*words, _quoted(text[end:])]) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
