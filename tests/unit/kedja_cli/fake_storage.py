"""Blob storage as the command's wire reaches it: urllib3's pool, answered from memory."""

import base64
import hashlib
import io
import threading
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import IO
from urllib.parse import parse_qs, urlsplit

import urllib3
from attrs import define, field
from urllib3.exceptions import ProtocolError

NOW = "Mon, 02 Mar 2026 12:00:00 GMT"


@define
class FakeStorage:
    """Keeps blobs by path. `faults` are answered, or raised, before anything is done."""

    blobs: dict[str, bytes] = field(factory=dict)
    md5: dict[str, str] = field(factory=dict)
    blocks: dict[str, dict[str, bytes]] = field(factory=dict)
    faults: list[int | str | Exception] = field(factory=list)
    requests: list[tuple[str, str, Mapping[str, str]]] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)

    def request(
        self, method: str, url: str, *, body: bytes | IO[bytes] | None, headers: Mapping[str, str], **_: object
    ) -> urllib3.HTTPResponse:
        content = body.read() if body is not None and not isinstance(body, bytes) else body or b""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self._lock:
            self.requests.append((method, url, headers))
            if self.faults:
                fault = self.faults.pop(0)
                if isinstance(fault, Exception):
                    raise fault
                return _answer(fault if isinstance(fault, int) else 400, code=fault if isinstance(fault, str) else "")
            return self._get(parts.path, headers) if method == "GET" else self._put(parts.path, query, content, headers)

    def clear(self) -> None:
        pass

    def _get(self, path: str, headers: Mapping[str, str]) -> urllib3.HTTPResponse:
        first, last = map(int, headers["Range"].removeprefix("bytes=").split("-"))
        return _answer(206, self.blobs[path][first : last + 1])

    def _put(
        self, path: str, query: Mapping[str, str], content: bytes, headers: Mapping[str, str]
    ) -> urllib3.HTTPResponse:
        given = headers.get("Content-MD5")
        if given is not None and given != md5(content):
            return _answer(400, code="Md5Mismatch")
        match query.get("comp"):
            case "block":
                self.blocks.setdefault(path, {})[query["blockid"]] = content
                return _answer(201)
            case "blocklist":
                wanted = [str(one.text) for one in ET.fromstring(content)]  # noqa: S314 - what the command wrote
                there = self.blocks.get(path, {})
                if not set(wanted) <= there.keys():
                    return _answer(400, code="InvalidBlockList")
                self.blobs[path] = b"".join(there[one] for one in wanted)
                self.md5[path] = headers["x-ms-blob-content-md5"]
            case _:
                if headers.get("If-None-Match") == "*" and path in self.blobs:
                    return _answer(409, code="BlobAlreadyExists")
                self.blobs[path] = content
                self.md5[path] = str(given)
        return _answer(201, modified=NOW)


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def broken() -> ProtocolError:
    return ProtocolError("Connection aborted.")


def _answer(status: int, content: bytes = b"", *, code: str = "", modified: str = "") -> urllib3.HTTPResponse:
    headers = {name: value for name, value in (("x-ms-error-code", code), ("Last-Modified", modified)) if value}
    return urllib3.HTTPResponse(io.BytesIO(content), headers=headers, status=status, preload_content=False)
