"""HTTPS on the loopback address."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.contract.control_plane.calls import Answer, Call
from tests.contract.control_plane.certificate import Certificate

type Handler = Callable[[Call], Answer]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that goes away in the middle of a connection is no failure of a test.
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: what a client did not get, its test sees."""


@contextmanager
def serving(handler: Handler, certificate: Certificate) -> Iterator[str]:
    """Serve on a free port; the value is the address, without a slash at its end."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Leave the tests' output alone."""

        def _serve(self) -> None:
            url = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = Call(
                method=self.command,
                path=unquote(url.path),
                query=dict(parse_qsl(url.query)),
                body=json.loads(raw) if raw else None,
                authorized=self.headers.get("Authorization", "").startswith("Bearer "),
            )
            answer = handler(call)
            body = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        # http.server calls the methods by these names.
        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  as above

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.server)
    with _Server(("127.0.0.1", 0), Requests) as server:
        # The handshake is made by the thread of each connection, at its first byte, and not by the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
