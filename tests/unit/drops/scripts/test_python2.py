import ast

import pytest

from function_app.drops.scripts.python2 import Python2Line, parse


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("print 'a'", "a print statement"),
        ("if x: print x", "a print statement"),
        ("print 'a: %d' % x, y", "a print statement"),
        ("print ('a') % x", None),
        ("print('%d') % x, 'b' 'c' c", "a print statement"),
        ("exec 'x = 1' in y", "an exec statement"),
        ("try:\n    x\nexcept (A, B), e:\n    pass", "except with a comma"),
        ("try:\n    x\nexcept a.B, e:\n    pass", "except with a comma"),
        ("raise ValueError, 'text'", "raise with a comma"),
        ("x <> y", "the operator <>"),
        ("os.chmod(x, 0755)", "an octal number without 0o"),
        ("x = 10L", "a long integer"),
        ("x = 0xFFL", "a long integer"),
        ("x = ur'a'", "a string with the prefix ur"),
        ("def f(a, (b, c)):\n    pass", "a parameter that is a tuple"),
        ("sorted(x, key=lambda (k, v): v)", "a parameter that is a tuple"),
        ("x = `y`", "an expression in backquotes"),
    ],
)
def test_python_2_is_known_by_what_python_3_cannot_compile(line: str, what: str | None) -> None:
    found = parse(f"import os\n{line}\n")
    assert (found.what if isinstance(found, Python2Line) else None) == what
    if what is not None:
        assert isinstance(found, Python2Line)
        assert line.splitlines()[found.number - 2].strip() == found.text


def test_tabs_and_spaces() -> None:
    found = parse("if x:\n        y = 1\n\tz = 2\n")
    assert isinstance(found, Python2Line)
    assert (found.number, found.is_indentation) == (3, True)


@pytest.mark.parametrize(
    "source",
    [
        "print('a')\nprint\n",
        "print >>sys.stderr, x\n",
        "# print 'a'\nx = '''\nprint 'a'\n'''\n",
        "for i in xrange(3): raw_input()\n",
        b"# coding: shift_jis\nx = '\x83\x65'\n",
        "x = '\\d'\n",
        "",
    ],
)
def test_what_python_3_compiles_is_not_python_2(source: str | bytes) -> None:
    assert isinstance(parse(source), ast.Module)


@pytest.mark.parametrize(
    "source", ["x = (\n", "f(async=True)\n", "  x\n y\n", b"\xff\xfe", "x\0", "(" * 5000, "-" * 200_000 + "1"]
)
def test_other_mistakes_are_left_to_the_job(source: str | bytes) -> None:
    assert parse(source) is None
