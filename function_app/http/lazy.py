"""The HTTP API as the Functions host indexes it: it is imported only on the first request."""

import functools
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from function_app.http.callers import Callers
from function_app.settings import Settings

if TYPE_CHECKING:
    from function_app.operations.service import Kedja

type Message = MutableMapping[str, Any]


class LazyApi:
    """An ASGI app that creates the API on the first request.

    Importing FastAPI takes three times as long as everything else in indexing, and an app that a queue message started
    may never need it. The settings for authentication are checked at once: an app that would be open to everyone does
    not start.
    """

    def __init__(self, kedja: "Callable[[], Kedja]", environ: Mapping[str, str]) -> None:
        """Keep the service and the environment for the first request.

        Raises:
            InvalidSettings: settings are wrong, or would open the API to everyone.
        """
        Callers.read(Settings.read(environ), environ)
        self._kedja = kedja
        self._environ = environ

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Handle a request. Nothing happens when a server starts or stops."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        await self._api(scope, receive, send)

    @functools.cached_property
    def _api(self) -> Callable[..., Awaitable[None]]:
        from function_app.http.api import create_api  # noqa: PLC0415 - the purpose of this class is to defer this

        return create_api(self._kedja, self._environ)
