"""`kedja models`, `promote`, `rollback`, `share`, `download`: registered models."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from function_app.domain import naming
from kedja_cli import output
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

PANEL = "Models"

_MAX_ATTEMPTS = 5
"""How often to try to change a list of experiments that others change at the same time."""

_REFERENCE = re.compile(r"(?P<model>[A-Za-z0-9][A-Za-z0-9._-]*)(?::(?P<version>[0-9]+)|@(?P<alias>champion))?")

Reason = Annotated[
    str | None, typer.Option("--reason", "-m", metavar="TEXT", help="The reason, stored with the champion.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for function in (models, promote, rollback, share, download):
        app.command(rich_help_panel=PANEL)(function)


@command
def models(
    session: Session,
    *,
    model: Annotated[str | None, typer.Argument(help="A model, for its versions.", show_default=False)] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-L", min=1, metavar="N", help="The maximum number of versions to list.")
    ] = 50,
) -> None:
    """List registered versions. The champion is the version to use."""
    if model is None:
        document: Any = (items := list(session.api.items("/api/models", limit)))
    else:
        document = session.api.get(f"/api/models/{quote(model, safe='')}")
        items = document["versions"][:limit]
    if session.output.as_json:
        session.output.json(document)
        return
    rows = [
        (
            f"{one['model']}:{one['version']}",
            "champion" if one["champion"] else "",
            output.format_metrics(one["metrics"]),
            output.format_time(one["created"]),
            one["job"],
        )
        for one in items
    ]
    session.output.table(("model", "", "metrics", "created", "job"), rows, "no model was registered yet")


@command
def promote(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL:VERSION", show_default=False, help="The version to use.")],
    reason: Reason = None,
) -> None:
    """Make a version the champion, regardless of the gate."""
    name, version = parse_reference(model)
    if version in (None, "champion"):
        raise CommandError(f"The version of {name} is missing.", f"Write {name}:1, for example.", code=Exit.USAGE)
    body: Json = {"version": version, **({"reason": reason} if reason else {})}
    _show_champion(session, session.api.put(f"/api/models/{name}/champion", body))


@command
def rollback(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False, help="The model.")],
    reason: Reason = None,
) -> None:
    """Make the previous champion the champion again."""
    path = f"/api/models/{quote(model, safe='')}/champion/rollback"
    _show_champion(session, session.api.post(path, {"reason": reason} if reason else None))


@command
def share(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False, help="The model.")],
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="EXPERIMENT",
            help="An experiment, or a pattern such as 'vision-*', to share the model with.",
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="EXPERIMENT", help="An experiment or pattern to stop sharing with."),
    ] = None,
) -> None:
    """Change which other experiments may register versions of a model; without options, show its owner and them."""
    path = f"/api/models/{quote(model, safe='')}/owner"
    found = (
        _change_sharing(session, model, path, with_ or (), remove or ()) if with_ or remove else session.api.get(path)
    )
    if session.output.as_json:
        session.output.json(found)
    else:
        shared = ", ".join(found["allowed"]) or "nobody"
        session.output.facts({"model": found["model"], "owner": found["owner"], "shared with": shared})


def _change_sharing(session: Session, model: str, path: str, more: Sequence[str], removed: Sequence[str]) -> Json:
    """Change the present list of experiments that a model is shared with; return the changed owner document."""
    from kedja_cli.service.api import parse_json  # noqa: PLC0415 - each command imports only what it needs

    for _ in range(_MAX_ATTEMPTS):
        response = session.api.request("GET", path)
        allowed = [*_without(model, parse_json(response)["allowed"], removed), *more]
        headers = {"If-Match": response.headers.get("ETag", "*")}
        accept = (HTTPStatus.PRECONDITION_FAILED,)
        changed = session.api.request("PUT", path, body={"allowed": allowed}, headers=headers, accept=accept)
        if changed.status_code != HTTPStatus.PRECONDITION_FAILED:
            owner: Json = parse_json(changed)
            return owner
    raise CommandError(f"Others are changing the sharing of {model} at the same time.", "Try again later.")


def _without(model: str, allowed: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Remove experiments, given by slug or folder, from a list. Raise CommandError if one is not on the list."""
    for one in removed:
        if not {one, naming.slug(one)} & set(allowed):
            raise CommandError(f"{model} is not shared with {one}.", f"kedja share {model} shows the list.")
    gone = {name for one in removed for name in (one, naming.slug(one))}
    return [one for one in allowed if one not in gone]


def _show_champion(session: Session, champion: Json) -> None:
    if session.output.as_json:
        session.output.json(champion)
    else:
        session.output.line(f"{champion['model']}:{champion['version']} is the champion")


@command
def download(
    session: Session,
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION|@champion]", show_default=False, help="The version; by default, the champion."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", "-o", metavar="FOLDER", help="The folder; by default, MODEL-VERSION.", show_default=False),
    ] = None,
) -> None:
    """Download a model's files, each compared with the SHA-256 in the manifest.

    A file gets its name only once it is complete. Files that exist already are not downloaded again.
    """
    from kedja_cli.files.download_path import target_paths  # noqa: PLC0415 - as above
    from kedja_cli.files.downloader import Downloader  # noqa: PLC0415 - as above

    name, version = parse_reference(model)
    listing = session.api.all_pages(f"/api/models/{name}/{version or 'champion'}/files")
    (folder,) = [to] if to else target_paths(Path(), [f"{name}-{listing['version']}"])
    done = Downloader.from_listing(listing, folder).run(session.output.err)
    document: Json = {
        "model": listing["model"],
        "version": listing["version"],
        "folder": str(folder),
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in done.files],
        "fetched": done.fetched,
        "unchanged": done.unchanged,
    }
    if session.output.as_json:
        session.output.json(document)
    else:
        total = output.format_size(sum(file.size for file in done.files))
        session.output.note(
            f"{name}:{listing['version']}: {output.pluralize(len(done.files), 'file')}, {total}, verified",
            style="green",
        )
        session.output.line(str(folder))


def parse_reference(text: str) -> tuple[str, str | None]:
    """Return the model and version of `MODEL`, `MODEL:VERSION` or `MODEL@champion`.

    Raises:
        CommandError: If `text` is none of them.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise CommandError(
            f"{text!r} is not the name of a model.", "Write MODEL, MODEL:3 or MODEL@champion.", code=Exit.USAGE
        )
    return match["model"], match["version"] or match["alias"]
