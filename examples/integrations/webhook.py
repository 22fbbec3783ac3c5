"""A webhook that acts on registered models: `python webhook.py 8000`, then subscribe its address (docs/integrations.md).

It needs nothing but Python. It listens on this machine alone unless an address is given: `python webhook.py 8000 0.0.0.0`.
Set WEBHOOK_SECRET, which senders give as `?key=...`; without it everyone who reaches the address is let in, so another
address than this machine's is refused, and it must not be put behind a proxy either. In Azure, put it behind HTTPS.
"""

import hmac
import ipaddress
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SECRET = os.environ.get("WEBHOOK_SECRET", "")
SEEN = set()  # ids that were acted on: a repeat has the same id. Keep them where they outlive the process.


def act(event):
    """Do what a registered model means to you."""
    model = event["data"]
    print(f"{model['model']} version {model['version']}: {model['manifest']}", flush=True)


class Webhook(BaseHTTPRequestHandler):
    def do_OPTIONS(self):
        """Let Event Grid in, the handshake of CloudEvents: it asks once, when the subscription is made."""
        if not self.is_known():
            return self.answer(401)
        origin = self.headers.get("WebHook-Request-Origin", "")
        return self.answer(200, {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.is_known():
            return self.answer(401)
        events = json.loads(body)
        for event in events if isinstance(events, list) else [events]:
            if event["type"] == "Kedja.ModelRegistered" and event["id"] not in SEEN:
                act(event)
                SEEN.add(event["id"])
        return self.answer(200)  # anything else is sent again, for a day

    def is_known(self):
        key = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
        return hmac.compare_digest(key.encode(), SECRET.encode())

    def answer(self, status, headers={}):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def check(host):
    """End the program where it would let in everyone on the network."""
    if not SECRET and not is_local(host):
        sys.exit(f"WEBHOOK_SECRET is not set, and other machines reach {host}: set it, or listen on 127.0.0.1.")


def is_local(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    check(host)
    server = ThreadingHTTPServer((host, int(sys.argv[1])), Webhook)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
