"""Reads Bicep files well enough to hold them to assertions: what a file declares, with the values that are known in it.

No compiler is at hand on every machine that runs the tests. tree-sitter says how a file is built; here variables, JSON
files, loops over known lists and a few functions are worked out. What only a deployment knows (parameters, outputs)
stays `Unknown`, with its own text.
"""

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import tree_sitter_bicep
from attrs import field, frozen
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

_PARSER = Parser(Language(tree_sitter_bicep.language()))


@frozen
class Unknown:
    """What only a deployment knows."""

    text: str


@frozen
class Choice:
    """`condition ? yes : no` where the condition is unknown."""

    condition: str
    yes: Any
    no: Any


@frozen(kw_only=True, eq=False)
class Resource:
    """A resource, or one of those that a loop makes. `type` has no API version."""

    symbol: str
    type: str
    version: str
    existing: bool
    condition: str | None
    body: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> Any:  # noqa: ANN401 - whatever the file says
        return self.body.get("name")

    @property
    def properties(self) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self.body.get("properties", {})
        return properties

    @property
    def label(self) -> str:
        """The last part of the type, and the name: `containers/data`."""
        name = self.name.text if isinstance(self.name, Unknown) else self.name
        return f"{self.type.rpartition('/')[2]}/{name}"


@frozen(kw_only=True)
class Module:
    """A call of another file. `params` are texts."""

    symbol: str
    path: str
    params: Mapping[str, str]
    depends_on: tuple[str, ...]
    text: str


@frozen(kw_only=True)
class File:
    """What a file declares. `parameters` says of each whether it must be given."""

    path: str
    text: str
    parameters: Mapping[str, bool]
    outputs: Mapping[str, str]
    variables: Mapping[str, Any]
    resources: tuple[Resource, ...]
    modules: tuple[Module, ...]
    decorators: Mapping[str, str]
    broken: tuple[str, ...]

    def made(self, kind: str) -> list[Resource]:
        """Return the resources of a type that this file makes, rather than finds."""
        return [each for each in self.resources if each.type == kind and not each.existing]


@frozen
class Infra:
    """All files of a folder, by their paths in it."""

    texts: Mapping[str, str]
    files: Mapping[str, File] = field(init=False)

    def __attrs_post_init__(self) -> None:
        files = {path: _Reader(path, self.texts).file() for path in self.texts if path.endswith(".bicep")}
        object.__setattr__(self, "files", files)

    @classmethod
    def load(cls, folder: Path = INFRA) -> Self:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".bicep", ".json"))
        return cls({path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths})

    def __getitem__(self, path: str) -> File:
        return self.files[path]

    def made(self, kind: str) -> list[Resource]:
        """Return every resource of a type that is made anywhere."""
        return [each for file in self.files.values() for each in file.made(kind)]

    def one(self, kind: str) -> Resource:
        found = self.made(kind)
        assert len(found) == 1, f"{kind}: expected one, found {[each.symbol for each in found]}"
        return found[0]

    @property
    def names(self) -> Mapping[str, Any]:
        names: Mapping[str, Any] = json.loads(self.texts["names.json"])
        return names


@frozen
class _Scope:
    """Values of identifiers, looked up when they are needed: Bicep has no order."""

    values: Mapping[str, Callable[[], Any]]

    def with_(self, **more: Any) -> "_Scope":  # noqa: ANN401 - values of any kind
        return _Scope({**self.values, **{name: partial(_same, value) for name, value in more.items()}})


