"""What the hook tries again, and for how long."""

from collections.abc import Callable

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.identity import CredentialUnavailableError

from infra.hooks.errors import Refusal
from infra.hooks.patience import DEADLINE, PAUSE, Patience


def refused(status: int) -> HttpResponseError:
    error = HttpResponseError("refused")
    error.status_code = status
    return error


def unheard(line: str) -> None:
    """Say nothing."""


def failing(error: Exception, times: int, tried: list[int]) -> Callable[[], str]:
    """Return work that fails so many times."""

    def work() -> str:
        tried.append(len(tried))
        if len(tried) <= times:
            raise error
        return "done"

    return work


PASSING = (
    refused(403),
    refused(429),
    refused(500),
    Refusal(503, "busy"),
    httpx.ConnectTimeout("late"),
    ServiceRequestError("no route"),
)
LASTING = (
    refused(400),
    refused(409),
    ResourceNotFoundError("none"),
    Refusal(401, "who?"),
    CredentialUnavailableError(),
)


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_passes_is_waited_for(error: Exception) -> None:
    slept: list[float] = []
    said: list[str] = []

    assert Patience(say=said.append, sleep=slept.append).until_it_works(failing(error, 3, [])) == "done"

    assert slept == [PAUSE] * 3
    assert len(said) == 1


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_does_not_pass_ends_at_the_deadline(error: Exception) -> None:
    slept: list[float] = []
    tried: list[int] = []

    with pytest.raises(type(error)):
        Patience(say=unheard, sleep=slept.append).until_it_works(failing(error, 10_000, tried))

    assert sum(slept) == DEADLINE
    assert len(tried) == len(slept) + 1


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_what_waiting_does_not_cure_is_not_waited_for(error: Exception) -> None:
    slept: list[float] = []

    with pytest.raises(type(error)):
        Patience(say=unheard, sleep=slept.append).until_it_works(failing(error, 1, []))

    assert slept == []
