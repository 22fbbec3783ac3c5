import httpx
import pytest
from pytest_mock import MockerFixture

from kedja_cli.errors import CommandError, Exit, ServiceUnavailable
from kedja_cli.service.api import Api
from tests.unit.kedja_cli.fake_service import FakeService, live, problem

LOCAL = "http://127.0.0.1:7071"


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


def busy(**headers: str) -> httpx.Response:
    return httpx.Response(503, json={"title": "Busy."}, headers=headers)


def test_busy_service_is_asked_again_after_the_time_that_it_names(service: FakeService, naps: list[float]) -> None:
    service.routes["POST /x"] = [busy(**{"Retry-After": "7"}), busy(), {"done": True}]
    assert Api(LOCAL).post("/x", {}) == {"done": True}
    assert naps == [7.0, 2.0]
    assert len({one.headers["Idempotency-Key"] for one in service.requests}) == 1


def test_service_that_stays_busy_is_given_up(service: FakeService, naps: list[float]) -> None:
    service.routes["GET /x"] = busy()
    with pytest.raises(CommandError, match="Busy"):
        Api(LOCAL).get("/x")
    assert len(naps) == 4


@pytest.mark.parametrize(
    ("status", "code"), [(401, Exit.NOT_ALLOWED), (403, Exit.NOT_ALLOWED), (404, Exit.NOT_FOUND), (409, Exit.FAILED)]
)
def test_problem_is_an_error_with_its_words(service: FakeService, status: int, code: Exit) -> None:
    service.routes["GET /x"] = problem(status, "It cannot be.", "Do this.")
    with pytest.raises(CommandError) as caught:
        Api(LOCAL).get("/x")
    assert (str(caught.value), caught.value.what_to_do, caught.value.code) == ("It cannot be.", "Do this.", code)


def test_problems_of_a_job_are_reported_with_their_places(service: FakeService) -> None:
    wrong = [
        {"key": "kedja.data", "message": "is wrong", "line": 2, "column": 3},
        {"key": "tags", "message": "is wrong too"},
    ]
    service.routes["GET /x"] = problem(422, "Two things.", problems=wrong)
    with pytest.raises(CommandError) as caught:
        Api(LOCAL).get("/x")
    assert caught.value.details == ("line 2, column 3: kedja.data: is wrong", "tags: is wrong too")


def test_answer_of_something_else_says_so(service: FakeService) -> None:
    service.routes["GET /x"] = httpx.Response(404, text="<html>")
    with pytest.raises(CommandError) as caught:
        Api(LOCAL).get("/x")
    assert caught.value.what_to_do == "Is this the address of Kedja? See --url (KEDJA_URL)."


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, html="<html>"), httpx.Response(520, html="<html>"), httpx.Response(200, text="")]
)
def test_answer_that_is_not_kedjas_asks_for_the_address(service: FakeService, answer: httpx.Response) -> None:
    service.routes |= {"GET /x": answer, "GET /live": answer}
    for ask in (lambda: Api(LOCAL).get("/x"), lambda: next(Api(LOCAL).live("/live"))):
        with pytest.raises(CommandError) as caught:
            ask()
        assert caught.value.what_to_do == "Is this the address of Kedja? See --url (KEDJA_URL)."


def test_live_answers_outlast_a_restart_of_the_service(service: FakeService, naps: list[float]) -> None:
    gateway = httpx.Response(502, html="<html>")
    service.routes["GET /live"] = [live(("drop", "1", {})), refuse, gateway, refuse, live(("drop", "2", {}))]
    notices: list[str] = []
    events = Api(LOCAL, notice=notices.append).live("/live")
    assert [next(events).id for _ in range(2)] == ["1", "2"]
    assert service.requests[-1].headers["Last-Event-ID"] == "1"
    assert naps == [0.0, 1.0, 2.0, 4.0]
    assert len(notices) == 1


def test_live_answer_of_a_service_that_is_not_there_is_an_error(service: FakeService) -> None:
    service.routes["GET /live"] = refuse
    with pytest.raises(ServiceUnavailable):
        next(Api(LOCAL).live("/live"))


def test_service_that_is_not_there_is_named_at_once(service: FakeService, naps: list[float]) -> None:
    service.routes["GET /x"] = refuse
    with pytest.raises(CommandError, match=r"does not answer at http://127.0.0.1:7071: Connection refused") as caught:
        Api(LOCAL).get("/x")
    assert caught.value.what_to_do == "Is it running? Start it with `kedja up`."
    assert naps == []


def test_broken_connection_is_tried_again(service: FakeService) -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("peer closed connection", request=request)

    service.routes["GET /x"] = [broken, {"done": True}]
    assert Api(LOCAL).get("/x") == {"done": True}


def test_key_goes_into_its_header_and_never_into_a_text(service: FakeService) -> None:
    service.routes["GET /x"] = {}
    api = Api("https://kedja.example", "kedja_1_secret")
    api.get("/x")
    assert service.requests[0].headers["X-Kedja-Key"] == "kedja_1_secret"
    assert "Authorization" not in service.requests[0].headers
    assert "secret" not in repr(api)


def test_without_a_key_the_service_in_azure_gets_a_token_of_who_signed_in(
    service: FakeService, mocker: MockerFixture
) -> None:
    token = mocker.patch("kedja_cli.service.api.token", return_value="a token")
    service.routes["GET /x"] = {}
    Api("https://kedja.example").get("/x")
    token.assert_called_once_with("https://kedja.example")
    assert service.requests[0].headers["Authorization"] == "Bearer a token"


def test_local_service_is_asked_without_credentials(service: FakeService) -> None:
    service.routes["GET /x"] = {}
    Api(LOCAL).get("/x", none=None, yes=True)
    assert "Authorization" not in service.requests[0].headers
    assert dict(service.requests[0].url.params) == {"yes": "true"}


def test_list_is_read_in_pages_up_to_its_limit(service: FakeService) -> None:
    service.routes["GET /x"] = [
        {"items": [{"n": 1}, {"n": 2}], "next": "a"},
        {"items": [], "next": "b"},
        {"items": [{"n": 3}, {"n": 4}], "next": "c"},
    ]
    assert [one["n"] for one in Api(LOCAL).items("/x", 3)] == [1, 2, 3]
    assert [one.url.params["limit"] for one in service.requests] == ["3", "1", "1"]


def test_live_answers_are_read_on_from_the_last_id(service: FakeService, naps: list[float]) -> None:
    service.routes["GET /live"] = [
        live(("start", "1", {})),
        live(),
        live(("drop", "2", {"n": 1}), ("drop", "3", {"n": 2})),
        live(("drop", "4", {"n": 3})),
    ]
    events = Api(LOCAL).live("/live")
    assert [next(events).id for _ in range(4)] == ["1", "2", "3", "4"]
    assert [one.headers.get("Last-Event-ID") for one in service.requests] == [None, "1", "1", "3"]
    assert naps == [0.0] * 3


def test_event_of_several_lines_and_comments_is_read(service: FakeService) -> None:
    text = ': hello\r\nretry: 50\r\nevent: log\r\nid: 7\r\ndata: {"text":\r\ndata: "x"}\r\n\r\n'
    service.routes["GET /live"] = httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})
    event = next(Api(LOCAL).live("/live"))
    assert (event.name, event.id, event.data) == ("log", "7", {"text": "x"})
