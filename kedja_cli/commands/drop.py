"""`kedja drop`: what goes in."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kedja_cli import output as shown
from kedja_cli.command_line import storage_option
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

if TYPE_CHECKING:
    from kedja_cli.files.grants import Door
    from kedja_cli.files.local_file import LocalFile
    from kedja_cli.files.uploader import Outcome

PANEL = "Drops"

_MOST_TOLD = 10

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Files or folders. What is in data/ or scripts/ goes there; of other files the ending decides.",
        show_default=False,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option("--experiment", "-e", metavar="NAME", help="The experiment; by default the name of the folder given."),
]
Scripts = Annotated[
    list[Path] | None,
    typer.Option(
        "--script",
        "-s",
        metavar="PATH",
        help="A script, job.yaml, or a folder of them; each PATH is data then. Repeatable.",
    ),
]
ToWait = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the model; exit 5 where none comes.")]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=0, help="With --wait, which it implies: wait no longer than this."),
]
Storage = Annotated[
    str | None, storage_option("Write to the account itself: its connection string, or its URL with az login.")
]


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(drop)


@command
def drop(
    session: Session,
    *,
    paths: Paths = None,
    experiment: Experiment = None,
    script: Scripts = None,
    wait: ToWait = False,
    timeout: Timeout = None,
    storage: Storage = None,
) -> None:
    """Drop data and scripts into an experiment.

    What is there already with the same content is left out. A large upload that was cut off goes on where it was.
    Where all of it is there, and its job failed or was canceled, the job is tried again.
    """
    wait = wait or timeout is not None
    files = _find(session, paths or [], script or [])
    experiment = experiment or _named(paths or [])
    stages = _stages(files, experiment)
    outcome, seconds = _send(session, _door(session, storage, experiment), *stages)
    is_there = not outcome.failed
    retried = _try_again(session, experiment, outcome) if is_there and (wait or not storage) else None
    receipt = _follow(session, experiment, outcome, timeout) if is_there and wait else None
    if session.screen.as_json:
        more = {"retried": retried, "receipt": receipt}
        told = {"experiment": experiment, **_sent(outcome, seconds), **{name: it for name, it in more.items() if it}}
        session.screen.json(told)
    _check_sent(outcome, len(files))
    if receipt:
        from kedja_cli.service.follow_drop import check_success  # noqa: PLC0415 - each command loads what it needs

        check_success(receipt)
    else:
        session.screen.note(f"follow it: kedja status {experiment}")


def _sent(outcome: "Outcome", seconds: float) -> Json:
    return {
        "sent": len(outcome.sent),
        "unchanged": len(outcome.skipped),
        "bytes": outcome.bytes_sent,
        "seconds": round(seconds, 3),
        "failed": [{"file": str(file.path), "error": str(error)} for file, error in outcome.failed],
    }


def _find(session: Session, paths: list[Path], scripts: list[Path]) -> list["LocalFile"]:
    """Return the files that are to be dropped.

    Raises:
        CommandError: where there are none.
    """
    from kedja_cli.files.local_file import find, sort  # noqa: PLC0415 - as above

    if not paths and not scripts:
        raise CommandError("There is nothing to drop.", "Give files or folders, or --script.", code=Exit.USAGE)
    found = [find(paths, "data"), find(scripts, "scripts")] if scripts else [sort(paths)]
    if ignored := sum(one.ignored for one in found):
        session.screen.note(f"{shown.counted(ignored, 'hidden or temporary file')} left out")
    files = [file for one in found for file in one.files]
    if not files:
        raise CommandError("There are no files to drop in what was given.", code=Exit.USAGE)
    return files


def _named(paths: list[Path]) -> str:
    """Return the experiment's name that follows from what is dropped. Raise CommandError where none does."""
    if len(paths) == 1 and paths[0].is_dir() and (name := paths[0].resolve().name):
        return name
    raise CommandError("Which experiment is it?", "Name it with --experiment.", code=Exit.USAGE)


