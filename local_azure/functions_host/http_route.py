"""Route templates of HTTP triggers, such as `orders/{id:int?}` and `/{*path}`.

Format: https://learn.microsoft.com/aspnet/web-api/overview/web-api-routing-and-actions/attribute-routing-in-web-api-2,
as the Functions host uses it. Matching ignores case. Of the constraints, `int`, `alpha` and `guid` are supported.
"""

import re
from typing import Final
from urllib.parse import unquote

from attrs import frozen

from local_azure.errors import LocalAzureError

_CONSTRAINTS: Final = {
    "": r"[^/]+",
    "int": r"[+-]?\d+",
    "alpha": r"[a-z]+",
    "guid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
_PARAMETER: Final = re.compile(r"\{(?P<all>\*?)(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\??)\}")


class InvalidRoute(LocalAzureError):
    """The route template is invalid, or not supported by this host."""


@frozen(kw_only=True)
class RouteTemplate:
    """A parsed template; created by `RouteTemplate.parse`."""

    template: str
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]
    """Tried in ascending order. Per segment: 0 literal, 1 constrained, 2 any value, 3 the rest of the path."""

    @classmethod
    def parse(cls, template: str) -> "RouteTemplate":
        """Parse a template; leading and trailing slashes are ignored.

        Raises:
            InvalidRoute: a segment is neither text nor one parameter, or a constraint is not supported.
        """
        expression = ""
        precedence = []
        for segment in filter(None, template.split("/")):
            part, rank = _segment(segment, template)
            expression += part
            precedence.append(rank)
        return cls(
            template=template, pattern=re.compile(expression + "/*", re.IGNORECASE), precedence=tuple(precedence)
        )

    def match(self, raw_path: str) -> dict[str, str] | None:
        """Return the decoded parameters if the percent-encoded path matches, else None."""
        found = self.pattern.fullmatch(raw_path)
        if found is None:
            return None
        return {name: unquote(value) for name, value in found.groupdict().items() if value}


def _segment(segment: str, template: str) -> tuple[str, int]:
    if "{" not in segment and "}" not in segment:
        return f"/{re.escape(segment)}", 0
    parameter = _PARAMETER.fullmatch(segment)
    if parameter is None:
        raise InvalidRoute(f"Route {template!r}: the segment {segment!r} must be text or one {{parameter}}.")
    name = parameter["name"]
    if parameter["all"]:
        return f"(?:/(?P<{name}>.*))?", 3
    constraint = parameter["constraint"] or ""
    if constraint not in _CONSTRAINTS:
        raise InvalidRoute(f"Route {template!r}: the local host does not support the constraint {constraint!r}.")
    expression = f"/(?P<{name}>{_CONSTRAINTS[constraint]})"
    return (f"(?:{expression})?" if parameter["optional"] else expression), (1 if constraint else 2)
