"""Reports what a script's own parser says of the job's arguments, with the options that it knows.

`argparse` and `optparse` print such errors and end the process with exit code 2, which alone says nothing.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, Patcher, PatchFinder

_MOST_OPTIONS = 60
_OPTION = re.compile(r"(?<!\S)--?[A-Za-z][\w-]*(?=[=,\s]|$)")
_HELP = frozenset({"-h", "--help"})


def describe(message: str, options: Sequence[Sequence[str]]) -> str:
    """Return a parser's message with the script's options, each by all of its names, and the nearest ones."""
    import difflib  # noqa: PLC0415 - every process of a job imports this module

    names = [name for option in options for name in option]
    unknown = [word for word in _OPTION.findall(message) if word not in names]
    near = [found[0] for word in unknown if (found := difflib.get_close_matches(word, names, n=1))]
    hint = f" Did you mean {near[0]}?" if near else ""
    shown = ", ".join("/".join(option) for option in options[:_MOST_OPTIONS]) or "none"
    more = ", …" if len(options) > _MOST_OPTIONS else ""
    return f"exit code 2, as it does not take its arguments: {message}.{hint} Its options are {shown}{more}"


def _patcher(parser: str, options: Callable[[Any], list[list[str]]]) -> Patcher:
    @contextlib.contextmanager
    def patch(module: ModuleType) -> Iterator[None]:
        yield
        kind = getattr(module, parser)
        error = kind.error

        @functools.wraps(error)
        def report(self: Any, message: str) -> Any:  # noqa: ANN401 - a class of the module
            known = [names for names in options(self) if not _HELP & set(names)]
            metrics.failure(describe(str(message).rstrip(". "), known))
            return error(self, message)

        kind.error = report

    return patch


def _of_argparse(parser: Any) -> list[list[str]]:  # noqa: ANN401 - an ArgumentParser
    return [list(action.option_strings or [action.dest]) for action in parser._actions]  # noqa: SLF001 - no other way


def _of_optparse(parser: Any) -> list[list[str]]:  # noqa: ANN401 - an OptionParser
    return [[*option._short_opts, *option._long_opts] for option in parser.option_list]  # noqa: SLF001 - no other way


_SYMPTOM = "the reason of a job with a wrong argument is `exit code 2`"
_FIX = "the parser's message and the script's options are the reason"
_FINDER = PatchFinder(
    (
        Patch(
            module="argparse",
            symptom=_SYMPTOM,
            since="-",
            fix=_FIX,
            apply=_patcher("ArgumentParser", _of_argparse),
        ),
        Patch(
            module="optparse",
            symptom=_SYMPTOM,
            since="-",
            fix=_FIX,
            apply=_patcher("OptionParser", _of_optparse),
        ),
    )
)


def install() -> None:
    """Install the hook, which does nothing in a process that `launch` did not start."""
    import_hook.install(_FINDER)
