"""A client of blob storage that keeps connections and retries requests.

Uploads of many small files take a quarter of the processor time that Azure's client takes (measured by
benchmarks/drop.py), since a SAS needs no signature for each request.
"""

from collections.abc import Mapping
from typing import IO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from attrs import define, field
from urllib3.exceptions import HTTPError

from kedja_cli.errors import CommandError, Exit

_VERSION = "2023-11-03"
"""Of the Blob service's API: https://learn.microsoft.com/rest/api/storageservices/versioning-for-the-azure-storage-services"""
_TIMEOUT = urllib3.Timeout(connect=20, read=120)  # seconds
_RETRY = urllib3.Retry(
    total=6,
    redirect=False,
    status_forcelist=(408, 429, 500, 502, 503, 504),
    allowed_methods=None,  # every request may be repeated: a blob or block is written entirely or not at all
    backoff_factor=0.5,
    backoff_max=30,
    backoff_jitter=0.5,
    raise_on_status=False,
)
_FAILED = 400
_FORBIDDEN = (401, 403)


class StorageRequestFailed(CommandError):
    """Storage refused a request. `reason` is its error code, such as InvalidBlockList."""

    def __init__(self, name: str, reason: str, status: int) -> None:
        expired = status in _FORBIDDEN
        super().__init__(
            f"{name}: storage refused the request: {reason}.",
            "The granted address may have expired. Run the same command again: it continues where it stopped."
            if expired
            else None,
            code=Exit.NOT_ALLOWED if expired else Exit.FAILED,
        )
        self.reason = reason
        self.status = status


@define
class StorageClient:
    """Connections to one storage account, for as many threads as `parallel`."""

    parallel: int
    _pools: dict[str, urllib3.PoolManager] = field(factory=dict, init=False)

    def send(
        self,
        what: str,
        method: str,
        url: str,
        *,
        body: bytes | IO[bytes] | None = None,
        headers: Mapping[str, str],
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request about `what`, which errors name. With `stream`, the content of the response is not read yet.

        Raises:
            StorageRequestFailed: If storage refuses the request.
            CommandError: If storage does not answer.
        """
        sent = {"x-ms-version": _VERSION, **headers}
        try:
            response = self._pool(url).request(
                method, url, body=body, headers=sent, timeout=_TIMEOUT, retries=_RETRY, preload_content=not stream
            )
        except HTTPError as error:
            raise unreachable_error(what, url, error) from error
        if response.status >= _FAILED:
            reason = response.headers.get("x-ms-error-code") or f"{response.status} {response.reason}"
            response.release_conn()
            raise StorageRequestFailed(what, reason, response.status)
        return response

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        """Return the connection pool for a URL: through a proxy if the environment names one for its host."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        direct = host in ("127.0.0.1", "localhost") or proxy_bypass(host)
        proxy = "" if direct else getproxies().get(parts.scheme, "")
        if proxy not in self._pools:
            kept = self.parallel
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, maxsize=kept) if proxy else urllib3.PoolManager(maxsize=kept)
            )
        return self._pools[proxy]


def unreachable_error(what: str, url: str, error: HTTPError) -> CommandError:
    """Return the error that storage does not answer, without the SAS that the text of `error` may contain."""
    reason = getattr(error, "reason", None) or error
    return CommandError(
        f"{what}: storage does not answer at {urlsplit(url).netloc} ({type(reason).__name__}).",
        "Run the same command again: it continues where it stopped.",
    )
