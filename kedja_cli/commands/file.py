"""`kedja init`, `validate`: prepare an experiment's files before dropping them."""

from pathlib import Path
from typing import Annotated

import typer

from kedja_cli.errors import Exit
from kedja_cli.session import Session, command

PANEL = "Files"


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for function in (init, validate):
        app.command(rich_help_panel=PANEL)(function)


@command
def init(
    session: Session,
    *,
    folder: Annotated[Path, typer.Argument(show_default=False, help="The folder; its name becomes the experiment's.")],
    sample: Annotated[bool, typer.Option("--sample/--no-sample", help="Write a small data set too.")] = True,
) -> None:
    """Write an experiment that is ready to drop: a Chainer script, job.yaml and a small data set."""
    from kedja_cli.files.scaffold import write_experiment  # noqa: PLC0415 - each command imports only what it needs

    written = write_experiment(folder, sample=sample)
    command_line = f"kedja drop {folder}"
    if session.output.as_json:
        session.output.json({"folder": str(folder), "files": [str(path) for path in written], "next": command_line})
        return
    for path in written:
        session.output.line(str(path))
    session.output.note(f"drop it:  {command_line} --wait")


@command
def validate(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(show_default=False, metavar="JOB.YAML", help="The file.")],
    experiment: Annotated[
        str | None, typer.Option("--experiment", "-e", metavar="NAME", help="The experiment that the file is for.")
    ] = None,
) -> None:
    """Check a job.yaml offline by the service's rules. Exit 1 if it would be rejected."""
    from kedja_cli.files.job_file import InvalidJobFile, validate_job_file  # noqa: PLC0415 - as above

    try:
        validate_job_file(file, experiment)
    except InvalidJobFile as invalid:
        if not session.output.as_json:
            raise
        keys = ("file", "line", "column", "key", "message")
        problems = [{key: getattr(one, key) for key in keys} for one in invalid.problems]
        session.output.json({"file": str(file), "valid": False, "problems": problems})
        raise typer.Exit(Exit.FAILED) from None
    if session.output.as_json:
        session.output.json({"file": str(file), "valid": True, "problems": []})
    else:
        session.output.line(f"{file} is valid", style="green")
