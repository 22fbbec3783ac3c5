"""The service's HTTP API, as `docs/http-api.md` describes it."""

import json
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import httpx
from attrs import define, field, frozen

from kedja_cli.address import is_loopback
from kedja_cli.errors import CommandError, Exit, ServiceUnavailable
from kedja_cli.json_text import Json
from kedja_cli.service.reconnect import ReconnectBackoff
from kedja_cli.service.sign_in import token

_TIMEOUT = httpx.Timeout(60, connect=10)
_ATTEMPTS = 5
_RETRYABLE = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
_MAX_RETRY_DELAY = 30.0  # seconds
_PAGE_SIZE = 100
_MAX_PAGE_SIZE = 1000
_CHECK_ADDRESS = "Is this the address of Kedja? See --url (KEDJA_URL)."
_EXIT_CODES: Mapping[int, Exit] = {
    httpx.codes.UNAUTHORIZED: Exit.NOT_ALLOWED,
    httpx.codes.FORBIDDEN: Exit.NOT_ALLOWED,
    httpx.codes.NOT_FOUND: Exit.NOT_FOUND,
}


@frozen
class LiveEvent:
    """One server-sent event. `id` is the position from which reading can continue."""

    name: str
    id: str | None
    data: Any


@define
class Api:
    """The HTTP API at `url`. `key` is an API key of Kedja's; `notice` is called with messages for people."""

    url: str
    key: str | None = field(default=None, repr=False)
    notice: Callable[[str], None] = lambda _: None
    has_answered: bool = field(default=False, init=False)
    _http: httpx.Client | None = field(default=None, init=False, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this machine."""
        return is_loopback(self.url)

    @property
    def _client(self) -> httpx.Client:
        if self._http is None:
            # No proxy for requests to this machine, whatever the environment says.
            self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT, trust_env=not self.is_local)
        return self._http

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """Send a GET request; return the JSON of the response.

        Raises:
            CommandError: As `request` does, or if the response is not JSON.
        """
        return parse_json(self.request("GET", path, query=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Any:  # noqa: ANN401 - JSON
        """Send a POST request; return the JSON of the response.

        Raises:
            CommandError: As `get` does.
        """
        return parse_json(self.request("POST", path, body=body, query=query))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Send a PUT request; return the JSON of the response.

        Raises:
            CommandError: As `get` does.
        """
        return parse_json(self.request("PUT", path, body=body))

    def delete(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        """Send a DELETE request; return the JSON of the response, or {} if it has no content.

        Raises:
            CommandError: As `get` does.
        """
        response = self.request("DELETE", path, query=query)
        return parse_json(response) if response.content else {}

    def items(self, path: str, limit: int, **query: object) -> Iterator[Json]:
        """Read a list page by page; yield at most `limit` items.

        Raises:
            CommandError: As `get` does.
        """
        after: str | None = None
        while limit > 0:
            page = self.get(path, **query, limit=min(limit, _PAGE_SIZE), after=after)
            yield from page["items"][:limit]
            limit -= len(page["items"])
            after = page.get("next")
            if after is None:
                return

    def all_pages(self, path: str) -> Json:
        """Read all pages of a list; return the first page with the items of all pages.

        Raises:
            CommandError: As `get` does.
        """
        first: Json = self.get(path, limit=_MAX_PAGE_SIZE)
        items, after = list(first["items"]), first.get("next")
        while after is not None:
            page = self.get(path, limit=_MAX_PAGE_SIZE, after=after)
            items += page["items"]
            after = page.get("next")
        return {**first, "items": items}

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Container[int] = (httpx.codes.NOT_MODIFIED,),
    ) -> httpx.Response:
        """Send a request, again if the service is busy; return a response that succeeded or has a status in `accept`.

        Raises:
            CommandError: If the request failed, with the text of the response's problem.
            ServiceUnavailable: If the service does not answer, or remains busy.
        """
        params = {name: _query_value(value) for name, value in (query or {}).items() if value is not None}
        sent = {**self._identity(), **(headers or {})}
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())  # so that a repeated request has no second effect
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                response = self._client.request(method, path, json=body, params=params, headers=sent)
            except httpx.TransportError as error:
                if last or isinstance(error, httpx.ConnectError):
                    raise self._unreachable(error) from error
            else:
                self.has_answered = True
                if response.is_success or response.status_code in accept:
                    return response
                if last or response.status_code not in _RETRYABLE:
                    raise error_from_response(response)
                time.sleep(_retry_delay(response, attempt))
        raise AssertionError  # the last attempt has returned or raised

    def live(self, path: str, after: str | None = None, **query: object) -> Iterator[LiveEvent]:
        """Yield server-sent events without end. A response ends after 20 s; the next request continues there.

        Raises:
            CommandError: As `request` does; if the service stops answering, only after ten minutes.
        """
        retry, backoff = 1.0, ReconnectBackoff()
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            try:
                response = self.request("GET", path, query=query, headers=headers)
            except ServiceUnavailable as error:
                time.sleep(self.reconnect_delay(backoff, error))
                continue
            backoff.reset()
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise not_kedja_error(response)
            for event in _events(response.text):
                if event.name == "retry":
                    retry = float(event.data) / 1000
                    continue
                after = event.id or after
                yield event
            time.sleep(retry)

    def reconnect_delay(self, backoff: ReconnectBackoff, error: ServiceUnavailable) -> float:
        """Return the seconds to wait before the next request.

        Raises:
            ServiceUnavailable: `error`, if the service has never answered or the outage lasts too long.
        """
        if not self.has_answered:
            raise error
        if backoff.is_idle:
            self.notice(f"{error} Trying again until it answers.")
        return backoff.next_delay(error)

    def _identity(self) -> dict[str, str]:
        if self.key:
            return {"X-Kedja-Key": self.key}
        return {} if self.is_local else {"Authorization": f"Bearer {token(self.url)}"}

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnavailable:
        hint = (
            "Is it running? Start it with `kedja up`."
            if self.is_local
            else "Check --url (KEDJA_URL) and the network; `kedja doctor` checks more."
        )
        return ServiceUnavailable(f"Kedja does not answer at {self.url}: {error or type(error).__name__}.", hint)


