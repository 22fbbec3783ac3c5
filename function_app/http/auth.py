"""Access: the one place where a route says what its caller needs, and where it gets the service from."""

import functools
from collections.abc import Callable
from typing import Annotated

from attrs import frozen
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from function_app.http.api_keys import ApiKeys
from function_app.http.callers import KEY_PREFIX, Caller, Callers, Role
from function_app.http.long_poll import JournalWatch
from function_app.operations.service import Kedja

_BEARER = HTTPBearer(auto_error=False, description="A key of Kedja's, or a token of Entra ID where Easy Auth is on.")
_KEY = APIKeyHeader(name="X-Kedja-Key", auto_error=False, description="A key of Kedja's: kedja_<id>_<secret>.")


class Access:
    """Who may come in, and to what. `app.state.access` holds the app's."""

    def __init__(self, kedja: Callable[[], Kedja], callers: Callers, event_origins: tuple[str, ...]) -> None:
        self.kedja = kedja
        self.callers = callers
        self.event_origins = event_origins

    @functools.cached_property
    def keys(self) -> ApiKeys:
        """The keys, with those that were looked up lately."""
        return ApiKeys(blobs=self.kedja().blobs)

    @functools.cached_property
    def watch(self) -> JournalWatch:
        """The journal, for all who wait for its next line."""
        return JournalWatch(self.kedja().receipts.journal)

    def _find(self, key: str) -> Caller | None:
        # Whoever sends no key needs no look at storage, so the keys are made only here.
        return self.keys.find(key)

    def caller(self, request: Request, *, key_in_query: bool = False) -> Caller:
        """Return who sent a request. Raise Unauthenticated where nobody can be told."""
        key = request.headers.get("X-Kedja-Key") or _bearer_key(request.headers.get("Authorization", ""))
        if key is None and key_in_query:
            key = request.query_params.get("key")
        return self.callers.identify(request.headers, key, self._find, path=request.scope["path"])


def access_of(request: Request) -> Access:
    """Return the access of the app that a request came to."""
    access: Access = request.app.state.access
    return access


@frozen
class Needs:
    """A dependency: a caller with the role, who sees everything where `everything` is set.

    `key_in_query` takes the key from `?key=` too, for webhooks that cannot set a header.
    """

    role: Role
    everything: bool = False
    key_in_query: bool = False

    def __call__(
        self,
        request: Request,
        _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        _header: Annotated[str | None, Security(_KEY)],
    ) -> Caller:
        """Return the caller. Raise Unauthenticated or RoleMissing where they may not go on.

        What FastAPI finds in the headers is not used: it is asked for so that OpenAPI tells of it.
        """
        caller = access_of(request).caller(request, key_in_query=self.key_in_query)
        caller.check(self.role, everything=self.everything)
        return caller


def connected(request: Request) -> Kedja:
    """Return the service, connected when the first request needs it."""
    return access_of(request).kedja()


def _bearer_key(authorization: str) -> str | None:
    """Return the key in a header; any other token there is Easy Auth's business."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token.startswith(KEY_PREFIX) else None


DataCaller = Annotated[Caller, Depends(Needs(Role.DATA))]
"""Anyone with a role. What they see is up to the route."""

CodeCaller = Annotated[Caller, Depends(Needs(Role.CODE))]
"""Someone who may decide what code runs, and which model is used, of the experiments that they see."""

Overseer = Annotated[Caller, Depends(Needs(Role.DATA, everything=True))]
"""Anyone who sees every experiment."""

Operator = Annotated[Caller, Depends(Needs(Role.CODE, everything=True))]
"""Someone who may change what the whole service does."""

Service = Annotated[Kedja, Depends(connected)]
"""The service. Named after the caller in a route, so that nobody unknown makes it connect."""

READS_AT_ONCE = 16
"""How many things a route that lists them asks storage or the training service about at the same time."""
