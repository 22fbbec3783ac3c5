"""The placeholders `${{…}}` in commands and arguments, which Azure ML fills in when the job starts."""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

_OPENING, _CLOSING = "${{", "}}"
_LISTED = 20
"""Max existing names that a message lists."""
_SHOWN = 60
_PLACEHOLDER = re.compile(r"\$\{\{\s*((inputs|outputs|search_space)\.([A-Za-z_][A-Za-z0-9_]*))\s*\}\}", re.ASCII)


def is_placeholder(text: str) -> bool:
    """Return whether the text is one placeholder and nothing else."""
    return bool(_PLACEHOLDER.fullmatch(text))


def is_free_text(value: object) -> bool:
    """Return whether the value has text that is neither a number nor a single placeholder."""
    if isinstance(value, tuple):
        return any(map(is_free_text, value))
    if not isinstance(value, str) or is_placeholder(value):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


@frozen
class Placeholders:
    """Checks placeholders: `known` has the names that exist under `inputs`, `outputs` and `search_space`."""

    known: Mapping[str, Collection[str]]
    _listed: dict[str, str] = field(factory=dict, init=False)

    def problems(self, text: str) -> Iterator[str]:
        """Yield a message for each placeholder that is malformed or unknown."""
        for written in _placeholders(text):
            found = _PLACEHOLDER.fullmatch(written)
            if not found:
                allowed = "${{inputs.…}}, ${{outputs.…}} or ${{search_space.…}}"
                yield f"{written[:_SHOWN]} is not {allowed}"
            elif found[3] not in self.known[found[2]]:
                yield f"{written[:_SHOWN]} does not exist; {found[2]} has: {self._list(found[2])}"

    def _list(self, kind: str) -> str:
        """Return the names of a kind, the first of them if there are many; they are sorted once."""
        if kind not in self._listed:
            names = sorted(self.known[kind])
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            self._listed[kind] = f"{', '.join(names[:_LISTED]) or 'none'}{more}"
        return self._listed[kind]


def _placeholders(text: str) -> Iterator[str]:
    """Yield each `${{…}}` with its delimiters. The search ends at a placeholder that is not closed."""
    begin = text.find(_OPENING)
    while begin >= 0 and (end := text.find(_CLOSING, begin + len(_OPENING))) >= 0:
        yield text[begin : end + len(_CLOSING)]
        begin = text.find(_OPENING, end + len(_CLOSING))


def quote(text: str) -> str:
    """Quote text as one word of a shell line, and leave its placeholders to be filled in.

    A placeholder is put in double quotes, so that a value with a space stays in its word. Azure ML fills in a path of
    its own or a value that `fields.CommandValue` has checked, so it contains no shell syntax.
    """
    words = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        words += [_quoted(text[end : found.start()]), f'"${{{{{found[1]}}}}}"']
        end = found.end()
    return "".join([*words, _quoted(text[end:])]) or "''"


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
