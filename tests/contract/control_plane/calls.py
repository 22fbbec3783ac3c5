"""What the stand-in was asked, and which answers out of turn a test has set."""

import fnmatch
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen


@frozen(kw_only=True)
class Call:
    """One request. `path` is without the query; `body` is the parsed JSON, or None."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    authorized: bool

    @property
    def short(self) -> str:
        """Method, path from the workspace on, and API version: `PUT /jobs/x 2025-01-01-preview`."""
        _, _, rest = self.path.partition("/workspaces/")
        _, slash, inner = rest.partition("/")
        version = self.query.get("api-version", "")
        return f"{self.method} {slash}{inner} {version}".strip()


@frozen(kw_only=True)
class Answer:
    """What goes back."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(factory=dict)


class Hold:
    """A call that waits: `entered` is set when it has arrived, and it continues when `release` is called."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self.entered.set()
        assert self._released.wait(60), "nobody released a held call within 60 s"


@define(kw_only=True)
class _Fault:
    method: str
    path: str
    times: int
    answer: Answer | None = None
    hold: Hold | None = None
    after: bool = False

    def fits(self, call: Call, *, after: bool) -> bool:
        return (
            self.times > 0
            and self.after == after
            and self.method in ("*", call.method)
            and fnmatch.fnmatchcase(call.path, self.path)
        )


class Switchboard:
    """Notes every call, and breaks or holds those that a test names. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._faults: list[_Fault] = []

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    @contextmanager
    def recorded(self) -> Iterator[list[Call]]:
        """Fill the list with the calls that come inside the block, when the block ends."""
        before, calls = len(self.calls), list[Call]()
        try:
            yield calls
        finally:
            calls.extend(self.calls[before:])

    def answer(
        self,
        status: int,
        *,
        method: str = "*",
        path: str = "*",
        times: int = 1,
        message: str = "as the test wants it",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next calls of this method and path (with wildcards) so, and do nothing else."""
        answer = Answer(status=status, body=error(f"Test{status}", message), headers=headers or {})
        with self._lock:
            self._faults.append(_Fault(method=method, path=path, times=times, answer=answer))

    def hold(self, *, method: str = "*", path: str = "*", times: int = 1, after: bool = False) -> Hold:
        """Let the next calls wait, before anything is done, or after it and before it is answered."""
        hold = Hold()
        with self._lock:
            self._faults.append(_Fault(method=method, path=path, times=times, hold=hold, after=after))
        return hold

    def clear(self) -> None:
        """Forget the faults that were not used."""
        with self._lock:
            self._faults.clear()

    def enter(self, call: Call) -> Answer | None:
        """Note the call; return what is to be answered at once, if that is so."""
        with self._lock:
            self._calls.append(call)
        return self._meet(call, after=False)

    def leave(self, call: Call) -> Answer | None:
        """Return what is to be answered in the place of what was done."""
        return self._meet(call, after=True)

    def _meet(self, call: Call, *, after: bool) -> Answer | None:
        with self._lock:
            fault = next((fault for fault in self._faults if fault.fits(call, after=after)), None)
            if fault is None:
                return None
            fault.times -= 1
        if fault.hold:
            fault.hold.wait()
        return fault.answer


def error(code: str, message: str) -> dict[str, Any]:
    """Return an ErrorResponse of Azure's resource manager (common-types v3)."""
    return {"error": {"code": code, "message": message}}
