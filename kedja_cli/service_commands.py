"""`kedja up`, `doctor`, `pause`, `resume`, `events`, `replay`, `approvals`: the service itself."""

import os
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from kedja_cli import screen as shown
from kedja_cli.documents import Json
from kedja_cli.errors import CommandError, Exit
from kedja_cli.session import Session, command

PANEL = "Service"

_REMEMBERED = 1000
"""Events that are known to have been shown: what a live answer tells, it may tell twice."""
_ROOT = Path(__file__).parent.parent


def register(app: typer.Typer) -> None:
    passed_on = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(rich_help_panel=PANEL, context_settings=passed_on, add_help_option=False)(up)
    for function in (doctor, pause, resume, events, replay, approvals):
        app.command(rich_help_panel=PANEL)(function)


def up(context: typer.Context) -> None:
    """Run all of Kedja on this machine, until Ctrl-C (`kedja up --help` has its options)."""
    if not (_ROOT / "host.json").is_file():  # what a checkout has and an installed command does not
        typer.echo("error: the local stack is not installed with this command: use a checkout of Kedja.", err=True)
        raise typer.Exit(Exit.FAILED)
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    words = [sys.executable, "-m", "local_azure.stack.supervisor", *context.args]
    os.execve(sys.executable, words, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - becomes it, so that it gets Ctrl-C itself


@command
def doctor(session: Session) -> None:
    """Diagnose problems and say how to fix them. Exit 1 where something is wrong."""
    from kedja_cli.checkup import checkup  # noqa: PLC0415 - each command loads what it needs

    findings = list(checkup(session.api))
    if session.screen.as_json:
        session.screen.json([one.told() for one in findings])
    else:
        session.screen.table(("check", "state", "found"), [(one.name, one.state, one.found) for one in findings], "")
        for one in findings:
            if one.fix:
                session.screen.note(f"{one.name}: {one.fix}", style="yellow")
    if any(one.state == "failed" for one in findings):
        raise typer.Exit(Exit.FAILED)


@command
def pause(
    session: Session, *, reason: Annotated[str, typer.Option("--reason", "-m", metavar="TEXT", help="Why.")]
) -> None:
    """Take no drops until `kedja resume`. What is dropped meanwhile is kept, and running jobs go on."""
    _told(session, session.api.put("/api/pause", {"reason": reason}), f"paused: {reason}")


@command
def resume(session: Session) -> None:
    """Take drops again, starting with those that came meanwhile."""
    _told(session, session.api.delete("/api/pause"), "drops are being taken")


@command
def events(
    session: Session,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new events, until Ctrl-C.")] = False,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="Only events of this experiment.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-L", min=0, metavar="N", help="How many past events.")] = 20,
) -> None:
    """List the events that were published, oldest first."""
    told = deque[str](maxlen=_REMEMBERED)

    def new(found: Iterable[Json]) -> list[Json]:
        fresh = [event for event in found if event["id"] not in told]
        told.extend(event["id"] for event in fresh)
        return fresh

    def past() -> list[Json]:
        return new(reversed(list(session.api.items("/api/events", limit, experiment=experiment))))

    if not follow:
        _show_events(session, past())
        return
    for one in session.api.live("/api/events/live", experiment=experiment):
        if one.name == "start":  # read what was before only now, so that nothing falls between
            _show_events(session, past())
        elif one.name == "published" and (fresh := new([one.data])):
            _show_events(session, fresh, headings=False)


def _show_events(session: Session, found: list[Json], *, headings: bool = True) -> None:
    if session.screen.as_json:
        for event in found:
            session.screen.json_line(event)
        return
    names = ("time", "event", "experiment", "about", "reason") if headings else ()
    session.screen.table(names, map(_event_row, found), "no events were published yet")


def _event_row(event: Json) -> tuple[str | None, ...]:
    data = event.get("data") or {}
    model = f"{data['model']}:{data['version']}" if data.get("model") and data.get("version") else None
    return (
        shown.when(event["time"]),
        event["type"],
        data.get("experiment"),
        model or data.get("job"),
        data.get("reason"),
    )


@command
def replay(
    session: Session,
    *,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="What to replay.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all.")] = False,
) -> None:
    """List messages and events that could not be processed; send them back into the flow, some or all."""
    if not ids and not everything:
        _list_left(session)
        return
    if ids and everything:
        raise CommandError("Give ids or --all, not both.", code=Exit.USAGE)
    replayed: list[str] = []
    while True:
        answer = session.api.post("/api/replay", {"all": True} if everything else {"ids": ids})
        replayed += answer["replayed"]
        if not everything or not answer["replayed"]:
            break
    left = answer["left"]
    if session.screen.as_json:
        session.screen.json({"replayed": replayed, "left": left})
    else:
        session.screen.line(f"{len(replayed)} replayed, {len(left)} left")
        session.screen.table(("id", "reason"), [(one["id"], one["reason"]) for one in left], "")
    if left:
        raise typer.Exit(Exit.FAILED)


def _list_left(session: Session) -> None:
    items = list(session.api.items("/api/replay", 1000))
    if session.screen.as_json:
        session.screen.json(items)
        return
    rows = [(one["id"], one["kind"], one["queue"], shown.when(one["at"]), one["reason"]) for one in items]
    session.screen.table(("id", "kind", "queue", "at", "reason"), rows, "nothing is left behind")


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
        str | None, typer.Option("--note", "-m", metavar="TEXT", help="A note, kept with the approval.")
    ] = None,
) -> None:
    """List code that waits for approval, and what is approved; approve or revoke."""
    if approve:
        answer = session.api.post("/api/approvals", {"digest": approve, **({"note": note} if note else {})})
        count = len(answer["released"])
        _told(session, answer, f"approved; {shown.counted(count, 'drop')} {'goes' if count == 1 else 'go'} on")
    elif revoke:
        _told(session, session.api.delete(f"/api/approvals/{revoke}"), "revoked")
    else:
        document = _all_approvals(session)
        if session.screen.as_json:
            session.screen.json(document)
            return
        rows = [(one["digest"], "waiting", one["experiment"], None) for one in document["waiting"]]
        rows += [(one["digest"], "approved", f"by {one['by']}", one["note"]) for one in document["items"]]
        empty = "nothing waits" if document["required"] else "approvals are not asked for (KEDJA_APPROVALS)"
        session.screen.table(("digest", "state", "", "note"), rows, empty)


def _all_approvals(session: Session) -> Json:
    """Read every page of approvals, as one document."""
    document: Json = session.api.get("/api/approvals")
    while after := document.get("next"):
        page = session.api.get("/api/approvals", after=after)
        both = {key: [*document[key], *page[key]] for key in ("items", "waiting")}
        document = {**document, **both, "next": page.get("next")}
    return document


def _told(session: Session, document: Json, words: str) -> None:
    if session.screen.as_json:
        session.screen.json(document)
    else:
        session.screen.line(words)
