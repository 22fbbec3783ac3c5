"""`kedja jobs`, `logs`, `cancel`, `retry`: what runs."""

import re
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import typer

from kedja_cli import screen as shown
from kedja_cli.documents import Json
from kedja_cli.errors import CommandError, Exit
from kedja_cli.session import Session, command

PANEL = "Jobs"

_JOB = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{16}-[0-9]{1,6}")

Job = Annotated[str, typer.Argument(metavar="JOB", help="A job, or an experiment: its latest.", show_default=False)]


def register(app: typer.Typer) -> None:
    for function in (jobs, logs, cancel, retry):
        app.command(rich_help_panel=PANEL)(function)


@command
def jobs(
    session: Session,
    *,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="Only this one's.")
    ] = None,
    status: Annotated[str | None, typer.Option(help="Only those: running, registered, failed, ...")] = None,
    limit: Annotated[int, typer.Option("--limit", "-L", min=1, metavar="N", help="How many.")] = 20,
) -> None:
    """List jobs, newest first."""
    items = list(session.api.items("/api/jobs", limit, experiment=experiment, status=status))
    if session.screen.as_json:
        session.screen.json(items)
        return
    rows = [(one["job"], one["status"], shown.when(one["received_at"]), one["model"]) for one in items]
    session.screen.table(("job", "status", "received", "model"), rows, "there are no such jobs")


@command
def logs(
    session: Session,
    *,
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, metavar="BYTES", help="Only the end of it.")] = None,
) -> None:
    """Print a job's log."""
    name = _job(session, job)
    start = 0 if tail is None else -tail
    for text in _followed(session, name, start) if follow else _log(session, name, start):
        if session.screen.as_json:
            session.screen.json_line({"job": name, "text": text})
        else:
            session.screen.write(text)


def _log(session: Session, name: str, offset: int) -> Iterator[str]:
    """Read what there is of a log, in pieces."""
    while True:
        answer = session.api.request("GET", f"/api/jobs/{name}/logs", query={"offset": offset})
        if not answer.content:
            return
        yield answer.text
        offset = int(answer.headers["X-Next-Offset"])


def _followed(session: Session, name: str, offset: int) -> Iterator[str]:
    """Read a log as it grows."""
    for event in session.api.live(f"/api/jobs/{name}/logs/live", after=str(offset) if offset else None):
        if event.name == "end":
            return
        if event.name == "log":
            yield event.data["text"]


@command
def cancel(session: Session, *, job: Job) -> None:
    """Cancel a job."""
    _act(session, job, "cancel")


@command
def retry(session: Session, *, job: Job) -> None:
    """Run a job that has ended once more, from the snapshot it had."""
    _act(session, job, "retry")


def _act(session: Session, job: str, verb: str) -> None:
    view: Json = session.api.post(f"/api/jobs/{_job(session, job)}/{verb}")
    if session.screen.as_json:
        session.screen.json(view)
    else:
        session.screen.line(f"{view['name']}: {view['status']}")


def _job(session: Session, text: str) -> str:
    """Return a job's name, given that or its experiment's."""
    if _JOB.fullmatch(text):
        return text
    receipt = session.api.get(f"/api/drops/{quote(text, safe='')}/latest")
    attempts = receipt.get("attempts")
    if not attempts:
        raise CommandError(
            f"The latest drop of {text} is {receipt['status']} and has no job.",
            receipt.get("what_to_do"),
            code=Exit.NOT_FOUND,
        )
    name: str = attempts[-1]["job"]
    return name