def _check_sent(outcome: "Outcome", count: int) -> None:
    """Raise CommandError where files are not there, with the first ten of them."""
    if outcome.failed:
        first = outcome.failed[0][1]
        raise CommandError(
            f"{len(outcome.failed)} of {shown.counted(count, 'file')} could not be sent.",
            first.what_to_do,
            code=first.code,
            details=[str(error) for _, error in outcome.failed[:_MOST_TOLD]],
        )


def _door(session: Session, storage: str | None, experiment: str) -> "Door":
    if storage:
        from kedja_cli.files.account_authorizer import AccountDoor  # noqa: PLC0415 - the storage client is slow to load

        return AccountDoor(storage, experiment)
    from kedja_cli.files.grants import ServiceDoor  # noqa: PLC0415 - as above

    return ServiceDoor(session.api, experiment)


def _stages(files: "list[LocalFile]", experiment: str) -> tuple[list["LocalFile"], list["LocalFile"]]:
    """Return what goes first, and the file that says that the drop is complete, where its job.yaml names one.

    Raises:
        CommandError: where the job.yaml would be rejected.
    """
    from kedja_cli.files.job_file import check  # noqa: PLC0415 - as above

    job = next((file for file in files if (file.container, file.name) == ("scripts", "job.yaml")), None)
    marker = check(job.path, experiment).kedja.drop.wait_for if job else None
    last = [file for file in files if marker is not None and file.path.name == marker]
    return [file for file in files if file.path.name != marker], last


def _send(session: Session, door: "Door", first: list["LocalFile"], last: list["LocalFile"]) -> "tuple[Outcome, float]":
    from kedja_cli.files.upload_progress import UploadProgress  # noqa: PLC0415 - as above
    from kedja_cli.files.uploader import Uploader  # noqa: PLC0415

    began = time.perf_counter()
    with UploadProgress.drawn(session.screen.err, [*first, *last]) as watcher:
        outcome = Uploader(door, watcher).run(first, last)
    seconds = time.perf_counter() - began
    text = f"{shown.counted(len(outcome.sent), 'file')} sent, {shown.size(outcome.bytes_sent)} in {seconds:.1f} s"
    there = len(outcome.skipped)
    verb = "was" if there == 1 else "were"
    session.screen.note(text + (f"; {there} {verb} there already" if there else ""), style="")
    return outcome, seconds


def _try_again(session: Session, experiment: str, outcome: "Outcome") -> str | None:
    """Retry the job of the same files where it brought no model; return its name, None where there is nothing to do."""
    from kedja_cli.service.follow_drop import ENDED_EARLY, Wait  # noqa: PLC0415 - as above

    if outcome.sent:  # a newer file makes a drop by itself
        return None
    receipt = Wait(session.api, experiment).covering(outcome.newest)
    if receipt is None or receipt["status"] not in ENDED_EARLY or not receipt.get("attempts"):
        return None
    job: str = receipt["attempts"][-1]["job"]
    again = session.api.post(f"/api/jobs/{job}/retry")
    session.screen.note(f"{job} of the same files is {receipt['status']}: retried as {again['name']}")
    return str(again["name"])


def _follow(session: Session, experiment: str, outcome: "Outcome", timeout: float | None) -> Json:
    """Print each stage that a drop comes to; return its receipt at the end."""
    from kedja_cli.service.follow_drop import Wait, stage  # noqa: PLC0415 - as above

    receipt: Json = {}
    drop = told = ""
    wait = Wait(session.api, experiment, timeout)
    if wait.covering(outcome.newest) is None:
        session.screen.note("waiting until the folder has been quiet for a while")
    for receipt in wait.receipts(outcome.newest):
        if receipt["drop"] != drop:
            drop, told = receipt["drop"], ""
            session.screen.note(f"drop {drop[:16]}")
        if (text := stage(receipt)) != told:
            session.screen.note(text, style=shown.STYLES.get(receipt["status"], ""))
            told = text
    return receipt
