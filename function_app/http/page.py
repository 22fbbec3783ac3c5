"""The web page: the static files of `function_app/http/web`. Their data comes from the HTTP API."""

import functools
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from attrs import frozen
from fastapi import APIRouter, Header, Request, Response

from function_app.azure.connections import storage_origin
from function_app.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent / "web"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@frozen
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


@functools.cache
def page_files() -> dict[str, PageFile]:
    """Return the files of the page by their paths below /ui/. They are read once: only a release changes them."""
    return {path.relative_to(FOLDER).as_posix(): _read(path) for path in FOLDER.rglob("*") if path.suffix in _TYPES}


@router.get("/")
def get_page(request: Request, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Return the page. Anyone may load it: it contains no data, and shows only what the caller may see."""
    return _answer(
        page_files()["index.html"], if_none_match, {"Content-Security-Policy": request.app.state.page_policy}
    )


@router.get("/ui/{path:path}")
def get_page_file(path: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Return a file of the page.

    Raises:
        NotFound: the page has no such file.
    """
    file = page_files().get(path)
    if file is None:
        raise NotFound(f"The page has no file {path!r}.")
    return _answer(file, if_none_match, {})


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    return PageFile(content, _TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _answer(file: PageFile, if_none_match: str | None, headers: dict[str, str]) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer", **headers}
    if if_none_match is not None and file.etag in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def content_policy(environ: Mapping[str, str]) -> str:
    """Return the page's content security policy (https://www.w3.org/TR/CSP3/).

    It allows the page's own files, the API, and the storage account for uploads.
    """
    reached = " ".join(filter(None, ("'self'", storage_origin(environ))))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {reached}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
