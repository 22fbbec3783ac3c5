"""`kedja init`, `validate`: an experiment's files, before they are dropped."""

from pathlib import Path
from typing import Annotated

import typer

from kedja_cli.errors import Exit
from kedja_cli.session import Session, command

PANEL = "Files"


def register(app: typer.Typer) -> None:
    for function in (init, validate):
        app.command(rich_help_panel=PANEL)(function)


@command
def init(
    session: Session,
    *,
    folder: Annotated[Path, typer.Argument(show_default=False, help="The folder; its name is the experiment's.")],
    sample: Annotated[bool, typer.Option("--sample/--no-sample", help="Write a small data set too.")] = True,
) -> None:
    """Write an experiment that is ready to drop: a Chainer script, job.yaml and a little data."""
    from kedja_cli.files.scaffold import write  # noqa: PLC0415 - each command loads what it needs

    written = write(folder, sample=sample)
    command_line = f"kedja drop {folder}"
    if session.screen.as_json:
        session.screen.json({"folder": str(folder), "files": [str(path) for path in written], "next": command_line})
        return
    for path in written:
        session.screen.line(str(path))
    session.screen.note(f"drop it:  {command_line} --wait")


@command
def validate(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(show_default=False, metavar="JOB.YAML", help="The file.")],
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="The experiment that it is for.")
    ] = None,
) -> None:
    """Check a job.yaml offline against the service's rules. Exit 1 where it would be rejected."""
    from kedja_cli.files.job_file import InvalidJobFile, check  # noqa: PLC0415 - as above

    try:
        check(file, experiment)
    except InvalidJobFile as invalid:
        if not session.screen.as_json:
            raise
        keys = ("file", "line", "column", "key", "message")
        problems = [{key: getattr(one, key) for key in keys} for one in invalid.problems]
        session.screen.json({"file": str(file), "valid": False, "problems": problems})
        raise typer.Exit(Exit.FAILED) from None
    if session.screen.as_json:
        session.screen.json({"file": str(file), "valid": True, "problems": []})
    else:
        session.screen.line(f"{file} is fine", style="green")
