"""`kedja status`, `experiments`, `delete`: what was dropped, and what became of it."""

from typing import Annotated
from urllib.parse import quote

import typer

from kedja_cli import output
from kedja_cli.commands.drop import PANEL
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for function in (status, experiments, delete):
        app.command(rich_help_panel=PANEL)(function)


@command
def status(
    session: Session,
    *,
    experiment: Annotated[
        str | None, typer.Argument(help="An experiment; by default, all.", show_default=False)
    ] = None,
    drop: Annotated[
        str, typer.Argument(metavar="DROP", help="A drop's id, or its first eight digits.", show_default=False)
    ] = "latest",
    limit: Annotated[
        int, typer.Option("--limit", "-L", min=1, metavar="N", help="The maximum number of experiments to list.")
    ] = 50,
) -> None:
    """Show the status of a drop, or the latest drop of every experiment."""
    if experiment is None:
        _list_experiments(session, limit)
        return
    receipt = session.api.get(f"/api/drops/{quote(experiment, safe='')}/{quote(drop, safe='')}")
    if session.output.as_json:
        session.output.json(receipt)
        return
    _show(session, receipt)


def _show(session: Session, receipt: Json) -> None:
    received, attempt, model = receipt["received"], (receipt.get("attempts") or [{}])[-1], receipt.get("model")
    session.output.facts(
        {
            "experiment": receipt["folder"],
            "status": receipt["status"],
            "waiting for": receipt.get("waiting_for"),
            "reason": receipt.get("reason"),
            "what to do": receipt.get("what_to_do"),
            "drop": receipt["drop"][:16],
            "received": f"{output.format_time(receipt['received_at'])}, "
            f"{output.pluralize(received['data'], 'data file')} and "
            f"{output.pluralize(received['scripts'], 'script')}, {output.format_size(received['size'])}",
            "job": attempt.get("job"),
            "error": attempt.get("error"),
            "metrics": output.format_metrics(attempt.get("metrics")),
            "model": model and f"{model['model']}:{model['version']}" + (" (champion)" if model["champion"] else ""),
            "attention": "; ".join(receipt.get("attention") or ()),
            "superseded by": (receipt.get("superseded_by") or "")[:16],
        }
    )
    if notes := receipt.get("notes"):
        session.output.line("\nnotes", style="dim")
        for note in notes:
            session.output.line(note)
    session.output.line("")
    rows = [(output.format_time(one["at"]), one["status"], one.get("reason")) for one in receipt.get("history") or ()]
    session.output.table(("at", "status", "reason"), rows, "no history yet")
    if tail := attempt.get("log_tail"):
        session.output.line("\nlast lines of the log", style="dim")
        for text in tail:
            session.output.line(text)


@command
def experiments(
    session: Session,
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-L", min=1, metavar="N", help="The maximum number of experiments to list.")
    ] = 50,
) -> None:
    """List experiments with their latest drops."""
    _list_experiments(session, limit)


def _list_experiments(session: Session, limit: int) -> None:
    items = list(session.api.items("/api/experiments", limit))
    if session.output.as_json:
        session.output.json(items)
        return
    rows = [
        (
            one["folder"],
            one["status"],
            one["drop"][:16],
            output.format_time(one["received_at"]),
            one["job"],
            one["model"],
        )
        for one in items
    ]
    headings = ("experiment", "status", "drop", "received", "job", "model")
    session.output.table(headings, rows, "nothing was dropped yet: run kedja init, then kedja drop")


@command
def delete(
    session: Session,
    *,
    experiment: Annotated[str, typer.Argument(help="The experiment.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be deleted, and delete nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Cancel jobs that have not ended.")] = False,
) -> None:
    """Delete an experiment's receipts, snapshots and models, but not its audit record."""
    path = f"/api/experiments/{quote(experiment, safe='')}"
    if dry_run or not yes:
        plan = session.api.delete(path, dry_run=True)
        if dry_run and session.output.as_json:
            session.output.json(plan)
            return
        _show_deletion(session, plan)
        if dry_run:
            return
        if session.output.as_json or not session.output.err.is_terminal:
            raise CommandError(
                "Deletion needs confirmation, and this is not a terminal.", "Give --yes.", code=Exit.USAGE
            )
        if not typer.confirm(output.printable(f"Delete {experiment}?"), err=True):
            raise CommandError("Nothing was deleted.")
    done = session.api.delete(path, force=force or None)
    if session.output.as_json:
        session.output.json(done)
    else:
        session.output.line(f"{experiment}: {done['state']}")


def _show_deletion(session: Session, plan: Json) -> None:
    deletes = plan["deletes"]
    models = [f"{one['model']}:{one['version']}" for one in deletes["models"]]
    session.output.facts(
        {
            "receipts": str(deletes["receipts"]),
            "snapshots": f"{output.pluralize(deletes['snapshot_files'], 'file')}, "
            f"{output.format_size(deletes['snapshot_size'])}",
            "models": ", ".join(models) or "none",
            "kept": ", ".join(f"{one['model']}:{one['version']}" for one in plan["keeps"]),
            "jobs still running": ", ".join(plan["jobs"]),
        }
    )
