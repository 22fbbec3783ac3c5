"""A webhook that keeps the CloudEvents it is sent, as a subscriber of Kedja's would."""

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
    """The events that came, in the order they came in, each id once."""

    url: str
    _events: dict[str, Mapping[str, Any]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Listen on a free port of the loopback interface for as long as the context."""
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
        with self._lock:
            return list(self._events.values())

    def keep(self, events: list[Mapping[str, Any]]) -> None:
        with self._lock:
            for event in events:
                self._events.setdefault(str(event["id"]), event)

    def types(self, experiment: str) -> list[str]:
        """Return the types of the events about an experiment, in the order they came in."""
        return [str(event["type"]) for event in self.events if event["data"].get("experiment") == experiment]

    def wait_for(self, kind: str, experiment: str, *, timeout: float) -> list[str]:
        """Wait until an event of this type came for the experiment, at most `timeout` seconds; return all types."""
        deadline = time.monotonic() + timeout
        while kind not in self.types(experiment) and time.monotonic() < deadline:
            time.sleep(POLL)
        return self.types(experiment)


class _Handler(BaseHTTPRequestHandler):
    """Answers the handshake of CloudEvents webhooks, and takes events."""

    receivers: dict[int, WebhookReceiver] = {}  # noqa: RUF012 - one server class, as http.server wants it

    def parse_request(self) -> bool:
        """Read a request's head, and let it in only if no foreign web page sent it."""
        if not super().parse_request():
            return False
        reason = refusal(self.command, self.headers.items(), pages=())
        if reason is not None:
            self.send_error(HTTPStatus.FORBIDDEN, explain=reason)
        return reason is None

    def do_OPTIONS(self) -> None:
        """Allow whoever asks to send (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md)."""
        self.send_response(HTTPStatus.OK)
        self.send_header("WebHook-Allowed-Origin", self.headers.get("WebHook-Request-Origin", "*"))
        self.send_header("WebHook-Allowed-Rate", "*")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        address: tuple[str, int] = self.server.server_address  # type: ignore[assignment]  # an AF_INET server
        self.receivers[address[1]].keep(body if isinstance(body, list) else [body])
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""
