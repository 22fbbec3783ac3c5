"""The web page: the static files of `function_app/http/web`. Their data comes from the HTTP API."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from function_app.azure.connections import storage_origin

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent / "web"
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}


class PageFiles(StaticFiles):
    """The files of the page below /ui/, of the types that a browser loads.

    An ETag is a hash of the content, since a deployment may give all its files the same time.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the path and status of a file, or None for the status if the page has no such file."""
        return super().lookup_path(path) if Path(path).suffix in _TYPES else ("", None)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return a file with its headers, or 304 if the browser has it already."""
        path = Path(full_path)
        headers = {"ETag": _etag(path), "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
        response = FileResponse(path, status_code, headers, _TYPES[path.suffix], stat_result=stat_result)
        del response.headers["last-modified"]
        unchanged = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if unchanged else response


FILES = PageFiles(directory=FOLDER)


@router.get("/")
async def get_page(request: Request) -> Response:
    """Return the page. Anyone may load it: it contains no data, and shows only what the caller may see."""
    response = await FILES.get_response("index.html", request.scope)
    response.headers["Content-Security-Policy"] = request.app.state.page_policy
    return response


@functools.cache
def _etag(path: Path) -> str:
    """Return the ETag of a file, which only a release changes."""
    return f'"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"'


def content_policy(environ: Mapping[str, str]) -> str:
    """Return the page's content security policy (https://www.w3.org/TR/CSP3/).

    It allows the page's own files, the API, and the storage account for uploads.
    """
    reached = " ".join(filter(None, ("'self'", storage_origin(environ))))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {reached}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