def parse_json(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a response.

    Raises:
        CommandError: If the response is not JSON, so not from Kedja.
    """
    try:
        return response.json()
    except ValueError as error:
        raise not_kedja_error(response) from error


def not_kedja_error(response: httpx.Response) -> CommandError:
    """Return the error that a response is not from Kedja."""
    kind = response.headers.get("Content-Type", "").partition(";")[0] or "an unknown type"
    asked = response.request
    return CommandError(f"{asked.method} {asked.url.copy_with(query=None)} was answered with {kind}.", _CHECK_ADDRESS)


def error_from_response(response: httpx.Response) -> CommandError:
    """Return the error that a response reports (RFC 9457)."""
    code = _EXIT_CODES.get(
        response.status_code, Exit.FAILED
    )  # not httpx.codes(…): gateways have statuses of their own, such as 520
    kind = ServiceUnavailable if response.status_code in _RETRYABLE else CommandError
    try:
        problem = response.json()
        message = problem.get("detail") or problem["title"]
    except (ValueError, KeyError, AttributeError):
        message = (
            f"{response.request.method} {response.request.url.path}: {response.status_code} {response.reason_phrase}"
        )
        between = (
            response.status_code == httpx.codes.BAD_GATEWAY
        )  # from a gateway in front of the service, during a restart
        return (ServiceUnavailable if between else kind)(message, _CHECK_ADDRESS, code=code)
    details = [_format_problem(one) for one in problem.get("problems") or ()]
    return kind(message, problem.get("what_to_do"), code=code, details=details if len(details) > 1 else ())


def _format_problem(problem: Json) -> str:
    place = f"line {problem['line']}, column {problem['column']}: " if problem.get("line") else ""
    return f"{place}{problem['key']}: {problem['message']}"


def _query_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _retry_delay(response: httpx.Response, attempt: int) -> float:
    try:
        asked = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        asked = 0.5 * 2**attempt
    return min(asked, _MAX_RETRY_DELAY)


def _events(text: str) -> Iterator[LiveEvent]:
    """Parse server-sent events (https://html.spec.whatwg.org/#event-stream-interpretation).

    A `retry` field is yielded as an event of that name.
    """
    name, identity, data = "message", None, list[str]()
    for line in [*text.splitlines(), ""]:
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match key:
            case "" if line == "":
                if data:
                    yield LiveEvent(name, identity, json.loads("\n".join(data)))
                name, identity, data = "message", None, []
            case "event":
                name = value
            case "id":
                identity = value
            case "data":
                data.append(value)
            case "retry":
                yield LiveEvent("retry", None, float(value))
            case _:
                pass  # a comment or an unknown field
