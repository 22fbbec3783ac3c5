# ruff: noqa: PLC0415 - nothing is imported before a script asks for it, as this runs when each process starts
"""Removed names and modules of Python's standard library, for old code.

Sources: the "Removed" sections of https://docs.python.org/3/whatsnew/, 3.7 to 3.13. `distutils` is not included, as
setuptools, which Chainer requires, has it.
"""

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from training_job.hooks.compat import lost_modules, lost_names


class ArgSpec(NamedTuple):
    """The result of `inspect.getargspec`, which Python 3.11 removed."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(function: Callable[..., Any]) -> ArgSpec:
    """Return the function's arguments, as `inspect.getargspec` did.

    Raises:
        ValueError: It has keyword-only arguments or annotations, which the result cannot represent.
    """
    import inspect

    full = inspect.getfullargspec(function)
    if full.kwonlyargs or full.annotations:
        raise ValueError("Function has keyword-only parameters or annotations, use inspect.signature()")
    return ArgSpec(full.args, full.varargs, full.varkw, full.defaults)


def formatargspec(
    args: list[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: tuple[Any, ...] | None = None,
    kwonlyargs: tuple[str, ...] = (),
    kwonlydefaults: Mapping[str, Any] | None = None,
    annotations: Mapping[str, Any] | None = None,
) -> str:
    """Return the arguments as they are written in a `def`, such as `(a, b=1, *c)`."""
    import inspect

    notes, first = annotations or {}, len(args) - len(defaults or ())

    def shown(name: str, stars: str = "") -> str:
        return f"{stars}{name}" + (f": {inspect.formatannotation(notes[name])}" if name in notes else "")

    parts = [
        shown(name) + (f"={(defaults or ())[at - first]!r}" if at >= first else "") for at, name in enumerate(args)
    ]
    parts += [shown(varargs, "*")] if varargs else ["*"] if kwonlyargs else []
    fixed = kwonlydefaults or {}
    parts += [shown(name) + (f"={fixed[name]!r}" if name in fixed else "") for name in kwonlyargs]
    parts += [shown(varkw, "**")] if varkw else []
    result = f" -> {inspect.formatannotation(notes['return'])}" if "return" in notes else ""
    return f"({', '.join(parts)}){result}"


def gcd(a: Any, b: Any) -> Any:  # noqa: ANN401 - any numbers
    """Return the greatest common divisor, with the sign of `b`, as `fractions.gcd` did (removed in Python 3.9)."""
    while b:
        a, b = b, a % b
    return a


def linux_distribution(**options: Any) -> tuple[str, str, str]:  # noqa: ANN401, ARG001 - no longer of use
    """Return the distribution's name, version and code name, as `platform.linux_distribution` did (to Python 3.7)."""
    import platform

    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return "", "", ""
    return release.get("NAME", ""), release.get("VERSION_ID", ""), release.get("VERSION_CODENAME", "")


def _abstract() -> dict[str, Callable[[], Any]]:
    import collections.abc

    return {name: functools.partial(getattr, collections.abc, name) for name in collections.abc.__all__}


def _from_loader(name: str) -> Callable[[], Any]:
    """Return what makes a function that asks `unittest.TestLoader` for the tests of a class or a module."""

    def make() -> Any:  # noqa: ANN401 - as _today
        import unittest

        loader = unittest.TestLoader()
        load = loader.loadTestsFromTestCase if name == "makeSuite" else loader.loadTestsFromModule
        return lambda source, *args, **options: load(source)  # noqa: ARG005 - the old ones named prefixes and classes

    return make


def _today(module: str, name: str) -> Callable[[], Any]:
    return lambda: getattr(import_module(module), name)


NAMES: dict[str, Callable[[], Mapping[str, Callable[[], Any]]]] = {
    "collections": _abstract,
    # On Linux, the processor time of this process.
    "time": lambda: {"clock": _today("time", "process_time")},
    "inspect": lambda: {"getargspec": lambda: getargspec, "formatargspec": lambda: formatargspec},
    "fractions": lambda: {"gcd": lambda: gcd},
    "base64": lambda: {
        "encodestring": _today("base64", "encodebytes"),
        "decodestring": _today("base64", "decodebytes"),
    },
    "platform": lambda: {"linux_distribution": lambda: linux_distribution, "dist": lambda: linux_distribution},
    "unittest": lambda: {name: _from_loader(name) for name in ("makeSuite", "findTestCases")},
    "cgi": lambda: {"escape": lambda: _escape},
    "configparser": lambda: {"SafeConfigParser": _today("configparser", "ConfigParser")},
    "locale": lambda: {"format": _today("locale", "format_string")},
    "html.parser": lambda: {"HTMLParseError": lambda: type("HTMLParseError", (Exception,), {})},
    "os": lambda: {"errno": lambda: import_module("errno")},
}
"""What makes each lost name, by module."""


def serve(module: ModuleType) -> None:
    """Serve what the module has lost."""
    lost_names.serve(module, NAMES[module.__name__]())


def _escape(s: str, quote: bool | None = None) -> str:  # noqa: FBT001 - as it was
    import html

    return html.escape(s, quote=bool(quote))


def _cgi(module: ModuleType) -> None:
    import email.message
    import urllib.parse

    def parse_header(line: str) -> tuple[str, dict[str, str]]:
        message = email.message.Message()
        message["content-type"] = line
        found = message.get_params() or [("", "")]
        return found[0][0], dict(found[1:])

    vars(module).update(
        parse_qs=urllib.parse.parse_qs, parse_qsl=urllib.parse.parse_qsl, parse_header=parse_header, escape=_escape
    )


def _pipes(module: ModuleType) -> None:
    import shlex

    vars(module)["quote"] = shlex.quote


def _imp(module: ModuleType) -> None:
    from training_job.hooks.compat.standard import imp_module

    imp_module.fill(module)


def _resources(module: ModuleType) -> None:
    from training_job.hooks.compat.libraries import pkg_resources_stub

    pkg_resources_stub.fill(module)


MODULES: dict[str, lost_modules.Fill] = {
    "imp": _imp,
    "cgi": _cgi,
    "pipes": _pipes,
    "pkg_resources": _resources,
    "xml.etree.cElementTree": lost_modules.alias("xml.etree.ElementTree"),
    "dummy_threading": lost_modules.alias("threading"),
}


def provide_modules(module: ModuleType) -> None:  # noqa: ARG001 - nothing of it is patched
    """Provide the removed modules."""
    lost_modules.provide(MODULES)
