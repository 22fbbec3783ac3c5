"""The service's HTTP API, as `docs/http-api.md` describes it."""

import json
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import httpx
from attrs import define, field, frozen

from kedja_cli.address import is_loopback
from kedja_cli.errors import CommandError, Exit, ServiceAway
from kedja_cli.json_text import Json
from kedja_cli.service.reconnect import Outage
from kedja_cli.service.sign_in import token

_TIMEOUT = httpx.Timeout(60, connect=10)
_ATTEMPTS = 5
_BUSY = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT})
_LONGEST_WAIT = 30.0  # seconds
_PAGE = 100
_LARGEST_PAGE = 1000
_ADDRESS = "Is this the address of Kedja? See --url (KEDJA_URL)."
_CODES: Mapping[int, Exit] = {
    httpx.codes.UNAUTHORIZED: Exit.NOT_ALLOWED,
    httpx.codes.FORBIDDEN: Exit.NOT_ALLOWED,
    httpx.codes.NOT_FOUND: Exit.NOT_FOUND,
}


@frozen
class LiveEvent:
    """One event of a live answer. `id` is where to read on."""

    name: str
    id: str | None
    data: Any


@define
class Api:
    """Asks the service. `url` is where it is, `key` one of Kedja's; `notice` is called with what people should know."""

    url: str
    key: str | None = field(default=None, repr=False)
    notice: Callable[[str], None] = lambda _: None
    has_answered: bool = field(default=False, init=False)
    _opened: httpx.Client | None = field(default=None, init=False, repr=False)

    @property
    def is_local(self) -> bool:
        return is_loopback(self.url)

    @property
    def _client(self) -> httpx.Client:
        if self._opened is None:
            # No proxy stands between a program and its own machine, whatever the environment says.
            self._opened = httpx.Client(base_url=self.url, timeout=_TIMEOUT, trust_env=not self.is_local)
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        return document(self.request("GET", path, query=query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **query: object) -> Any:  # noqa: ANN401 - JSON
        return document(self.request("POST", path, body=body, query=query))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        return document(self.request("PUT", path, body=body))

    def delete(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        answer = self.request("DELETE", path, query=query)
        return document(answer) if answer.content else {}

    def items(self, path: str, limit: int, **query: object) -> Iterator[Json]:
        """Read a list of many pages, up to `limit` of its items."""
        after: str | None = None
        while limit > 0:
            page = self.get(path, **query, limit=min(limit, _PAGE), after=after)
            yield from page["items"][:limit]
            limit -= len(page["items"])
            after = page.get("next")
            if after is None:
                return

    def whole(self, path: str) -> Json:
        """Read a list of many pages to its end; return the first page with the items of all."""
        first: Json = self.get(path, limit=_LARGEST_PAGE)
        items, after = list(first["items"]), first.get("next")
        while after is not None:
            page = self.get(path, limit=_LARGEST_PAGE, after=after)
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
        """Ask, and ask again where the service is busy for a moment. What `accept` names is returned as a success is.

        Raises:
            CommandError: for whatever is no success, with the words of the answer's problem.
            ServiceAway: where the service does not answer, or stays busy.
        """
        params = {name: _word(value) for name, value in (query or {}).items() if value is not None}
        sent = {**self._identity(), **(headers or {})}
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())  # so that asking again does nothing twice
        for attempt in range(1, _ATTEMPTS + 1):
            last = attempt == _ATTEMPTS
            try:
                answer = self._client.request(method, path, json=body, params=params, headers=sent)
            except httpx.TransportError as error:
                if last or isinstance(error, httpx.ConnectError):
                    raise self._unreachable(error) from error
            else:
                self.has_answered = True
                if answer.is_success or answer.status_code in accept:
                    return answer
                if last or answer.status_code not in _BUSY:
                    raise refusal(answer)
                time.sleep(_wait(answer, attempt))
        raise AssertionError  # the last attempt has returned or raised

    def live(self, path: str, after: str | None = None, **query: object) -> Iterator[LiveEvent]:
        """Follow a live answer for good: each request brings what is new within 20 s, and the next reads on.

        Raises:
            CommandError: as `request` does; where the service stops answering, only after ten minutes.
        """
        retry, outage = 1.0, Outage()
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            try:
                answer = self.request("GET", path, query=query, headers=headers)
            except ServiceAway as error:
                time.sleep(self.wait_out(outage, error))
                continue
            outage.over()
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise stranger(answer)
            for event in _events(answer.text):
                if event.name == "retry":
                    retry = float(event.data) / 1000
                    continue
                after = event.id or after
                yield event
            time.sleep(retry)

    def wait_out(self, outage: Outage, error: ServiceAway) -> float:
        """Return after how many seconds to ask again. Raise the error where the service has never answered."""
        if not self.has_answered:
            raise error
        if outage.is_new:
            self.notice(f"{error} Asking again until it answers.")
        return outage.pause(error)

    def _identity(self) -> dict[str, str]:
        if self.key:
            return {"X-Kedja-Key": self.key}
        return {} if self.is_local else {"Authorization": f"Bearer {token(self.url)}"}

    def _unreachable(self, error: httpx.TransportError) -> ServiceAway:
        hint = (
            "Is it running? Start it with `kedja up`."
            if self.is_local
            else "Check --url (KEDJA_URL) and the network; `kedja doctor` looks further."
        )
        return ServiceAway(f"Kedja does not answer at {self.url}: {error or type(error).__name__}.", hint)


def document(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of an answer. Raise CommandError where something else than Kedja has answered."""
    try:
        return answer.json()
    except ValueError as error:
        raise stranger(answer) from error


def stranger(answer: httpx.Response) -> CommandError:
    """Say that an answer is none of Kedja's."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0] or "something unknown"
    asked = answer.request
    return CommandError(f"{asked.method} {asked.url.copy_with(query=None)} was answered with {kind}.", _ADDRESS)


def refusal(answer: httpx.Response) -> CommandError:
    """Return the problem of an answer (RFC 9457) as an error."""
    code = _CODES.get(answer.status_code, Exit.FAILED)  # a gateway's own, such as 520, is none of httpx.codes
    kind = ServiceAway if answer.status_code in _BUSY else CommandError
    try:
        problem = answer.json()
        message = problem.get("detail") or problem["title"]
    except (ValueError, KeyError, AttributeError):
        message = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.reason_phrase}"
        between = answer.status_code == httpx.codes.BAD_GATEWAY  # what stands before the service, while it restarts
        return (ServiceAway if between else kind)(message, _ADDRESS, code=code)
    details = [_place(one) for one in problem.get("problems") or ()]
    return kind(message, problem.get("what_to_do"), code=code, details=details if len(details) > 1 else ())


def _place(problem: Json) -> str:
    place = f"line {problem['line']}, column {problem['column']}: " if problem.get("line") else ""
    return f"{place}{problem['key']}: {problem['message']}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wait(answer: httpx.Response, attempt: int) -> float:
    try:
        asked = float(answer.headers["Retry-After"])
    except (KeyError, ValueError):
        asked = 0.5 * 2**attempt
    return min(asked, _LONGEST_WAIT)


def _events(text: str) -> Iterator[LiveEvent]:
    """Read an answer in the format of server-sent events (https://html.spec.whatwg.org/#event-stream-interpretation).

    What `retry` says comes as an event of that name.
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
                pass  # a comment, or what is not known
