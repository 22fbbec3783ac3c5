"""`kedja drop`: upload data and scripts, and wait for the model."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kedja_cli import output
from kedja_cli.command_line import storage_option
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

if TYPE_CHECKING:
    from kedja_cli.files.grants import UploadAuthorizer
    from kedja_cli.files.local_file import LocalFile
    from kedja_cli.files.uploader import UploadOutcome

PANEL = "Drops"

_MAX_ERRORS = 10

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Files or folders. Files in data/ or scripts/ stay there; the ending of any other file decides.",
        show_default=False,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option("--experiment", "-e", metavar="NAME", help="The experiment; by default, the name of the folder."),
]
Scripts = Annotated[
    list[Path] | None,
    typer.Option(
        "--script",
        "-s",
        metavar="PATH",
        help="A script, job.yaml, or a folder of them; then each PATH is data. Repeatable.",
    ),
]
ToWait = Annotated[bool, typer.Option("--wait", "-w", help="Wait for the model; exit 5 if there is none.")]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=0, help="Wait at most this long. Implies --wait."),
]
Storage = Annotated[
    str | None, storage_option("Write to the storage account itself: its connection string, or its URL after az login.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
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

    Files that storage has already with the same content are skipped. An interrupted large upload continues where it
    stopped. If storage has all of the files, and their job failed or was canceled, the job is retried.
    """
    wait = wait or timeout is not None
    files = _find(session, paths or [], script or [])
    experiment = experiment or _experiment_name(paths or [])
    stages = _stages(files, experiment)
    outcome, seconds = _send(session, _authorizer(session, storage, experiment), *stages)
    is_complete = not outcome.failed
    retried = _retry_job(session, experiment, outcome) if is_complete and (wait or not storage) else None
    receipt = _follow(session, experiment, outcome, timeout) if is_complete and wait else None
    if session.output.as_json:
        more = {"retried": retried, "receipt": receipt}
        document = {
            "experiment": experiment,
            **_summary(outcome, seconds),
            **{name: it for name, it in more.items() if it},
        }
        session.output.json(document)
    _check_sent(outcome, len(files))
    if receipt:
        from kedja_cli.service.follow_drop import check_success  # noqa: PLC0415 - each command imports only what it needs

        check_success(receipt)
    else:
        session.output.note(f"follow it: kedja status {experiment}")


def _summary(outcome: "UploadOutcome", seconds: float) -> Json:
    return {
        "sent": len(outcome.sent),
        "unchanged": len(outcome.skipped),
        "bytes": outcome.bytes_sent,
        "seconds": round(seconds, 3),
        "failed": [{"file": str(file.path), "error": str(error)} for file, error in outcome.failed],
    }


def _find(session: Session, paths: list[Path], scripts: list[Path]) -> list["LocalFile"]:
    """Return the files to drop.

    Raises:
        CommandError: If there are none.
    """
    from kedja_cli.files.local_file import classify, find  # noqa: PLC0415 - as above

    if not paths and not scripts:
        raise CommandError("There is nothing to drop.", "Give files or folders, or --script.", code=Exit.USAGE)
    found = [find(paths, "data"), find(scripts, "scripts")] if scripts else [classify(paths)]
    if ignored := sum(one.ignored for one in found):
        session.output.note(f"{output.pluralize(ignored, 'hidden or temporary file')} left out")
    files = [file for one in found for file in one.files]
    if not files:
        raise CommandError("There are no files to drop in the given paths.", code=Exit.USAGE)
    return files


def _experiment_name(paths: list[Path]) -> str:
    """Return the name of the only folder. Raise CommandError if that is not what was given."""
    if len(paths) == 1 and paths[0].is_dir() and (name := paths[0].resolve().name):
        return name
    raise CommandError("The name of the experiment is missing.", "Give it with --experiment.", code=Exit.USAGE)


