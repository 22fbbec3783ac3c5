"""The guard of local ports: one table of cases for both of its implementations, and each server behind it."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn
from pytest_mock import MockerFixture
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message
from uvicorn.server import ServerState

from local_azure.event_grid import server
from local_azure.functions_host import host
from local_azure.http_server import config_for
from local_azure.port_guard import GuardedProtocol, PortGuard, page_origins, refusal
from local_azure.stack import webhook_receiver
from local_azure.stack.stack import Ports, Stack
from local_azure.storage import azurite, storage_proxy
from local_azure.training import mlflow_server
from tests.unit.http_client import Client

GUARD = Path(azurite.__file__).with_name("azurite_guard.cjs")
TABLE = json.loads(Path(__file__).with_name("port_guard_cases.json").read_text())
PAGES = TABLE["pages"]
PAGE, FOREIGN = PAGES[0], "http://127.0.0.1:8888"


class Case(NamedTuple):
    what: str
    served: bool
    method: str
    headers: list[tuple[str, str]]


CASES = [Case(**case) for case in TABLE["cases"]]


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_a_request_is_served_or_refused_by_where_it_comes_from(case: Case) -> None:
    assert (refusal(case.method, case.headers, PAGES) is None) is case.served


def node(script: str, *arguments: str) -> Any:  # noqa: ANN401 - JSON
    ended = subprocess.run(["node", "-e", script, str(GUARD), *arguments], capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def test_azurites_process_decides_the_same() -> None:
    script = """
        const {refusal} = require(process.argv[1]);
        const {pages, cases} = JSON.parse(process.argv[2]);
        const answers = cases.map(({method, headers}) => refusal(method, headers.flat(), pages));
        console.log(JSON.stringify(answers));
    """
    answers = node(script, json.dumps(TABLE))
    assert {case.what: answer is None for case, answer in zip(CASES, answers, strict=True)} == {
        case.what: case.served for case in CASES
    }


@pytest.mark.parametrize("case", [case for case in CASES if not case.served][:3], ids=lambda case: case.what)
def test_a_refusal_names_what_is_wrong(case: Case) -> None:
    reason = refusal(case.method, case.headers, PAGES)
    assert reason is not None
    assert repr(case.headers[0][1]) in reason
    assert "127.0.0.1 or localhost" in reason


def test_a_refusal_is_short_whatever_was_sent() -> None:
    reason = refusal("POST", [("Host", "127.0.0.1"), *[("Origin", "\x1b" * 10_000)] * 10_000], PAGES)
    assert reason is not None
    assert len(reason) < 2000
    assert "\x1b" not in reason


def test_every_way_to_serve_in_azurites_process_is_guarded() -> None:
    script = """
        const http = require("node:http"), https = require("node:https");
        require(process.argv[1]).guard(["http://127.0.0.1:7071"]);
        const said = [];
        for (const server of [http.createServer(), new http.Server(), https.createServer()]) {
            for (const event of ["request", "checkContinue", "checkExpectation"]) {
                for (const origin of ["http://evil.example", "http://127.0.0.1:7071"]) {
                    const response = {writeHead(status) { said.push(status); }, end() {}};
                    server.removeAllListeners(event);
                    server.on(event, () => said.push("served"));
                    const rawHeaders = ["Host", "127.0.0.1", "Origin", origin];
                    server.emit(event, {method: "POST", rawHeaders}, response);
                }
            }
            for (const event of ["upgrade", "connect"]) {
                server.on(event, () => said.push("served"));
                server.emit(event, {}, {destroy() { said.push("closed"); }});
            }
        }
        console.log(JSON.stringify(said));
    """
    assert node(script) == [*[403, "served"] * 3, "closed", "closed"] * 3


def test_azurite_reads_its_own_options(tmp_path: Path) -> None:
    program = tmp_path / "azurite"
    program.write_text(
        "console.log(JSON.stringify([require('path').basename(process.argv[1]), process.argv.slice(2)]))"
    )
    words = ["node", str(GUARD), ",".join(PAGES), str(program), "--silent", "--blobPort", "0"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == ["azurite", ["--silent", "--blobPort", "0"]]


async def answer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
    await PlainTextResponse("served")(scope, receive, send)


def test_the_middleware_answers_403_and_closes_the_connection() -> None:
    client = Client(PortGuard(answer, PAGES))
    refused = client.post("/", headers={"Origin": FOREIGN})
    assert (refused.status_code, refused.headers["connection"]) == (403, "close")
    assert "access-control-allow-origin" not in refused.headers
    assert FOREIGN in refused.text
    assert client.post("/", headers={"Origin": PAGE}).text == "served"


def test_no_websocket_is_opened() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("Nothing is read of it.")

    asyncio.run(PortGuard(answer)({"type": "websocket", "headers": [(b"host", b"localhost")]}, receive, send))
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize(
    ("port", "origins"),
    [(7071, {"http://127.0.0.1:7071", "http://localhost:7071"}), (80, {"http://127.0.0.1", "http://localhost"})],
)
def test_a_pages_origin_is_what_browsers_send(port: int, origins: set[str]) -> None:
    assert page_origins(port) == origins


# Each server.


def is_guarded(app: ASGIApp, *, page: str | None) -> bool:
    """Return whether foreign pages and hosts are refused before the app, and `page` is not."""
    ask = Client(app).request
    foreign = [
        ask("POST", "/x", headers={"Origin": FOREIGN}),
        ask("PUT", "/x", headers={"Host": "evil.example:10000"}),
        ask("GET", "/x", headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    own = [ask("PUT", "/x")] + ([ask("PUT", "/x", headers={"Origin": page})] if page else [])
    return {one.status_code for one in foreign} == {403} and 403 not in {one.status_code for one in own}


@pytest.fixture
def served(mocker: MockerFixture) -> Callable[[], ASGIApp]:
    """Let nothing listen; return what gives the app that uvicorn was to serve."""
    listener = mocker.MagicMock()
    listener.getsockname.return_value = ("127.0.0.1", 7071)
    for module in (server, storage_proxy):
        mocker.patch.object(module, "listen", return_value=listener)
    run = mocker.patch.object(uvicorn.Server, "run", autospec=True)

    def app() -> ASGIApp:
        served: ASGIApp = run.call_args.args[0].config.app
        return served

    return app


def test_whatever_is_served_is_guarded() -> None:
    assert is_guarded(config_for(answer).app, page=None)  # type: ignore[arg-type] # uvicorn takes import strings too
    assert is_guarded(config_for(answer, PAGES).app, page=PAGE)  # type: ignore[arg-type] # as above


def test_event_grid_serves_no_page(served: Callable[[], ASGIApp], mocker: MockerFixture) -> None:
    mocker.patch.object(server, "make_parts")
    mocker.patch.object(server, "create_app", return_value=answer)
    assert server.main(["--port", "0"]) == 0
    assert is_guarded(served(), page=None)
    assert not is_guarded(served(), page=PAGE)


def test_the_storage_proxy_serves_the_pages_that_it_is_told(
    served: Callable[[], ASGIApp], mocker: MockerFixture
) -> None:
    mocker.patch.object(storage_proxy, "create_app", return_value=answer)
    assert storage_proxy.main(["--port", "0"]) == 0
    assert is_guarded(served(), page=None)
    assert storage_proxy.main(["--page", PAGES[0], "--page", PAGES[1]]) == 0
    for page in PAGES:
        assert is_guarded(served(), page=page)


def test_the_functions_host_serves_its_own_page(mocker: MockerFixture) -> None:
    class Stop(Exception):
        """Ends the host as it would begin to serve."""

    started = mocker.patch.object(host, "_Server", side_effect=Stop)
    listener = mocker.MagicMock()
    listener.getsockname.return_value = ("127.0.0.1", 7071)
    functions_host = mocker.MagicMock(app=lambda: answer)
    with pytest.raises(Stop):
        host._serve(functions_host, listener, lambda: None, mocker.MagicMock(), 5).send(None)
    assert is_guarded(started.call_args.args[0].app, page=PAGE)


def test_mlflow_serves_its_own_page(mocker: MockerFixture, tmp_path: Path) -> None:
    words = mlflow_server.command(tmp_path, 5000)
    options = words[words.index("--uvicorn-opts") + 1].split()
    config = uvicorn.Config(answer, http=options[options.index("--http") + 1], log_config=None)
    config.load()
    assert config.http_protocol_class is GuardedProtocol

    transport = mocker.MagicMock()
    transport.get_extra_info.side_effect = {"sockname": ("127.0.0.1", 5000), "peername": ("127.0.0.1", 9)}.get
    protocol = GuardedProtocol(config, ServerState(), {}, mocker.MagicMock())
    protocol.connection_made(transport)
    assert is_guarded(protocol.app, page="http://127.0.0.1:5000")
    assert not is_guarded(protocol.app, page=PAGE)


def test_mlflow_finds_the_guard_wherever_it_is_started() -> None:
    folder = str(Path(mlflow_server.__file__).parents[2])
    assert mlflow_server.environment("x", {})["PYTHONPATH"] == folder
    assert mlflow_server.environment("x", {"PYTHONPATH": "/other"})["PYTHONPATH"] == f"{folder}:/other"


def test_the_stack_tells_storage_which_pages_upload(tmp_path: Path) -> None:
    stack = Stack(root=tmp_path, state=tmp_path, ports=Ports(functions=7000), training_python=tmp_path)
    commands = {part.name: list(part.command) for part in stack.storage_processes()}
    pages = ["http://127.0.0.1:7000", "http://localhost:7000"]
    assert [
        commands["storage-proxy"][at + 1] for at, word in enumerate(commands["storage-proxy"]) if word == "--page"
    ] == pages
    assert commands["azurite"][:3] == ["node", str(GUARD), ",".join(pages)]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Host: 127.0.0.1", 200),
        ("Host: evil.example", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://evil.example", 403),
        ("Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site", 403),
    ],
)
def test_the_webhook_takes_no_events_of_a_page(headers: str, status: int, mocker: MockerFixture) -> None:
    receiver = webhook_receiver.WebhookReceiver("http://127.0.0.1:1/events")
    mocker.patch.dict(webhook_receiver._Handler.receivers, {1: receiver})
    event = json.dumps({"id": "1", "type": "A", "data": {"experiment": "digits"}})
    request = f"POST /events HTTP/1.1\r\n{headers}\r\nContent-Length: {len(event)}\r\n\r\n{event}"
    output = BytesIO()
    connection = SimpleNamespace(makefile=lambda *_: BytesIO(request.encode()), sendall=output.write)
    webhook_receiver._Handler(connection, ("127.0.0.1", 9), SimpleNamespace(server_address=("127.0.0.1", 1)))  # type: ignore[arg-type]
    assert output.getvalue().startswith(f"HTTP/1.0 {status} ".encode())
    assert len(receiver.events) == (status == 200)


def test_a_client_with_another_host_is_told_what_to_do() -> None:
    refused = Client(PortGuard(answer)).get("/", headers={"Host": "host.docker.internal:10000"})
    assert refused.status_code == httpx.codes.FORBIDDEN
    assert refused.text == (
        "The request is for the host 'host.docker.internal:10000'. Only this machine's own names are served: "
        "use 127.0.0.1 or localhost in the address.\n"
    )
