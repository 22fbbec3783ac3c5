"""A webhook that collects the CloudEvents that Kedja publishes, as a subscriber would."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from attrs import define, field

from local_azure.port_guard import refusal

POLL = 0.1  # seconds


@define
class WebhookReceiver:
    """The received events, in order of arrival, each id once."""

    url: str
    _events: dict[str, Mapping[str, Any]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Listen on a free port of the loopback interface until the context ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        receiver = cls(f"http://127.0.0.1:{server.server_port}/events")
        _Handler.receivers[server.server_port] = receiver
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            del _Handler.receivers[server.server_port]

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The received events."""
        with self._lock:
            return list(self._events.values())

    def keep(self, events: list[Mapping[str, Any]]) -> None:
        """Add events whose ids are new."""
        with self._lock:
            for event in events:
                self._events.setdefault(str(event["id"]), event)

    def types(self, experiment: str) -> list[str]:
        """Return the types of the events about an experiment, in order of arrival."""
        return [str(event["type"]) for event in self.events if event["data"].get("experiment") == experiment]

    def wait_for(self, kind: str, experiment: str, *, timeout: float) -> list[str]:
        """Wait up to `timeout` seconds for an event of this type about the experiment; return all types so far."""
        deadline = time.monotonic() + timeout
        while kind not in self.types(experiment) and time.monotonic() < deadline:
            time.sleep(POLL)
        return self.types(experiment)


class _Handler(BaseHTTPRequestHandler):
    """Answers the handshake of CloudEvents webhooks, and receives events."""

    receivers: dict[int, WebhookReceiver] = {}  # noqa: RUF012 - http.server creates the handlers

    def parse_request(self) -> bool:
        """Read a request's head; refuse it if a foreign web page sent it."""
        if not super().parse_request():
            return False
        reason = refusal(self.command, self.headers.items(), pages=())
        if reason is not None:
            self.send_error(HTTPStatus.FORBIDDEN, explain=reason)
        return reason is None

    def do_OPTIONS(self) -> None:
        """Allow any origin to send (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md)."""
        self.send_response(HTTPStatus.OK)
        self.send_header("WebHook-Allowed-Origin", self.headers.get("WebHook-Request-Origin", "*"))
        self.send_header("WebHook-Allowed-Rate", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """Receive an event, or an array of them."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        address: tuple[str, int] = self.server.server_address  # type: ignore[assignment]  # an AF_INET server
        self.receivers[address[1]].keep(body if isinstance(body, list) else [body])
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""
