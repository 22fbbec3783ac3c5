"""The part of the table of patches that concerns Python's standard library. docs/chainer.md has the same table."""

import sys

from training_job.hooks.import_hook import Patch, Patcher, afterwards


def _after(module: str, function: str) -> Patcher:
    return afterwards(f"training_job.hooks.compat.standard.{module}", function)


def _names(module: str, symptom: str, since: str, fix: str) -> Patch:
    return Patch(module=module, symptom=symptom, since=since, fix=fix, apply=_after("names", "serve"))


STANDARD_PATCHES = (
    Patch(
        module="sys",
        symptom="`import imp`, `cgi`, `pipes`, `pkg_resources`, `xml.etree.cElementTree`, `dummy_threading`",
        since="Python 3.9 (the last two), 3.12 (imp), 3.13 (cgi, pipes), setuptools 82 (pkg_resources)",
        fix="stand-ins: imp's find_module, load_module, load_source, new_module and reload; cgi's escape and parsers; "
        "pipes.quote; versions, requirements, entry points and files of packages; today's modules of the same content",
        apply=_after("names", "provide_modules"),
    ),
    _names("collections", "collections.Iterable, Mapping, …", "Python 3.10", "those of collections.abc"),
    _names("time", "time.clock", "Python 3.8", "process_time, as on Linux before"),
    _names(
        "inspect",
        "inspect.getargspec, formatargspec",
        "Python 3.11",
        "the same answers, getargspec's made from getfullargspec",
    ),
    _names("fractions", "fractions.gcd", "Python 3.9", "Euclid's algorithm, as before"),
    _names("base64", "base64.encodestring, decodestring", "Python 3.9", "encodebytes, decodebytes"),
    _names(
        "platform", "platform.linux_distribution, dist", "Python 3.8", "the answer of platform.freedesktop_os_release"
    ),
    _names("unittest", "unittest.makeSuite, findTestCases", "Python 3.13", "the same methods of unittest.TestLoader"),
    _names("cgi", "cgi.escape", "Python 3.8", "html.escape, without quotes"),
    _names("configparser", "configparser.SafeConfigParser", "Python 3.12", "ConfigParser"),
    _names("locale", "locale.format", "Python 3.12", "format_string"),
    _names("html.parser", "html.parser.HTMLParseError", "Python 3.5", "an exception that nothing raises"),
    _names("os", "os.errno", "Python 3.7", "the module errno"),
    Patch(
        module="array",
        symptom="array.array.tostring, fromstring",
        since="Python 3.9",
        fix="tobytes, frombytes",
        apply=_after("members", "of_array"),
    ),
    Patch(
        module="threading",
        symptom="Thread.isAlive",
        since="Python 3.9",
        fix="is_alive",
        apply=_after("members", "of_threading"),
    ),
    Patch(
        module="xml.etree.ElementTree",
        symptom="Element.getchildren, getiterator",
        since="Python 3.9",
        fix="lists of the children, and of all below",
        apply=_after("members", "of_element_tree"),
    ),
    Patch(
        module="random",
        symptom="random.sample of a set, random.shuffle with a function that makes random numbers",
        since="Python 3.11",
        fix="a set becomes a tuple, and the shuffle is the one of before",
        apply=_after("members", "of_random"),
    ),
)


def apply_to_imported() -> None:
    """Apply the rows of modules that Python has imported already. Applying one again has no effect."""
    for patch in STANDARD_PATCHES:
        module = sys.modules.get(patch.module)
        if module is not None:
            with patch.apply(module):
                pass
