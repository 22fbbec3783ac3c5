"""Web pages that are none of Kedja's, before the whole local stack: whatever they try, nothing changes.

Each attack is a request that works when a program of this machine sends it. A page sends it from another origin, as a
form and by `fetch`, and from the port's own origin under a foreign name that leads to this machine (DNS rebinding).
"""

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psutil
import pytest
from attrs import define, frozen
from azure.storage.blob import BlobServiceClient, generate_account_sas
from playwright.sync_api import Browser, Page

from local_azure.credentials import ACCOUNT_KEY, ACCOUNT_NAME
from local_azure.stack.stack import Stack
from tests.end_to_end.world import World, until

NAME = f"{ACCOUNT_NAME}.foreign.example"
"""A name that the browser takes for this machine's, as an attacker's name server can have it.

Azurite takes the first part of such a name for the account's.
"""
FETCH = """async ({url, mode, method, headers, body}) => {
    try {
        const answer = await fetch(url, {mode, method, headers, body});
        return answer.status;
    } catch (error) {
        return String(error);
    }
}"""
SUBMIT = """({url, body}) => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", enctype: "text/plain", action: url});
    const field = document.createElement("input");
    const [before, ...after] = body.split("=");
    Object.assign(field, {name: before, value: after.join("=")});
    form.append(field);
    document.body.append(form);
    form.submit();
}"""
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}


@frozen(kw_only=True)
class Attack:
    """A request that changes something. `body` and `path` take a word, by which `happened` knows the change again.

    A body holds a `=`, so that a form can send it.
    """

    port: int
    path: str
    happened: Callable[[str], bool]
    method: str = "POST"
    headers: Mapping[str, str] = JSON
    body: str

    def url(self, word: str, host: str = "127.0.0.1") -> str:
        account = "" if host == NAME else f"/{ACCOUNT_NAME}"
        return f"http://{host}:{self.port}{self.path.replace('/ACCOUNT', account).replace('WORD', word)}"

    def text(self, word: str) -> str:
        return self.body.replace("WORD", word).replace("BASE64", base64.b64encode(word.encode()).decode())


@define
class Target:
    """The stack as an attacker knows it: the ports, and the emulator's published key."""

    stack: Stack
    blobs: BlobServiceClient
    http: httpx.Client

    def attacks(self) -> dict[str, Attack]:
        ports = self.stack.ports
        return {
            "queue": Attack(
                port=ports.queue,
                path=f"/ACCOUNT/blob-events-poison/messages?{self._sas()}",
                headers=TEXT,
                body="<QueueMessage><MessageText>BASE64</MessageText><!--=--></QueueMessage>",
                happened=self._is_kept,
            ),
            "blob": self._put_blob(ports.blob),
            "azurite": self._put_blob(ports.azurite),
            "table": Attack(
                port=ports.table,
                path=f"/ACCOUNT/Tables?{self._sas()}",
                headers={**JSON, "Accept": "application/json;odata=nometadata"},
                body='{"TableName": "WORD", "pad": "="}',
                happened=lambda word: word in self._get(ports.table, f"/{ACCOUNT_NAME}/Tables?{self._sas()}"),
            ),
            "admin": Attack(
                port=ports.functions,
                path="/admin/functions/on_blob_event",
                body=json.dumps({"input": json.dumps(self._dropped("WORD")), "pad": "="}),
                happened=lambda word: self.blobs.get_blob_client("receipts", f".settling/{word}").exists(),
            ),
            "api": Attack(
                port=ports.functions,
                path="/api/pause",
                method="PUT",
                body='{"reason": "WORD ="}',
                happened=lambda word: word in self._get(ports.functions, "/api/pause"),
            ),
            "event-grid": Attack(
                port=ports.event_grid,
                path="/faults",
                method="PUT",
                body='{"subscriptions": {"kedja/WORD": {"delay": 0}}}',
                happened=lambda word: word in self._get(ports.event_grid, "/faults"),
            ),
            "mlflow": Attack(
                port=ports.mlflow,
                path="/api/2.0/mlflow/experiments/create",
                body='{"name": "WORD", "tags": [{"key": "pad", "value": "="}]}',
                happened=lambda word: (
                    word in self._get(ports.mlflow, "/api/2.0/mlflow/experiments/search?max_results=1000")
                ),
            ),
        }

    def _put_blob(self, port: int) -> Attack:
        return Attack(
            port=port,
            method="PUT",
            path=f"/ACCOUNT/foreign/WORD?{self._sas()}",
            headers={"x-ms-blob-type": "BlockBlob"},
            body="WORD=",
            happened=lambda word: self.blobs.get_blob_client("foreign", word).exists(),
        )

    def _dropped(self, folder: str) -> dict[str, Any]:
        """Return the event of a file in a folder, which makes the service look at the folder soon."""
        return {
            "id": str(uuid.uuid4()),
            "eventType": "Microsoft.Storage.BlobCreated",
            "subject": f"/blobServices/default/containers/data/blobs/{folder}/a.csv",
            "eventTime": "2026-03-01T12:00:00Z",
            "dataVersion": "",
            "data": {
                "api": "PutBlob",
                "contentLength": 6,
                "url": f"{self.stack.account.blob_endpoint}/data/{folder}/a.csv",
            },
        }

    def restore(self) -> None:
        """Take back what stays in force."""
        self.http.delete(f"{self.stack.functions_url}/api/pause").raise_for_status()
        self.http.put(f"{self.stack.event_grid_url}/faults", json={}).raise_for_status()

    def _is_kept(self, word: str) -> bool:
        """Return whether a message with the word was processed: those of poison queues are kept."""
        container = self.blobs.get_container_client("receipts")
        kept = container.list_blobs(name_starts_with=".poison/")
        return any(word.encode() in container.download_blob(blob.name).readall() for blob in kept)

    def _get(self, port: int, path: str) -> str:
        answer = self.http.get(f"http://127.0.0.1:{port}{path}", headers={"Accept": "application/json"})
        return answer.raise_for_status().text

    def _sas(self) -> str:
        expiry = datetime(2050, 1, 1, tzinfo=UTC)
        return generate_account_sas(ACCOUNT_NAME, ACCOUNT_KEY, "sco", "rwdlacup", expiry, services="bqt")


