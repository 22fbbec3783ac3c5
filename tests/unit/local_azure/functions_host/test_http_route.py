import pytest

from local_azure.functions_host.http_route import InvalidRoute, RouteTemplate


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("/{*route}", "/", {}),
        ("/{*route}", "/a/b%20c", {"route": "a/b c"}),
        ("api/hello", "/api/hello", {}),
        ("api/hello", "/API/Hello/", {}),
        ("api/hello", "/api/hello/x", None),
        ("api/{name}", "/api/b%2Fc", {"name": "b/c"}),
        ("api/{name}", "/api", None),
        ("api/{name?}", "/api", {}),
        ("api/{name?}", "/api/x", {"name": "x"}),
        ("orders/{id:int}", "/orders/12", {"id": "12"}),
        ("orders/{id:int}", "/orders/x", None),
        ("orders/{id:int?}/lines", "/orders/lines", {}),
        ("api/{*rest}", "/api", {}),
        ("api/{*rest}", "/apix", None),
        ("a.b", "/aXb", None),
        ("", "/", {}),
        ("", "/x", None),
    ],
)
def test_a_path_fits_or_not(template: str, path: str, expected: dict[str, str] | None) -> None:
    assert RouteTemplate.parse(template).match(path) == expected


def test_the_most_exact_route_comes_first() -> None:
    templates = ["{*rest}", "api/{name}", "api/{id:int}", "api/status", "api/{*rest}"]
    ordered = sorted(templates, key=lambda template: RouteTemplate.parse(template).precedence)
    assert ordered == ["api/status", "api/{id:int}", "api/{name}", "api/{*rest}", "{*rest}"]


@pytest.mark.parametrize("template", ["a-{name}", "{a}{b}", "{id:length(3)}", "{id:datetime}", "{", "{name=x}"])
def test_what_is_not_modelled_is_refused(template: str) -> None:
    with pytest.raises(InvalidRoute, match="Route"):
        RouteTemplate.parse(template)
