"""`kedja keys`: API keys, created and revoked in storage by anyone with a role there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from kedja_cli import output
from kedja_cli.command_line import PlainGroup, storage_option
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

if TYPE_CHECKING:
    from function_app.http.api_keys import ApiKeys, StoredKey

app = typer.Typer(cls=PlainGroup, help="Create, list and revoke API keys.", no_args_is_help=True)

_EMULATOR = "UseDevelopmentStorage=true"
_EVERY = "*"

Storage = Annotated[
    str | None,
    storage_option(
        "The storage account: its connection string, or its URL after az login. By default the local one, "
        "if --url is local."
    ),
]


@app.command()
@command
def create(
    session: Session,
    *,
    label: Annotated[str, typer.Argument(show_default=False, help="Who or what the key is for.")],
    role: Annotated[str, typer.Option(help="data; or code, which may also decide what code runs.")] = "data",
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            "--experiment", "-e", metavar="PATTERN", help="Only matching experiments, such as vision-*. Repeatable."
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="The days until it expires.")] = None,
    storage: Storage = None,
) -> None:
    """Create a key. It is shown only once; storage has only its hash."""
    from function_app.http.callers import Role  # noqa: PLC0415 - each command imports only what it needs

    if role not in list(Role):
        raise CommandError(f"There is no role {role!r}.", "Write data or code.", code=Exit.USAGE)
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    with _keys(session, storage) as keys:
        text, key = keys.create(label, Role(role), experiments=experiment or (_EVERY,), expires=expires)
    if session.output.as_json:
        session.output.json({"key": text, **_without_secret(key)})
        return
    session.output.note(f"key {key.id} of {label}, role {role}. It is not shown again:")
    session.output.line(text)


@app.command("list")
@command
def list_keys(session: Session, *, storage: Storage = None) -> None:
    """List the keys, without their secrets."""
    with _keys(session, storage) as keys:
        found = [_without_secret(key) for key in keys.list()]
    if session.output.as_json:
        session.output.json(found)
        return
    rows = [
        (
            key["id"],
            key["label"],
            key["role"],
            ", ".join(key["experiments"]),
            output.format_time(key["expires"]) or "never",
        )
        for key in found
    ]
    session.output.table(("id", "label", "role", "experiments", "expires"), rows, "there are no keys")


@app.command()
@command
def revoke(
    session: Session,
    *,
    key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The key's id: 12 digits.")],
    storage: Storage = None,
) -> None:
    """Revoke a key. It stops working within a minute."""
    with _keys(session, storage) as keys:
        if not keys.revoke(key_id):
            raise CommandError(f"There is no key {key_id}.", "See kedja keys list.", code=Exit.NOT_FOUND)
    if session.output.as_json:
        session.output.json({"revoked": key_id})
    else:
        session.output.line(f"{key_id} is revoked")


@contextmanager
def _keys(session: Session, storage: str | None) -> Iterator["ApiKeys"]:
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - as above

    from function_app.azure.storage import AzureBlobs  # noqa: PLC0415
    from function_app.errors import KedjaError  # noqa: PLC0415
    from function_app.http.api_keys import ApiKeys  # noqa: PLC0415
    from kedja_cli.files.account_authorizer import connect, storage_error  # noqa: PLC0415

    account = storage or (_EMULATOR if session.api.is_local else None)
    if account is None:
        raise CommandError(
            "Keys are created in a storage account, and none was given.",
            "Give --storage or set KEDJA_STORAGE.",
            code=Exit.USAGE,
        )
    try:
        with connect(account) as client:
            yield ApiKeys(blobs=AzureBlobs(client))
    except AzureError as error:
        raise storage_error(error) from error
    except KedjaError as error:
        raise CommandError(
            f"The storage account: {error}", "This needs the role Storage Blob Data Contributor."
        ) from error


def _without_secret(key: "StoredKey") -> Json:
    document: Json = key.model_dump(mode="json", exclude={"sha256"})
    return document
