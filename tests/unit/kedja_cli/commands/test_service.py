import json
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from kedja_cli import output
from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, live

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "type": "Kedja.ModelRegistered",
    "time": "2026-03-01T12:00:00Z",
    "data": {"experiment": "digits", "model": "digits", "version": "1"},
}
LEFT = {"id": "poison/q/1", "kind": "poison", "queue": "q", "reason": "why", "at": "2026-03-01T12:00:00Z"}


def test_up_becomes_the_local_stack_with_the_same_options(run: Run, mocker: MockerFixture) -> None:
    become = mocker.patch("os.execve")
    run("up", "--blob-port", "11000", "--help")
    program, words, environment = become.call_args.args
    assert program == sys.executable
    assert words[1:] == ["-m", "local_azure.stack.supervisor", "--blob-port", "11000", "--help"]
    assert environment["PYTHONPATH"]


def test_up_needs_a_checkout(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mocker: MockerFixture) -> None:
    become = mocker.patch("os.execve")
    (tmp_path / "local_azure").mkdir()
    monkeypatch.setattr("kedja_cli.commands.service._ROOT", tmp_path)
    result = run("up")
    assert (result.exit_code, "use a checkout of Kedja" in result.stderr) == (Exit.FAILED, True)
    become.assert_not_called()


def test_pause_and_resume(run: Run, service: FakeService) -> None:
    service.routes |= {"PUT /api/pause": {"paused": True}, "DELETE /api/pause": {"paused": False}}
    assert run("pause", "-m", "maintenance").stdout == "paused: maintenance\n"
    assert service.sent("PUT /api/pause") == [{"reason": "maintenance"}]
    assert json.loads(run("resume", "--json").stdout) == {"paused": False}


def test_events_are_listed_oldest_first(run: Run, service: FakeService) -> None:
    older = {
        **EVENT,
        "id": "0",
        "type": "Kedja.JobFailed",
        "data": {"experiment": "digits", "job": "j", "reason": "why"},
    }
    service.routes["GET /api/events"] = {"items": [EVENT, older], "next": None}
    first, second = run("events").stdout.splitlines()
    assert first.endswith("\tKedja.JobFailed\tdigits\tj\twhy")
    assert second.endswith("\tKedja.ModelRegistered\tdigits\tdigits:1\t")


def follow_two_events(service: FakeService) -> None:
    """Have the service tell an event of before again, then a new one, until Ctrl-C."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    service.routes |= {
        "GET /api/events": {"items": [EVENT], "next": None},
        "GET /api/events/live": [
            live(("start", "1", {})),
            live(("published", "2", EVENT), ("published", "3", {**EVENT, "id": "2"})),
            interrupt,  # type: ignore[list-item] # it answers nothing, and raises
        ],
    }


def test_followed_events_continue_one_table_on_a_terminal(
    run: Run, service: FakeService, mocker: MockerFixture
) -> None:
    mocker.patch("rich.console.Console.is_terminal", new_callable=mocker.PropertyMock, return_value=True)
    follow_two_events(service)
    lines = run("events", "--follow", env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["TIME", *(output.format_time(str(EVENT["time"])).split()[0],) * 2]
    assert lines[1].split()[2:] == lines[2].split()[2:] == ["Kedja.ModelRegistered", "digits", "digits:1"]


def test_events_are_followed_as_lines_until_ctrl_c(run: Run, service: FakeService) -> None:
    follow_two_events(service)
    result = run("events", "--follow", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["1", "2"]
    assert result.exit_code == Exit.INTERRUPTED


def test_what_is_left_is_listed(run: Run, service: FakeService) -> None:
    service.routes["GET /api/replay"] = [{"items": [LEFT], "next": None}, {"items": [], "next": None}]
    assert run("replay").stdout.startswith("poison/q/1\tpoison\tq\t")
    assert run("replay").stderr == "nothing is left to replay\n"


def test_all_is_replayed_a_hundred_at_a_time(run: Run, service: FakeService) -> None:
    service.routes["POST /api/replay"] = [
        {"replayed": ["a", "b"], "left": []},
        {"replayed": ["c"], "left": []},
        {"replayed": [], "left": []},
    ]
    assert run("replay", "--all").stdout == "3 replayed, 0 left\n"


def test_some_are_replayed_and_what_cannot_be_exits_1(run: Run, service: FakeService) -> None:
    service.routes["POST /api/replay"] = {"replayed": [], "left": [{"id": "a", "reason": "no queue takes it"}]}
    result = run("replay", "a", "--json")
    assert json.loads(result.stdout) == {"replayed": [], "left": [{"id": "a", "reason": "no queue takes it"}]}
    assert result.exit_code == Exit.FAILED
    assert service.sent("POST /api/replay") == [{"ids": ["a"]}]
    assert run("replay", "a", "--all").exit_code == Exit.USAGE


def test_approvals_are_listed_given_and_revoked(run: Run, service: FakeService) -> None:
    waiting = {"digest": "d1", "experiment": "digits", "drop": "x", "receipt": "/r"}
    service.routes |= {
        "GET /api/approvals": {
            "required": True,
            "items": [{"digest": "d0", "by": "ann", "at": "", "note": None}],
            "waiting": [waiting],
        },
        "POST /api/approvals": {"digest": "d1", "released": [waiting]},
        "DELETE /api/approvals/d1": {},
    }
    assert run("approvals").stdout == "d1\twaiting\tdigits\t\nd0\tapproved\tby ann\t\n"
    assert run("approvals", "--approve", "d1", "-m", "read it").stdout == "approved; 1 drop continues\n"
    assert service.sent("POST /api/approvals") == [{"digest": "d1", "note": "read it"}]
    assert run("approvals", "--revoke", "d1").stdout == "revoked\n"


def test_approvals_of_many_pages_are_listed_together(run: Run, service: FakeService) -> None:
    waiting = {"digest": "d1", "experiment": "digits", "drop": "x", "receipt": "/r"}
    approved = {"digest": "d0", "by": "ann", "at": "", "note": None}
    service.routes["GET /api/approvals"] = [
        {"required": True, "items": [], "waiting": [waiting], "next": "more"},
        {"required": True, "items": [approved], "waiting": [], "next": None},
    ]
    assert run("approvals").stdout == "d1\twaiting\tdigits\t\nd0\tapproved\tby ann\t\n"
    assert [request.url.query for request in service.requests] == [b"", b"after=more"]