class _Reader:
    """Reads one file."""

    def __init__(self, path: str, texts: Mapping[str, str]) -> None:
        self._path = path
        self._texts = texts
        self._text = texts[path]
        self._root = _PARSER.parse(self._text.encode()).root_node
        self._cache: dict[str, Any] = {}
        self._scope = _Scope({})

    def file(self) -> File:
        nodes = self._root.named_children
        variables = {_symbol(node): node for node in nodes if node.type == "variable_declaration"}
        resources = dict(_resource_nodes(self._root))
        lookups: dict[str, Callable[[], Any]] = {}
        for name, node in variables.items():
            lookups[name] = partial(self._once, name, partial(self._variable, node))
        for name, node in resources.items():
            lookups[name] = partial(self._once, name, partial(self._resource, name, node))
        self._scope = _Scope(lookups)
        instances = [each for name in resources for each in _flat(lookups[name]())]
        return File(
            path=self._path,
            text=self._text,
            parameters={
                _symbol(node): len(node.named_children) < 3 for node in nodes if node.type == "parameter_declaration"
            },
            outputs={
                _symbol(node): _text(node.named_children[-1]) for node in nodes if node.type == "output_declaration"
            },
            variables={name: lookups[name]() for name in variables},
            resources=tuple(instances),
            modules=tuple(self._module(node) for node in nodes if node.type == "module_declaration"),
            decorators=dict(_decorators(nodes)),
            broken=tuple(_broken(self._root)),
        )

    def _once(self, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - as found
        if name not in self._cache:
            self._cache[name] = work()
        return self._cache[name]

    def _variable(self, node: Node) -> Any:  # noqa: ANN401 - as found
        return self._value(node.named_children[-1], self._scope)

    def _module(self, node: Node) -> Module:
        body = _body(node)
        given = {_key(each): each.named_children[-1] for each in _properties(body)}
        params = given.get("params")
        depends = given.get("dependsOn")
        reference = _text(next(child for child in node.named_children if child.type == "string"))[1:-1]
        return Module(
            symbol=_symbol(node),
            path=posixpath.normpath(posixpath.join(posixpath.dirname(self._path), reference)),
            params={_key(each): _text(each.named_children[-1]) for each in _properties(params)} if params else {},
            depends_on=tuple(_text(each) for each in depends.named_children) if depends else (),
            text=_text(node),
        )

    def _resource(self, name: str, node: Node) -> Any:  # noqa: ANN401 - one, or a list of them
        kind = _text(next(child for child in node.named_children if child.type == "string"))[1:-1]
        existing = any(_text(child) == "existing" for child in node.children)
        statement = node.named_children[-1]
        condition = None
        if statement.type == "if_statement":
            condition = _text(statement.named_children[0]).strip("()")
            statement = statement.named_children[-1]
        if "/" not in kind:  # declared inside another
            outer = name.rpartition("::")[0]
            parent = self._scope.values[outer]()
            kind = f"{parent.type}/{kind}@{parent.version}"
        bare, _, version = kind.partition("@")

        def make(body: Any) -> Resource:  # noqa: ANN401 - an object as found
            return Resource(symbol=name, type=bare, version=version, existing=existing, condition=condition, body=body)

        value = self._value(statement, self._scope)
        return [make(each) for each in value] if isinstance(value, list) else make(value)

    # --- expressions

    def _value(self, node: Node, scope: _Scope) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912 - a line a kind
        match node.type:
            case "string":
                return self._string(node, scope)
            case "number":
                return int(_text(node))
            case "boolean":
                return _text(node) == "true"
            case "null":
                return None
            case "object":
                return {
                    _key(each): self._value(each.named_children[-1], scope)
                    for each in _properties(node)
                    if each.named_children[0].type != "resource_declaration"
                }
            case "array":
                return [self._value(each, scope) for each in node.named_children if each.type != "comment"]
            case "identifier":
                return scope.values.get(_text(node), lambda: Unknown(_text(node)))()
            case "member_expression":
                return self._member(node, scope)
            case "subscript_expression":
                return self._element(node, scope)
            case "ternary_expression":
                return self._choice(node, scope)
            case "for_statement":
                return self._loop(node, scope)
            case "call_expression":
                return self._call(node, scope)
            case "parenthesized_expression":
                return self._value(node.named_children[0], scope)
            case "resource_expression":
                return scope.values.get(_text(node), lambda: Unknown(_text(node)))()
        return Unknown(_text(node))

    def _string(self, node: Node, scope: _Scope) -> str:
        parts = []
        for child in node.named_children:
            if child.type == "interpolation":
                value = self._value(child.named_children[0], scope)
                parts.append(f"${{{value.text}}}" if isinstance(value, Unknown) else str(value))
            else:
                parts.append(_text(child).replace("\\'", "'"))
        return "".join(parts)

    def _member(self, node: Node, scope: _Scope) -> Any:  # noqa: ANN401 - as found
        owner = self._value(node.named_children[0], scope)
        name = _text(node.named_children[-1])
        if isinstance(owner, dict):
            return owner.get(name, Unknown(_text(node)))
        return Unknown(f"{owner.text}.{name}" if isinstance(owner, Unknown) else _text(node))

    def _element(self, node: Node, scope: _Scope) -> Any:  # noqa: ANN401 - as found
        owner, index = (self._value(child, scope) for child in node.named_children)
        known = isinstance(owner, list) and isinstance(index, int)
        return owner[index] if known and index < len(owner) else Unknown(_text(node))

    def _choice(self, node: Node, scope: _Scope) -> Any:  # noqa: ANN401 - as found
        test, yes, no = node.named_children
        return Choice(_text(test), self._value(yes, scope), self._value(no, scope))

    def _loop(self, node: Node, scope: _Scope) -> list[Any]:
        names, source, body = node.named_children[-3:]
        variables = [_text(each) for each in names.named_children] or [_text(names)]
        over = self._value(source, scope)
        rounds = over if isinstance(over, list) else [Unknown(variables[0])]
        return [
            self._value(body, scope.with_(**dict(zip(variables, (each, number), strict=False))))
            for number, each in enumerate(rounds)
        ]

    def _call(self, node: Node, scope: _Scope) -> Any:  # noqa: ANN401 - one line for each function
        function = _text(node.named_children[0])
        arguments = [self._value(each, scope) for each in node.named_children[-1].named_children]
        match function, arguments:
            case "loadJsonContent", [str(path)]:
                return json.loads(self._texts[posixpath.normpath(posixpath.join(posixpath.dirname(self._path), path))])
            case "items", [dict(entries)]:
                return [{"key": key, "value": entries[key]} for key in sorted(entries)]
            case "join", [list(parts), str(between)]:
                return between.join(parts)
            case "union", [dict(first), dict(second)]:
                return {**first, **second}
            case "subscriptionResourceId", [str(kind), str(name)]:
                return f"{kind}/{name}"
        return Unknown(_text(node))


def _same(value: Any) -> Any:  # noqa: ANN401 - of any kind
    return value


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _symbol(node: Node) -> str:
    return _text(next(child for child in node.named_children if child.type in ("identifier", "compatible_identifier")))


def _key(node: Node) -> str:
    return _text(node.named_children[0]).strip("'")


def _body(node: Node) -> Node:
    for child in node.named_children:
        if child.type == "object":
            return child
        if child.type in ("if_statement", "for_statement"):
            return _body(child)
    raise AssertionError(f"no body: {_text(node)[:60]}")


def _properties(node: Node) -> Iterator[Node]:
    return (child for child in node.named_children if child.type == "object_property")


def _resource_nodes(node: Node, outer: str = "") -> Iterator[tuple[str, Node]]:
    """Yield each resource with its symbol; one that is declared inside another is `outer::inner`."""
    for child in node.named_children:
        if child.type == "resource_declaration":
            symbol = f"{outer}::{_symbol(child)}" if outer else _symbol(child)
            yield symbol, child
            yield from _resource_nodes(child, symbol)
        else:
            yield from _resource_nodes(child, outer)


def _decorators(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    """Yield the decorators of each parameter, as text."""
    pending = ""
    for node in nodes:
        if node.type == "decorators":
            pending += _text(node)
        elif node.type == "parameter_declaration":
            yield (
                _symbol(node),
                pending + " ".join(_text(child) for child in node.children if child.type == "decorators"),
            )
            pending = ""
        elif node.type != "comment":
            pending = ""


def _broken(node: Node) -> Iterator[str]:
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point.row + 1}: {_text(node)[:60]!r}"
    for child in node.children:
        yield from _broken(child)


def _flat(value: Any) -> list[Resource]:  # noqa: ANN401 - one, or a list of them
    return value if isinstance(value, list) else [value]
