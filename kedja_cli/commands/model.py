"""`kedja models`, `promote`, `rollback`, `share`, `download`: the models that came of drops."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from function_app import names
from kedja_cli import output as shown
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.service.api import document
from kedja_cli.session import Session, command

PANEL = "Models"

_TRIES = 5
"""How often a list of experiments is read again that somebody else changed meanwhile."""

_REFERENCE = re.compile(r"(?P<model>[A-Za-z0-9][A-Za-z0-9._-]*)(?::(?P<version>[0-9]+)|@(?P<alias>champion))?")

Reason = Annotated[
    str | None, typer.Option("--reason", "-m", metavar="TEXT", help="Why; it is kept with the champion.")
]


def register(app: typer.Typer) -> None:
    for function in (models, promote, rollback, share, download):
        app.command(rich_help_panel=PANEL)(function)


@command
def models(
    session: Session,
    *,
    model: Annotated[str | None, typer.Argument(help="One model's versions.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", "-L", min=1, metavar="N", help="How many at most.")] = 50,
) -> None:
    """List registered versions; the champion is the one to use."""
    if model is None:
        told: Any = (items := list(session.api.items("/api/models", limit)))
    else:
        told = session.api.get(f"/api/models/{quote(model, safe='')}")
        items = told["versions"][:limit]
    if session.screen.as_json:
        session.screen.json(told)
        return
    rows = [
        (
            f"{one['model']}:{one['version']}",
            "champion" if one["champion"] else "",
            shown.numbers(one["metrics"]),
            shown.when(one["created"]),
            one["job"],
        )
        for one in items
    ]
    session.screen.table(("model", "", "metrics", "created", "job"), rows, "no model was registered yet")


@command
def promote(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL:VERSION", show_default=False, help="The version to use.")],
    reason: Reason = None,
) -> None:
    """Make a version the champion, whatever its gate says."""
    name, version = reference(model)
    if version in (None, "champion"):
        raise CommandError(f"Which version of {name}?", f"Write {name}:1, for example.", code=Exit.USAGE)
    body: Json = {"version": version, **({"reason": reason} if reason else {})}
    _champion(session, session.api.put(f"/api/models/{name}/champion", body))


@command
def rollback(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False, help="The model.")],
    reason: Reason = None,
) -> None:
    """Make the champion before the present one the champion again."""
    path = f"/api/models/{quote(model, safe='')}/champion/rollback"
    _champion(session, session.api.post(path, {"reason": reason} if reason else None))


@command
def share(
    session: Session,
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", show_default=False, help="The model.")],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="EXPERIMENT", help="One more that may register it, or a pattern: 'vision-*'."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="EXPERIMENT", help="One that may not any more.")
    ] = None,
) -> None:
    """Say which other experiments may register versions of a model; without options, show whose it is."""
    path = f"/api/models/{quote(model, safe='')}/owner"
    found = _changed(session, model, path, with_ or (), remove or ()) if with_ or remove else session.api.get(path)
    if session.screen.as_json:
        session.screen.json(found)
    else:
        shared = ", ".join(found["allowed"]) or "nobody"
        session.screen.facts({"model": found["model"], "owner": found["owner"], "shared with": shared})


def _changed(session: Session, model: str, path: str, more: Sequence[str], removed: Sequence[str]) -> Json:
    """Change the list of experiments that a model is shared with, as it is now; return the owner as it is then."""
    for _ in range(_TRIES):
        answer = session.api.request("GET", path)
        allowed = [*_without(model, document(answer)["allowed"], removed), *more]
        headers = {"If-Match": answer.headers.get("ETag", "*")}
        accept = (httpx.codes.PRECONDITION_FAILED,)
        changed = session.api.request("PUT", path, body={"allowed": allowed}, headers=headers, accept=accept)
        if changed.status_code != httpx.codes.PRECONDITION_FAILED:
            owner: Json = document(changed)
            return owner
    raise CommandError(f"Who may register {model} is being changed by others.", "Try again later.")


def _without(model: str, allowed: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Return a list without some experiments, given by name or by folder. Raise CommandError if one is not on it."""
    for one in removed:
        if not {one, names.slug(one)} & set(allowed):
            raise CommandError(f"{model} is not shared with {one}.", f"kedja share {model} shows with whom it is.")
    gone = {name for one in removed for name in (one, names.slug(one))}
    return [one for one in allowed if one not in gone]


def _champion(session: Session, champion: Json) -> None:
    if session.screen.as_json:
        session.screen.json(champion)
    else:
        session.screen.line(f"{champion['model']}:{champion['version']} is the champion")


@command
def download(
    session: Session,
    *,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL[:VERSION|@champion]", show_default=False, help="By default the champion."),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", "-o", metavar="FOLDER", help="By default MODEL-VERSION.", show_default=False)
    ] = None,
) -> None:
    """Download a model's files; each is compared with the SHA-256 in its manifest.

    A file gets its name only once it is complete. What is there already is not fetched again.
    """
    from kedja_cli.files.download_path import places  # noqa: PLC0415 - each command loads what it needs
    from kedja_cli.files.downloader import Downloader  # noqa: PLC0415 - as above

    name, version = reference(model)
    listing = session.api.whole(f"/api/models/{name}/{version or 'champion'}/files")
    (folder,) = [to] if to else places(Path(), [f"{name}-{listing['version']}"])
    done = Downloader.of(listing, folder).run(session.screen.err)
    told: Json = {
        "model": listing["model"],
        "version": listing["version"],
        "folder": str(folder),
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in done.files],
        "fetched": done.fetched,
        "unchanged": done.unchanged,
    }
    if session.screen.as_json:
        session.screen.json(told)
    else:
        total = shown.size(sum(file.size for file in done.files))
        session.screen.note(
            f"{name}:{listing['version']}: {shown.counted(len(done.files), 'file')}, {total}, verified", style="green"
        )
        session.screen.line(str(folder))


def reference(text: str) -> tuple[str, str | None]:
    """Return model and version of `MODEL`, `MODEL:VERSION` or `MODEL@champion`.

    Raises:
        CommandError: where it is none of them.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise CommandError(f"{text!r} names no model.", "Write MODEL, MODEL:3 or MODEL@champion.", code=Exit.USAGE)
    return match["model"], match["version"] or match["alias"]
