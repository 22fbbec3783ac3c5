"""The door: the HTTP API as the Functions host indexes it, which costs nothing until the first request."""

import functools
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from function_app.http.callers import Callers
from function_app.settings import Settings

if TYPE_CHECKING:
    from function_app.operations.service import Kedja

type Message = MutableMapping[str, Any]


class HttpDoor:
    """An ASGI app that makes the API when it is first asked for something.

    Importing FastAPI takes three times as long as all else that indexing needs, and an app that was started by a queue
    may never need it. Who may call is checked at once: an app that would let everyone in does not start.
    """

    def __init__(self, kedja: "Callable[[], Kedja]", environ: Mapping[str, str]) -> None:
        """Take the service and the environment.

        Raises:
            InvalidSettings: where settings are wrong, or would leave the door open.
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
        """Answer a request. There is nothing to do when a server starts or stops."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        await self._api(scope, receive, send)

    @functools.cached_property
    def _api(self) -> Callable[..., Awaitable[None]]:
        from function_app.http.api import create_api  # noqa: PLC0415 - the door is here to put this off

        return create_api(self._kedja, self._environ)