ATTACKS = ("queue", "blob", "azurite", "table", "admin", "api", "event-grid", "mlflow")
FORMS = ("queue", "table", "admin", "mlflow")


@pytest.fixture(scope="module")
def world(world_alone: World) -> World:
    return world_alone  # what works when a program of this machine sends it changes all of a stack


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    browser = launch(
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
        # Chromium's own defence, which asks people first; not every browser has one.
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    )
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


class _Page(BaseHTTPRequestHandler):
    """Another program's web page."""

    def do_GET(self) -> None:
        content = b"<!doctype html><title>Foreign</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def foreign() -> Iterator[int]:
    """Serve a foreign page on a port of this machine; return the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def target(world: World) -> Iterator[Target]:
    text = world.stack.account.connection_string
    with (
        BlobServiceClient.from_connection_string(text) as blobs,
        httpx.Client(timeout=60, trust_env=False) as http,
    ):
        blobs.create_container("foreign")
        target = Target(world.stack, blobs, http)
        yield target
        target.restore()


def new_word() -> str:
    return f"foreign{uuid.uuid4().hex[:16]}"


def changed_nothing(target: Target, attack: Attack, *words: str) -> bool:
    """Return whether an attack with these words had no effect by when the same request of a program has had its own."""
    word = new_word()
    at_once = any(attack.happened(one) for one in words)
    answer = target.http.request(attack.method, attack.url(word), headers=attack.headers, content=attack.text(word))
    assert answer.is_success, answer.text
    until(lambda: attack.happened(word), "the same request of a program", timeout=30)
    return not at_once and not any(attack.happened(one) for one in words)


def by_fetch(page: Page, attack: Attack, word: str, mode: str, host: str = "127.0.0.1") -> Any:  # noqa: ANN401 - a status or an error
    simple = mode == "no-cors"
    request = {
        "url": attack.url(word, host),
        "mode": mode,
        "method": attack.method,
        "headers": dict(TEXT if simple else attack.headers),
        "body": attack.text(word),
    }
    return page.evaluate(FETCH, request)


@pytest.mark.browser
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", NAME])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_page_of_another_origin_changes_nothing(
    page: Page, target: Target, foreign: int, name: str, host: str
) -> None:
    attack = target.attacks()[name]
    page.goto(f"http://{host}:{foreign}/")
    statuses = []
    page.on("response", lambda response: statuses.append(response.status))
    words = [new_word(), new_word()]

    answers = [by_fetch(page, attack, word, mode) for word, mode in zip(words, ("cors", "no-cors"), strict=True)]

    assert changed_nothing(target, attack, *words)
    assert "Failed to fetch" in answers[0]
    assert set(statuses) <= {403}


@pytest.mark.browser
@pytest.mark.parametrize("host", ["127.0.0.1", NAME])
@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_another_origin_changes_nothing(
    page: Page, target: Target, foreign: int, name: str, host: str
) -> None:
    attack, word = target.attacks()[name], new_word()
    page.goto(f"http://{host}:{foreign}/")
    with page.expect_navigation() as navigation:
        page.evaluate(SUBMIT, {"url": attack.url(word), "body": attack.text(word)})

    assert changed_nothing(target, attack, word)
    assert navigation.value.status == 403


@pytest.mark.browser
@pytest.mark.parametrize("name", ATTACKS)
def test_a_name_that_comes_to_lead_to_this_machine_changes_nothing(page: Page, target: Target, name: str) -> None:
    attack, word = target.attacks()[name], new_word()
    # The name leads to the attacker as the page is loaded, and to this machine from then on.
    page.route("**/attack.html", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
    page.goto(f"http://{NAME}:{attack.port}/attack.html")

    answer = by_fetch(page, attack, word, "cors", NAME)

    assert changed_nothing(target, attack, word)
    assert answer == 403
    assert page.evaluate(FETCH, {"url": f"http://{NAME}:{attack.port}/", "method": "GET"}) == 403, "nothing is read"


@pytest.mark.browser
def test_a_link_leads_to_kedjas_page_and_a_frame_does_not(page: Page, world: World, foreign: int) -> None:
    address = world.stack.functions_url
    page.goto(f"http://{NAME}:{foreign}/")
    with page.expect_response(f"{address}/") as framed:
        page.evaluate(
            "url => document.body.append(Object.assign(document.createElement('iframe'), {src: url}))", address
        )
    assert framed.value.status == 403
    page.evaluate(
        "url => document.body.append(Object.assign(document.createElement('a'), {href: url, text: 'in'}))", address
    )
    with page.expect_navigation() as navigation:
        page.get_by_text("in").click()
    assert navigation.value.ok
    assert page.evaluate(FETCH, {"url": f"{address}/api/drops", "method": "GET"}) == 200


@pytest.mark.browser
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_stacks_own_pages_go_on_working(page: Page, target: Target, host: str) -> None:
    ports, attacks = target.stack.ports, target.attacks()
    page.goto(f"http://{host}:{ports.functions}/")
    for name in ("api", "admin"):
        word = new_word()
        assert by_fetch(page, attacks[name], word, "cors", host) in (200, 202)
        until(partial(attacks[name].happened, word), f"{name} of Kedja's page")
    word = new_word()
    assert by_fetch(page, attacks["blob"], word, "cors") == 201, "Kedja's page uploads"
    assert attacks["blob"].happened(word)

    word = new_word()
    page.goto(f"http://{host}:{ports.mlflow}/")
    assert by_fetch(page, attacks["mlflow"], word, "cors", host) == 200
    assert attacks["mlflow"].happened(word)


def listening(stack: Stack) -> set[int]:
    """Return every TCP port that a process of the stack listens on."""
    found = set()
    for pid, _ in json.loads((stack.state / "processes.json").read_text()):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            found |= {each.laddr.port for each in one.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    return found


def test_no_port_of_the_stack_lies_bare(world: World) -> None:
    ports = listening(world.stack)
    assert ports >= set(world.stack.ports.named().values())
    for port in sorted(ports):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            for headers in (
                {"Host": f"{NAME}:{port}"},
                {"Origin": "http://127.0.0.1:8888"},
                {"Origin": "null"},
                {"Sec-Fetch-Site": "cross-site"},
            ):
                for method in ("GET", "POST", "PUT", "OPTIONS"):
                    assert client.request(method, "/", headers=headers).status_code == 403, (port, headers, method)
            assert client.get("/").status_code != 403, port
