"""`kedja predict`: scores a file on this machine with a registered model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kedja_cli import output
from kedja_cli.commands import model as models
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

_SHOWN = 6
"""Scores, or values of an output, that a line shows."""
_WEIGHTS = "weights/"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel=models.PANEL)(predict)


@command
def predict(
    session: Session,
    *,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION|@champion]", show_default=False, help="The version; by default, the champion."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False, help="A .npy, .npz, .csv or picture.")],
    network: Annotated[
        str | None,
        typer.Option("--network", metavar="NAME", show_default=False, help="One of several networks of the model."),
    ] = None,
    any_range: Annotated[
        bool,
        typer.Option("--any-range", help="Accept values outside of the range of training.", show_default=False),
    ] = False,
) -> None:
    """Score a file on this machine with a registered model, by ONNX Runtime and without Chainer.

    The model's package is downloaded once, and its files are compared with the SHA-256 in the manifest each time.
    """
    from kedja_cli.scoring import answers, examples  # noqa: PLC0415 - NumPy is slow to import
    from kedja_cli.scoring.package import Package  # noqa: PLC0415 - as above

    name, version = models.parse_reference(model)
    listing, folder = _fetch(session, name, version or "champion")
    chosen = Package.open(folder).choose(network)
    given = examples.read(file, chosen, any_range=any_range)
    if not chosen.is_verified:
        session.output.note(f"{chosen.name} is not verified: its answers may differ from Chainer's.", style="yellow")
    for note in given.notes:
        session.output.note(note)
    found = list(answers.answer(chosen, given))
    share = answers.accuracy(found, given.labels)
    if session.output.as_json:
        known: Json = {} if share is None else {"accuracy": share}
        about = {"model": name, "version": listing["version"], "network": chosen.name, "verified": chosen.is_verified}
        session.output.json({**about, "count": len(found), **known, "predictions": found})
        return
    session.output.table(("", "answer", "scores"), [_row(number, one) for number, one in enumerate(found)], "")
    if share is not None:
        session.output.note(f"accuracy {share:.4f} on {output.pluralize(len(found), 'example')}")


def _fetch(session: Session, name: str, version: str) -> tuple[Json, Path]:
    """Download the package of a version; return the listing of its files, and the package's folder.

    Raises:
        CommandError: The version has no package with a network, or a file is not what the manifest says.
    """
    from kedja_cli.files.download_path import target_paths  # noqa: PLC0415 - only what the command needs
    from kedja_cli.files.downloader import Downloader  # noqa: PLC0415 - as above
    from kedja_cli.scoring.package import INPUT  # noqa: PLC0415 - as above

    manifest = session.api.get(f"/api/models/{name}/{version}")
    number, path = str(manifest["model_version"]), str(manifest["path"])
    listing = session.api.all_pages(f"/api/models/{name}/{number}/files")
    prefix = f"{path}/"
    items = [
        one
        for one in listing["items"]
        if one["path"].startswith(prefix) and not one["path"].startswith(f"{prefix}{_WEIGHTS}")
    ]
    if not any(one["path"] == f"{prefix}{INPUT}" for one in items):
        raise CommandError(
            f"{name}:{number} has no ONNX network, so it needs Chainer and its script.",
            f"kedja download {name}:{number} has its MODEL_CARD.md, which says why.",
            code=Exit.FAILED,
        )
    cache = Path(typer.get_app_dir("kedja")) / "models"
    (folder,) = target_paths(cache, [f"{name}-{number}"])
    Downloader.from_listing({**listing, "items": items}, folder).run(session.output.err)
    return listing, folder / path


def _row(number: int, answer: Json) -> Sequence[str]:
    """Return a line of the table: the number of the example, what it is, and the best scores."""
    if "class" in answer:
        best = sorted(answer["scores"].items(), key=lambda one: -one[1])[:_SHOWN]
        return str(number), str(answer["class"]), "  ".join(f"{name} {score:.4g}" for name, score in best)
    if "value" in answer:
        return str(number), f"{answer['value']:.6g}", ""
    return str(number), "", "  ".join(f"{name} {_short(value)}" for name, value in answer["outputs"].items())


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"  # noqa: PLR2004 - a line