def _check_sent(outcome: "UploadOutcome", count: int) -> None:
    """Raise CommandError if files could not be sent, with the first ten of them."""
    if outcome.failed:
        first = outcome.failed[0][1]
        raise CommandError(
            f"{len(outcome.failed)} of {output.pluralize(count, 'file')} could not be sent.",
            first.what_to_do,
            code=first.code,
            details=[str(error) for _, error in outcome.failed[:_MAX_ERRORS]],
        )


def _authorizer(session: Session, storage: str | None, experiment: str) -> "UploadAuthorizer":
    if storage:
        from kedja_cli.files.account_authorizer import AccountAuthorizer  # noqa: PLC0415 - Azure's client is slow to import

        return AccountAuthorizer(storage, experiment)
    from kedja_cli.files.grants import ServiceAuthorizer  # noqa: PLC0415 - as above

    return ServiceAuthorizer(session.api, experiment)


def _stages(files: "list[LocalFile]", experiment: str) -> tuple[list["LocalFile"], list["LocalFile"]]:
    """Return the files to send first, and the file that completes the drop, if job.yaml names one.

    Raises:
        CommandError: If the job.yaml would be rejected.
    """
    from kedja_cli.files.job_file import validate_job_file  # noqa: PLC0415 - as above

    job = next((file for file in files if (file.container, file.name) == ("scripts", "job.yaml")), None)
    marker = validate_job_file(job.path, experiment).kedja.drop.wait_for if job else None
    last = [file for file in files if marker is not None and file.path.name == marker]
    return [file for file in files if file.path.name != marker], last


def _send(
    session: Session, authorizer: "UploadAuthorizer", first: list["LocalFile"], last: list["LocalFile"]
) -> "tuple[UploadOutcome, float]":
    from kedja_cli.files.upload_progress import UploadProgress  # noqa: PLC0415 - as above
    from kedja_cli.files.uploader import Uploader  # noqa: PLC0415

    began = time.perf_counter()
    with UploadProgress.show(session.output.err, [*first, *last]) as listener:
        outcome = Uploader(authorizer, listener).run(first, last)
    seconds = time.perf_counter() - began
    sent = f"{output.pluralize(len(outcome.sent), 'file')} sent, {output.format_size(outcome.bytes_sent)}"
    text = f"{sent} in {seconds:.1f} s"
    existing = len(outcome.skipped)
    verb = "was" if existing == 1 else "were"
    session.output.note(text + (f"; {existing} {verb} there already" if existing else ""), style="")
    return outcome, seconds


def _retry_job(session: Session, experiment: str, outcome: "UploadOutcome") -> str | None:
    """Retry the job of the same files if it ended without a model; return the new job's name, or None."""
    from kedja_cli.service.follow_drop import RETRYABLE, DropFollower  # noqa: PLC0415 - as above

    if outcome.sent:  # a newer file makes a new drop by itself
        return None
    receipt = DropFollower(session.api, experiment).latest_since(outcome.newest)
    if receipt is None or receipt["status"] not in RETRYABLE or not receipt.get("attempts"):
        return None
    job: str = receipt["attempts"][-1]["job"]
    again = session.api.post(f"/api/jobs/{job}/retry")
    session.output.note(f"{job} of the same files is {receipt['status']}: retried as {again['name']}")
    return str(again["name"])


def _follow(session: Session, experiment: str, outcome: "UploadOutcome", timeout: float | None) -> Json:
    """Print each stage of a drop; return its final receipt."""
    from kedja_cli.service.follow_drop import DropFollower, describe_stage  # noqa: PLC0415 - as above

    receipt: Json = {}
    drop = printed = ""
    follower = DropFollower(session.api, experiment, timeout)
    if follower.latest_since(outcome.newest) is None:
        session.output.note("waiting until no more files arrive for a while")
    for receipt in follower.receipts(outcome.newest):
        if receipt["drop"] != drop:
            drop, printed = receipt["drop"], ""
            session.output.note(f"drop {drop[:16]}")
        if (text := describe_stage(receipt)) != printed:
            session.output.note(text, style=output.STYLES.get(receipt["status"], ""))
            printed = text
    for note in receipt.get("notes") or ():
        session.output.note(note)
    return receipt
