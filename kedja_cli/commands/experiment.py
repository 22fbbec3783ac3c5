"""`kedja status`, `experiments`, `delete`: what was dropped, and where it is."""

from typing import Annotated
from urllib.parse import quote

import typer

from kedja_cli import output as shown
from kedja_cli.commands.drop import PANEL
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command


def register(app: typer.Typer) -> None:
    for function in (status, experiments, delete):
        app.command(rich_help_panel=PANEL)(function)


@command
def status(
    session: Session,
    *,
    experiment: Annotated[
        str | None, typer.Argument(help="One experiment; by default all.", show_default=False)
    ] = None,
    drop: Annotated[
        str, typer.Argument(metavar="DROP", help="A drop's id, or eight digits of it.", show_default=False)
    ] = "latest",
    limit: Annotated[int, typer.Option("--limit", "-L", min=1, metavar="N", help="How many experiments to list.")] = 50,
) -> None:
    """Show how a drop is doing, or the latest drop of every experiment."""
    if experiment is None:
        _list_experiments(session, limit)
        return
    receipt = session.api.get(f"/api/drops/{quote(experiment, safe='')}/{quote(drop, safe='')}")
    if session.screen.as_json:
        session.screen.json(receipt)
        return
    received, attempt, model = receipt["received"], (receipt.get("attempts") or [{}])[-1], receipt.get("model")
    session.screen.facts(
        {
            "experiment": receipt["folder"],
            "status": receipt["status"],
            "reason": receipt.get("reason"),
            "what to do": receipt.get("what_to_do"),
            "drop": receipt["drop"][:16],
            "received": f"{shown.when(receipt['received_at'])}, {shown.counted(received['data'], 'data file')} and "
            f"{shown.counted(received['scripts'], 'script')}, {shown.size(received['size'])}",
            "job": attempt.get("job"),
            "error": attempt.get("error"),
            "metrics": shown.numbers(attempt.get("metrics")),
            "model": model and f"{model['model']}:{model['version']}" + (" (champion)" if model["champion"] else ""),
            "attention": "; ".join(receipt.get("attention") or ()),
            "superseded by": (receipt.get("superseded_by") or "")[:16],
        }
    )
    session.screen.line("")
    rows = [(shown.when(one["at"]), one["status"], one.get("reason")) for one in receipt.get("history") or ()]
    session.screen.table(("at", "status", "reason"), rows, "no history yet")
    if tail := attempt.get("log_tail"):
        session.screen.line("\nlast lines of the log", style="dim")
        for text in tail:
            session.screen.line(text)


@command
def experiments(
    session: Session,
    *,
    limit: Annotated[int, typer.Option("--limit", "-L", min=1, metavar="N", help="How many at most.")] = 50,
) -> None:
    """List experiments with their latest drops."""
    _list_experiments(session, limit)


def _list_experiments(session: Session, limit: int) -> None:
    items = list(session.api.items("/api/experiments", limit))
    if session.screen.as_json:
        session.screen.json(items)
        return
    rows = [
        (one["folder"], one["status"], one["drop"][:16], shown.when(one["received_at"]), one["job"], one["model"])
        for one in items
    ]
    headings = ("experiment", "status", "drop", "received", "job", "model")
    session.screen.table(headings, rows, "nothing was dropped yet: kedja init, then kedja drop")


@command
def delete(
    session: Session,
    *,
    experiment: Annotated[str, typer.Argument(help="The experiment.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would go, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Cancel the jobs that are still going on.")] = False,
) -> None:
    """Delete an experiment's receipts, snapshots and models; what is needed for audit stays."""
    path = f"/api/experiments/{quote(experiment, safe='')}"
    if dry_run or not yes:
        plan = session.api.delete(path, dry_run=True)
        if dry_run and session.screen.as_json:
            session.screen.json(plan)
            return
        _show_deletion(session, plan)
        if dry_run:
            return
        if session.screen.as_json or not session.screen.err.is_terminal:
            raise CommandError("Nobody is here to ask.", "Give --yes.", code=Exit.USAGE)
        if not typer.confirm(shown.plain(f"Delete {experiment}?"), err=True):
            raise CommandError("Nothing was deleted.")
    done = session.api.delete(path, force=force or None)
    if session.screen.as_json:
        session.screen.json(done)
    else:
        session.screen.line(f"{experiment}: {done['state']}")


def _show_deletion(session: Session, plan: Json) -> None:
    going = plan["deletes"]
    models = [f"{one['model']}:{one['version']}" for one in going["models"]]
    session.screen.facts(
        {
            "receipts": str(going["receipts"]),
            "snapshots": f"{shown.counted(going['snapshot_files'], 'file')}, {shown.size(going['snapshot_size'])}",
            "models": ", ".join(models) or "none",
            "kept": ", ".join(f"{one['model']}:{one['version']}" for one in plan["keeps"]),
            "jobs still going": ", ".join(plan["jobs"]),
        }
    )
