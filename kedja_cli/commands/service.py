"""`kedja up`, `doctor`, `pause`, `resume`, `events`, `replay`, `approvals`: the service itself."""

import os
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from kedja_cli import output
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

PANEL = "Service"

_REMEMBERED_EVENTS = 1000
"""The number of printed events to remember, since a live response may repeat events."""
_ROOT = Path(__file__).parents[2]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(rich_help_panel=PANEL, context_settings=passed_on, add_help_option=False)(up)
    for function in (doctor, pause, resume, events, replay, approvals):
        app.command(rich_help_panel=PANEL)(function)


def up(context: typer.Context) -> None:
    """Run all of Kedja on this machine, until Ctrl-C (`kedja up --help` has its options)."""
    if not (_ROOT / "host.json").is_file():  # only a checkout has it, and not an installed command
        typer.echo("error: the local stack is not installed with this command: use a checkout of Kedja.", err=True)
        raise typer.Exit(Exit.FAILED)
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    words = [sys.executable, "-m", "local_azure.stack.supervisor", *context.args]
    os.execve(sys.executable, words, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - replaces this process, so that the stack gets Ctrl-C


@command
def doctor(session: Session) -> None:
    """Diagnose problems and show how to fix them. Exit 1 if something is wrong."""
    from kedja_cli.service.doctor import run_checks  # noqa: PLC0415 - each command imports only what it needs

    findings = list(run_checks(session.api))
    if session.output.as_json:
        session.output.json([one.to_dict() for one in findings])
    else:
        session.output.table(("check", "state", "found"), [(one.name, one.state, one.found) for one in findings], "")
        for one in findings:
            if one.fix:
                session.output.note(f"{one.name}: {one.fix}", style="yellow")
    if any(one.state == "failed" for one in findings):
        raise typer.Exit(Exit.FAILED)


@command
def pause(
    session: Session, *, reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="The reason.")]
) -> None:
    """Process no drops until `kedja resume`. Files are kept meanwhile, and running jobs continue."""
    _show(session, session.api.put("/api/pause", {"reason": reason}), f"paused: {reason}")


@command
def resume(session: Session) -> None:
    """Process drops again, starting with those that arrived meanwhile."""
    _show(session, session.api.delete("/api/pause"), "drops are processed again")


@command
def events(
    session: Session,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue with new events until Ctrl-C.")] = False,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="Only events of this experiment.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-L", min=0, metavar="N", help="The maximum number of past events.")
    ] = 20,
) -> None:
    """List published events, oldest first."""
    printed = deque[str](maxlen=_REMEMBERED_EVENTS)

    def new(found: Iterable[Json]) -> list[Json]:
        fresh = [event for event in found if event["id"] not in printed]
        printed.extend(event["id"] for event in fresh)
        return fresh

    def past() -> list[Json]:
        return new(reversed(list(session.api.items("/api/events", limit, experiment=experiment))))

    if not follow:
        _show_events(session, past())
        return
    for one in session.api.live("/api/events/live", experiment=experiment):
        if one.name == "start":  # read past events only now, so that none is missed
            _show_events(session, past())
        elif one.name == "published" and (fresh := new([one.data])):
            _show_events(session, fresh, headings=False)


def _show_events(session: Session, found: list[Json], *, headings: bool = True) -> None:
    if session.output.as_json:
        for event in found:
            session.output.json_line(event)
        return
    names = ("time", "event", "experiment", "about", "reason") if headings else ()
    session.output.table(names, map(_event_row, found), "no events were published yet")


def _event_row(event: Json) -> tuple[str | None, ...]:
    data = event.get("data") or {}
    model = f"{data['model']}:{data['version']}" if data.get("model") and data.get("version") else None
    return (
        output.format_time(event["time"]),
        event["type"],
        data.get("experiment"),
        model or data.get("job"),
        data.get("reason"),
    )


@command
def replay(
    session: Session,
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The messages or events to replay.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all of them.")] = False,
) -> None:
    """List messages and events that could not be processed, or process some or all of them again."""
    if not ids and not everything:
        _list_left(session)
        return
    if ids and everything:
        raise CommandError("Give ids or --all, not both.", code=Exit.USAGE)
    replayed: list[str] = []
    while True:
        response = session.api.post("/api/replay", {"all": True} if everything else {"ids": ids})
        replayed += response["replayed"]
        if not everything or not response["replayed"]:
            break
    left = response["left"]
    if session.output.as_json:
        session.output.json({"replayed": replayed, "left": left})
    else:
        session.output.line(f"{len(replayed)} replayed, {len(left)} left")
        session.output.table(("id", "reason"), [(one["id"], one["reason"]) for one in left], "")
    if left:
        raise typer.Exit(Exit.FAILED)


def _list_left(session: Session) -> None:
    items = list(session.api.items("/api/replay", 1000))
    if session.output.as_json:
        session.output.json(items)
        return
    rows = [(one["id"], one["kind"], one["queue"], output.format_time(one["at"]), one["reason"]) for one in items]
    session.output.table(("id", "kind", "queue", "at", "reason"), rows, "nothing is left to replay")


@command
def approvals(
    session: Session,
    *,
    approve: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Approve the code with this digest.", show_default=False)
    ] = None,
    revoke: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Withdraw an approval.", show_default=False)
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", "-m", metavar="TEXT", help="A note, stored with the approval.")
    ] = None,
) -> None:
    """List code that waits for approval or is approved; approve code, or revoke an approval."""
    if approve:
        response = session.api.post("/api/approvals", {"digest": approve, **({"note": note} if note else {})})
        count = len(response["released"])
        _show(
            session,
            response,
            f"approved; {output.pluralize(count, 'drop')} {'continues' if count == 1 else 'continue'}",
        )
    elif revoke:
        _show(session, session.api.delete(f"/api/approvals/{revoke}"), "revoked")
    else:
        document = _all_approvals(session)
        if session.output.as_json:
            session.output.json(document)
            return
        rows = [(one["digest"], "waiting", one["experiment"], None) for one in document["waiting"]]
        rows += [(one["digest"], "approved", f"by {one['by']}", one["note"]) for one in document["items"]]
        empty = "nothing waits for approval" if document["required"] else "approvals are not required (KEDJA_APPROVALS)"
        session.output.table(("digest", "state", "", "note"), rows, empty)


def _all_approvals(session: Session) -> Json:
    """Read all pages of approvals into one document."""
    document: Json = session.api.get("/api/approvals")
    while after := document.get("next"):
        page = session.api.get("/api/approvals", after=after)
        both = {key: [*document[key], *page[key]] for key in ("items", "waiting")}
        document = {**document, **both, "next": page.get("next")}
    return document


def _show(session: Session, document: Json, words: str) -> None:
    if session.output.as_json:
        session.output.json(document)
    else:
        session.output.line(words)
