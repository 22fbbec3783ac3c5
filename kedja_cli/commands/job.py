"""`kedja jobs`, `logs`, `metrics`, `submit`, `cancel`, `retry`: the jobs of drops."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from kedja_cli import output
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

PANEL = "Jobs"

_TAIL = 64 << 10
"""Bytes from the end of a log that `--tail` reads first."""
_JOB_NAME = re.compile(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{16}-[0-9]{1,6}")

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="A job, or an experiment for its latest job.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for function in (jobs, logs, metrics, submit, cancel, retry):
        app.command(rich_help_panel=PANEL)(function)


@command
def jobs(
    session: Session,
    *,
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="Only jobs of this experiment.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only jobs with this status: running, registered, failed, ...")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-L", min=1, metavar="N", help="The maximum number of jobs to list.")
    ] = 20,
) -> None:
    """List jobs, newest first."""
    items = list(session.api.items("/api/jobs", limit, experiment=experiment, status=status))
    if session.output.as_json:
        session.output.json(items)
        return
    rows = [(one["job"], one["status"], output.format_time(one["received_at"]), one["model"]) for one in items]
    session.output.table(("job", "status", "received", "model"), rows, "there are no such jobs")


@command
def logs(
    session: Session,
    *,
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job has ended.")] = False,
    tail: Annotated[
        int | None,
        typer.Option(
            "--tail", "-n", min=0, metavar="LINES", help="Only the last lines; 0 with --follow: only new lines."
        ),
    ] = None,
) -> None:
    """Print a job's log."""
    name = _job_name(session, job)
    for text in _read_log(session, name, tail, follow=follow):
        if session.output.as_json:
            session.output.json_line({"job": name, "text": text})
        else:
            session.output.write(text)


def _read_log(session: Session, name: str, tail: int | None, *, follow: bool) -> Iterator[str]:
    """Yield the parts of a log to print."""
    end: int | None = None
    if tail is not None:
        text, end = _tail(session, name, tail)
        yield from [text] if text else []
    elif not follow:
        yield from (text for text, _ in _log_pieces(session, name, 0) if text)
    if follow:
        yield from _follow_log(session, name, end)


def _log_pieces(session: Session, name: str, offset: int) -> Iterator[tuple[str, int]]:
    """Read a log from an offset to its present end; yield each piece with the offset after it, the last piece empty."""
    while True:
        response = session.api.request("GET", f"/api/jobs/{name}/logs", query={"offset": offset})
        try:
            offset = int(response.headers["X-Next-Offset"])
        except (KeyError, ValueError) as error:
            from kedja_cli.service.api import not_kedja_error  # noqa: PLC0415 - each command imports only what it needs

            raise not_kedja_error(response) from error
        yield response.text, offset
        if not response.content:
            return


def _tail(session: Session, name: str, count: int) -> tuple[str, int]:
    """Return the present last lines of a log, and the offset after them."""
    size = _TAIL
    while True:
        pieces = list(_log_pieces(session, name, -size))
        text, end = "".join(text for text, _ in pieces), pieces[-1][1]
        lines = [f"{line}\n" for line in text.split("\n")]
        lines[-1] = lines[-1][:-1]  # the text after the last line break, mostly empty
        lines = lines if lines[-1] else lines[:-1]
        # The first line may be incomplete, unless the log is clearly shorter than what was read.
        if len(lines) > count or end <= size // 2:
            return "".join(lines[-count:] if count else []), end
        size *= 4


def _follow_log(session: Session, name: str, offset: int | None) -> Iterator[str]:
    """Yield new text of a log until the job has ended."""
    for event in session.api.live(f"/api/jobs/{name}/logs/live", after=None if offset is None else str(offset)):
        if event.name == "end":
            return
        if event.name == "log":
            yield event.data["text"]


@command
def metrics(
    session: Session,
    *,
    job: Job,
    points: Annotated[
        int,
        typer.Option(
            min=2, max=10_000, metavar="N", help="The maximum number of values of each metric, evenly spread."
        ),
    ] = 1000,
) -> None:
    """Show the last, lowest and highest value of each metric; with --json, all values and the run's parameters."""
    document = session.api.get(f"/api/jobs/{_job_name(session, job)}/metrics", points=points)
    if session.output.as_json:
        session.output.json(document)
        return
    rows = [_summary(name, series) for name, series in sorted(document["series"].items())]
    session.output.table(("metric", "step", "last", "lowest", "highest"), rows, "no metric was logged yet")


def _summary(name: str, series: list[Json]) -> list[str | None]:
    values = [point["value"] for point in series if point["value"] is not None]
    ends = (min(values), max(values)) if values else ("", "")
    return [name, str(series[-1]["step"]), *map(_number, (series[-1]["value"], *ends))]


def _number(value: float | str | None) -> str:
    """Format a value of a metric; null is not a number (NaN)."""
    return "nan" if value is None else value if isinstance(value, str) else f"{value:.6g}"


@command
def submit(
    session: Session,
    *,
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="The experiment.", show_default=False)],
    job_file: Annotated[
        Path | None,
        typer.Option("--job", "-j", metavar="FILE", help="Keys of a job.yaml, merged over the dropped one."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be submitted, and submit nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Train again even if the same files were trained already.")
    ] = False,
) -> None:
    """Submit the present content of an experiment's folders. Exit 1 if it is rejected."""
    keys: Json = {}
    if job_file is not None:
        from kedja_cli.files.job_file import read_keys  # noqa: PLC0415 - as above

        keys = read_keys(job_file)
    flags = {"dry_run": dry_run or None, "force": force or None}
    view: Json = session.api.post("/api/jobs", {**keys, "experiment_name": experiment}, **flags)
    if session.output.as_json:
        session.output.json(view)
    elif dry_run:
        _show_dry_run(session, view)
    else:
        _show_submission(session, experiment, view)
    if view["status"] == "rejected":
        raise typer.Exit(Exit.FAILED)


def _show_submission(session: Session, experiment: str, view: Json) -> None:
    session.output.line(f"{view['name'] or experiment}: {view['status']}")
    for text in (view["reason"], view["what_to_do"]):
        if text:
            session.output.note(text)


def _show_dry_run(session: Session, view: Json) -> None:
    session.output.facts(
        {
            "status": view["status"],
            "waiting for": view.get("waiting_for"),
            "reason": view["reason"],
            "what to do": view["what_to_do"],
            "drop": view["drop"][:16],
            "already done by": (view["existing"] or {}).get("name"),
        }
    )
    if view["document"]:
        session.output.json(view["document"])


@command
def cancel(session: Session, *, job: Job) -> None:
    """Cancel a job."""
    _act(session, job, "cancel")


@command
def retry(session: Session, *, job: Job) -> None:
    """Run a job that has ended again, from the same snapshot."""
    _act(session, job, "retry")


def _act(session: Session, job: str, verb: str) -> None:
    view: Json = session.api.post(f"/api/jobs/{_job_name(session, job)}/{verb}")
    if session.output.as_json:
        session.output.json(view)
    else:
        session.output.line(f"{view['name']}: {view['status']}")


def _job_name(session: Session, text: str) -> str:
    """Return a job's name, given that name or the experiment's."""
    if _JOB_NAME.fullmatch(text):
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
