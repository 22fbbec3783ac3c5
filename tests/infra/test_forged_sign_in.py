"""The hook's forged sign-in, against the API itself and against what a platform may answer."""

import asyncio
import base64
import json
from collections.abc import Callable

import httpx
import pytest
from pytest_mock import MockerFixture

from function_app.errors import InvalidSettings, Unauthenticated
from function_app.http import callers
from function_app.http.api import create_api
from function_app.http.callers import Caller, Callers, Method, Role
from function_app.operations.service import Kedja
from infra.hooks.errors import ReleaseError
from infra.hooks.forged_sign_in import ForgedSignIn, forged_headers
from infra.hooks.patience import DEADLINE
from infra.hooks.target import Target
from tests.infra.test_release import ENVIRON

AZURE = {"WEBSITE_SITE_NAME": "kedja", "WEBSITE_AUTH_ENABLED": "true"}
type Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def naps() -> list[float]:
    return []


@pytest.fixture
def check(said: list[str], naps: list[float]) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        http = httpx.Client(transport=httpx.MockTransport(answer))
        ForgedSignIn(target=Target.read(ENVIRON), http=http, say=said.append, sleep=naps.append).check_refused()

    return check


def deployed(auth: str) -> Answer:
    """Return the API as it is deployed, with the headers handed on that the platform should have removed."""

    def connect() -> Kedja:
        raise InvalidSettings("Storage is not configured.")

    api = create_api(connect, {**AZURE, "KEDJA_AUTH": auth})

    def answer(request: httpx.Request) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=str(request.url)) as client:
                answer = await client.get(request.url, headers=request.headers)
                return httpx.Response(answer.status_code, content=answer.content)

        return asyncio.run(send())

    return answer


@pytest.mark.parametrize("auth", ["easy-auth", "keys", "easy-auth,keys"])
def test_the_app_refuses_it(check: Callable[[Answer], None], said: list[str], auth: str) -> None:
    check(deployed(auth))

    assert said == ["The app refuses a forged sign-in."]


def test_an_app_that_reads_the_headers_there_fails_the_release(
    check: Callable[[Answer], None], mocker: MockerFixture, said: list[str]
) -> None:
    mocker.patch.object(callers, "OPEN_PATHS", frozenset())

    with pytest.raises(ReleaseError, match="takes headers that anyone can write"):
        check(deployed("easy-auth"))
    assert said == []


def test_it_would_have_every_role() -> None:
    headers = {name.lower(): value for name, value in forged_headers().items()}
    easy_auth = Callers(frozenset({Method.EASY_AUTH}))

    def no_key(_text: str) -> Caller | None:
        return None

    assert easy_auth.identify(headers, None, no_key).role is Role.CODE
    with pytest.raises(Unauthenticated, match="/api/checks"):
        easy_auth.identify(headers, None, no_key, path="/api/health")


def test_it_asks_the_open_path_deeply(check: Callable[[Answer], None]) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401)

    check(answer)

    (request,) = seen
    assert str(request.url) == "https://app.azurewebsites.net/api/health?deep=true"
    assert {name for name in request.headers if name.startswith("x-ms-client-principal")} == {
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-ms-client-principal-name",
        "x-ms-client-principal-idp",
    }


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"status": "ok", "checks": {}}),
        (200, "anything"),
        (503, {"status": "failed", "checks": {"storage": {"state": "failed"}}}),
        (403, {"type": "urn:kedja:problem:role-missing", "status": 403}),
    ],
)
def test_an_app_that_believes_it_fails_the_release_at_once(
    check: Callable[[Answer], None], naps: list[float], status: int, body: object
) -> None:
    with pytest.raises(ReleaseError, match=r"takes headers that anyone can write .*az functionapp stop --name app"):
        check(lambda _: httpx.Response(status, json=body))
    assert naps == []


def test_an_app_that_is_still_starting_is_waited_for(check: Callable[[Answer], None], said: list[str]) -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.ConnectError("no route"),
        httpx.Response(404, text=""),
        httpx.Response(503, text="<html>The service is unavailable.</html>"),
        httpx.Response(502, json=["not an object"]),
        httpx.Response(401),
    ]

    def answer(_request: httpx.Request) -> httpx.Response:
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    check(answer)

    assert answers == []
    assert said[-1] == "The app refuses a forged sign-in."


@pytest.mark.parametrize("status", [302, 400, 403, 404, 503])
def test_anything_but_a_refusal_fails_the_release_in_the_end(
    check: Callable[[Answer], None], said: list[str], naps: list[float], status: int
) -> None:
    with pytest.raises(ReleaseError, match=f"answered a forged sign-in with {status}, where 401 refuses it"):
        check(lambda _: httpx.Response(status, text="Ip Forbidden"))
    assert sum(naps) == (0 if status in (302, 400) else DEADLINE)
    assert "The app refuses a forged sign-in." not in said


def test_the_principal_is_written_as_easy_auth_writes_it() -> None:
    principal = json.loads(base64.b64decode(forged_headers()["X-MS-CLIENT-PRINCIPAL"]))
    assert principal["role_typ"] == "roles"
    assert {claim["val"] for claim in principal["claims"]} == {"Kedja.Data", "Kedja.Code"}
