"""`kedja keys`: keys of the HTTP API, created and revoked in storage by anyone with a role there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from kedja_cli import output as shown
from kedja_cli.command_line import PlainGroup, storage_option
from kedja_cli.errors import CommandError, Exit
from kedja_cli.json_text import Json
from kedja_cli.session import Session, command

if TYPE_CHECKING:
    from function_app.api_keys import ApiKeys, StoredKey

app = typer.Typer(cls=PlainGroup, help="Create, list and revoke keys of the HTTP API.", no_args_is_help=True)

_EMULATOR = "UseDevelopmentStorage=true"
_EVERY = "*"

Storage = Annotated[
    str | None,
    storage_option(
        "The account: its connection string, or its URL with az login. By default the local one, where --url is."
    ),
]


@app.command()
@command
def create(
    session: Session,
    *,
    label: Annotated[str, typer.Argument(show_default=False, help="Who or what it is for.")],
    role: Annotated[str, typer.Option(help="data, or code, which may also decide what code runs.")] = "data",
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            "--experiment", "-e", metavar="PATTERN", help="Only matching experiments, such as vision-*. Repeatable."
        ),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="After how many it expires.")] = None,
    storage: Storage = None,
) -> None:
    """Create a key. It is shown once; storage keeps its hash."""
    from function_app.callers import Role  # noqa: PLC0415 - each command loads what it needs

    if role not in list(Role):
        raise CommandError(f"There is no role {role!r}.", "Write data or code.", code=Exit.USAGE)
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    with _keys(session, storage) as keys:
        text, key = keys.create(label, Role(role), experiments=experiment or (_EVERY,), expires=expires)
    if session.screen.as_json:
        session.screen.json({"key": text, **_told(key)})
        return
    session.screen.note(f"key {key.id} of {label}, role {role}. It is not shown again:")
    session.screen.line(text)


@app.command("list")
@command
def list_keys(session: Session, *, storage: Storage = None) -> None:
    """List the keys there are, without their secrets."""
    with _keys(session, storage) as keys:
        found = [_told(key) for key in keys.list()]
    if session.screen.as_json:
        session.screen.json(found)
        return
    rows = [
        (key["id"], key["label"], key["role"], ", ".join(key["experiments"]), shown.when(key["expires"]) or "never")
        for key in found
    ]
    session.screen.table(("id", "label", "role", "experiments", "expires"), rows, "there are no keys")


@app.command()
@command
def revoke(
    session: Session,
    *,
    key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The key's id: 12 digits.")],
    storage: Storage = None,
) -> None:
    """Revoke a key; it stops working within a minute."""
    with _keys(session, storage) as keys:
        if not keys.revoke(key_id):
            raise CommandError(
                f"There is no key {key_id}.", "kedja keys list shows those there are.", code=Exit.NOT_FOUND
            )
    if session.screen.as_json:
        session.screen.json({"revoked": key_id})
    else:
        session.screen.line(f"{key_id} is revoked")


@contextmanager
def _keys(session: Session, storage: str | None) -> Iterator["ApiKeys"]:
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - as above

    from function_app.api_keys import ApiKeys  # noqa: PLC0415
    from function_app.azure_storage import AzureBlobs  # noqa: PLC0415
    from function_app.errors import KedjaError  # noqa: PLC0415
    from kedja_cli.files.account_authorizer import connect, storage_refusal  # noqa: PLC0415

    account = storage or (_EMULATOR if session.api.is_local else None)
    if account is None:
        raise CommandError(
            "Keys are made in storage: which account?", "Give --storage, or KEDJA_STORAGE.", code=Exit.USAGE
        )
    try:
        with connect(account) as client:
            yield ApiKeys(blobs=AzureBlobs(client))
    except AzureError as error:
        raise storage_refusal(error) from error
    except KedjaError as error:
        raise CommandError(
            f"The storage account: {error}", "It takes the role Storage Blob Data Contributor."
        ) from error


def _told(key: "StoredKey") -> Json:
    told: Json = key.model_dump(mode="json", exclude={"sha256"})
    return told
