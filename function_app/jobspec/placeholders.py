"""The `${{…}}` in commands and arguments, which Azure ML fills in when the job starts."""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

_OPENING, _CLOSING = "${{", "}}"
_LISTED = 20
"""How many of the names that there are a message lists."""
_SHOWN = 60
_PLACEHOLDER = re.compile(r"\$\{\{\s*((inputs|outputs|search_space)\.([A-Za-z_][A-Za-z0-9_]*))\s*\}\}", re.ASCII)


def is_placeholder(text: str) -> bool:
    """Return whether the text is one placeholder and nothing else."""
    return bool(_PLACEHOLDER.fullmatch(text))


@frozen
class Placeholders:
    """What placeholders may name: `known` has the names under `inputs`, `outputs` and `search_space`."""

    known: Mapping[str, Collection[str]]
    _listed: dict[str, str] = field(factory=dict, init=False)

    def problems(self, text: str) -> Iterator[str]:
        """Yield what is wrong with each placeholder that names nothing."""
        for written in _placeholders(text):
            found = _PLACEHOLDER.fullmatch(written)
            if not found:
                allowed = "${{inputs.…}}, ${{outputs.…}} or ${{search_space.…}}"
                yield f"{written[:_SHOWN]} is not {allowed}"
            elif found[3] not in self.known[found[2]]:
                yield f"{written[:_SHOWN]} names nothing; under {found[2]} there is: {self._list(found[2])}"

    def _list(self, kind: str) -> str:
        """Return the names of a kind, some of many; they are put in order once."""
        if kind not in self._listed:
            names = sorted(self.known[kind])
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            self._listed[kind] = f"{', '.join(names[:_LISTED]) or 'none'}{more}"
        return self._listed[kind]


def _placeholders(text: str) -> Iterator[str]:
    """Yield what stands between the signs, which are its first and last. One without an end ends the search."""
    begin = text.find(_OPENING)
    while begin >= 0 and (end := text.find(_CLOSING, begin + len(_OPENING))) >= 0:
        yield text[begin : end + len(_CLOSING)]
        begin = text.find(_OPENING, end + len(_CLOSING))


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
