"""The web page: its files, their headers, and its content security policy."""

import os
import re
from pathlib import Path

import httpx
import pytest
from pytest_mock import MockerFixture

from function_app.http.page import FILES, FOLDER, content_policy
from tests.unit.api import KEYS, LOCAL, api_over
from tests.unit.http_client import Client

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "preact.js": "preact/dist/preact.mjs",
    "hooks.js": "preact/hooks/dist/hooks.mjs",
    "htm.js": "htm/dist/htm.module.js",
    "uplot.js": "uplot/dist/uPlot.esm.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
}
OWN = sorted(path for path in FOLDER.glob("*.*") if path.suffix in (".js", ".css", ".html"))


@pytest.fixture
def client() -> Client:
    return Client(api_over(lambda: pytest.fail("The page needs no service to be loaded."), KEYS))


def test_everyone_may_load_the_page_and_each_file_that_it_names(client: Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
    assert len(named) == 4
    for address in named:
        assert client.get(address).status_code == httpx.codes.OK


def test_every_module_that_is_imported_is_served(client: Client) -> None:
    for path in OWN:
        for module in re.findall(r'from "\./([^"]+)"', path.read_text()):
            answer = client.get(f"/ui/{module}")
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8", module


def test_a_file_is_sent_once(client: Client) -> None:
    first = client.get("/ui/app.js")
    again = client.get("/ui/app.js", headers={"If-None-Match": f"W/{first.headers['etag']}"})
    assert (again.status_code, again.content) == (httpx.codes.NOT_MODIFIED, b"")
    assert client.get("/ui/app.js", headers={"If-None-Match": '"another"'}).status_code == httpx.codes.OK


def test_a_file_that_changed_is_sent_again_even_if_its_time_and_size_did_not(
    client: Client, tmp_path: Path, mocker: MockerFixture
) -> None:
    etag = None
    for release in ("1", "2"):
        file = tmp_path / release / "app.js"
        file.parent.mkdir()
        file.write_text(f"release = {release};")
        os.utime(file, (0, 0))
        mocker.patch.object(FILES, "all_directories", [file.parent])
        answer = client.get("/ui/app.js", headers={"If-None-Match": etag} if etag else {})
        assert (answer.status_code, answer.text) == (httpx.codes.OK, f"release = {release};")
        assert "last-modified" not in answer.headers
        etag = answer.headers["etag"]


@pytest.mark.parametrize("path", ["/", "/ui/app.js", "/ui/style.css", "/ui/icon.svg", "/ui/vendor/preact.js"])
def test_every_file_has_the_headers_of_the_page(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(answer.content) > 0


def test_a_file_cannot_be_written(client: Client) -> None:
    answer = client.post("/ui/app.js")
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")


@pytest.mark.parametrize("path", ["../page.py", "%2e%2e/page.py", "vendor/README.md", "nothing.js", ""])
def test_nothing_else_is_served(client: Client, path: str) -> None:
    answer = client.get(f"/ui/{path}")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_loads_nothing_from_another_host() -> None:
    for path in [*OWN, FOLDER / "icon.svg"]:
        # A namespace is only a name; it is never fetched.
        text = path.read_text().replace("http://www.w3.org/2000/svg", "").replace("https://html.spec", "")
        assert not re.search(r"https?://", text), path


@pytest.mark.parametrize(
    ("environ", "origin"),
    [
        ({"KedjaStorage": "UseDevelopmentStorage=true"}, " http://127.0.0.1:10000"),
        (
            {"KedjaStorage__blobServiceUri": "https://kedja.blob.core.windows.net"},
            " https://kedja.blob.core.windows.net",
        ),
        ({"KedjaStorage": "nonsense"}, ""),
        ({}, ""),
    ],
)
def test_the_policy_lets_the_page_reach_its_service_and_its_storage(environ: dict[str, str], origin: str) -> None:
    policy = dict(part.strip().partition(" ")[::2] for part in content_policy(environ).split(";"))
    assert policy["connect-src"] == f"'self'{origin}"
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"


def test_the_policy_is_sent_with_the_page() -> None:
    page = Client(api_over(lambda: pytest.fail("not needed"), LOCAL)).get("/")
    assert page.headers["content-security-policy"] == content_policy(LOCAL)


@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_vendored_libraries_are_those_of_their_packages(name: str, package: str) -> None:
    lines = (ROOT / "node_modules" / package).read_text().splitlines(keepends=True)
    original = "".join(line for line in lines if not line.startswith("//# sourceMappingURL="))
    vendored = (FOLDER / "vendor" / name).read_text()
    assert vendored == original.replace('from"preact"', 'from"./preact.js"'), "Run `make vendor`."


@pytest.mark.parametrize("package", ["preact", "htm", "uplot"])
def test_vendored_libraries_come_with_their_licences(package: str) -> None:
    licence = (ROOT / "node_modules" / package / "LICENSE").read_text()
    assert (FOLDER / "vendor" / f"{package}.LICENSE").read_text() == licence, "Run `make vendor`."
