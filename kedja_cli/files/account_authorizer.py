"""The storage account itself, for anyone who has its key or a role on it: no service is asked."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from attrs import Factory, define, field, frozen
from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas

from kedja_cli.address import check_storage
from kedja_cli.errors import CommandError, Exit
from kedja_cli.files.grants import Grant
from kedja_cli.files.local_file import LocalFile

_VALID = timedelta(hours=12)
_SKEW = timedelta(minutes=15)
_PERMISSIONS = ContainerSasPermissions(read=True, create=True, write=True, list=True)


@frozen
class _Blob:
    """What a listing says of a blob; nothing where there is none of its name."""

    size: int | None = None
    md5: str | None = None
    modified: datetime | None = None


@define
class AccountDoor:
    """Grants that are signed with the account's key, or with one that Entra ID gives (a user delegation key).

    `account` is a connection string, or the URL of the blob service.
    """

    account: str = field(repr=False)
    experiment: str
    takes_md5: bool = False
    _sas: dict[str, str] = field(default=Factory(dict), init=False, repr=False)
    _there: dict[str, dict[str, "_Blob"]] = field(default=Factory(dict), init=False, repr=False)

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[Grant]:
        """Return where to write each file.

        Raises:
            CommandError: where the account does not let the caller in.
        """
        for container in {file.container for file, _ in files} - self._sas.keys():
            self._open(container)
        return [self._grant(file) for file, _ in files]

    def _grant(self, file: LocalFile) -> Grant:
        name = f"{self.experiment}/{file.name}"
        there = self._there[file.container].get(name, _Blob())
        container, _, sas = self._sas[file.container].partition("?")
        return Grant(
            url=f"{container}/{quote(name)}?{sas}",
            there_size=there.size,
            there_md5=there.md5,
            there_modified=there.modified,
        )

    def _open(self, container: str) -> None:
        """Sign an address for a container, so that no request needs a signature, and list what is there."""
        try:
            with connect(self.account) as service:
                client = service.get_container_client(container)
                self._there[container] = {
                    blob.name: _Blob(blob.size, _text(blob.content_settings.content_md5), blob.last_modified)
                    for blob in client.list_blobs(name_starts_with=f"{self.experiment}/")
                }
                self._sas[container] = f"{client.url.partition('?')[0]}?{_signature(service, container)}"
        except AzureError as error:
            raise storage_refusal(error) from error


def connect(account: str) -> BlobServiceClient:
    """Return a client of the account: by its connection string, or at its URL as the person signed in.

    Raises:
        CommandError: where this is neither, or what is sent there could be read on the way.
    """
    if account.startswith(("https://", "http://")):
        check_storage(account)
        return _as_signed_in(account)
    try:
        service = BlobServiceClient.from_connection_string(account)
    except ValueError as error:
        raise CommandError(
            "This is neither a connection string nor the URL of a storage account.",
            "Give --storage https://<account>.blob.core.windows.net after az login, or UseDevelopmentStorage=true.",
            code=Exit.USAGE,
        ) from error
    try:
        check_storage(service.url)
    except CommandError:
        service.close()
        raise
    return service


def _as_signed_in(url: str) -> BlobServiceClient:
    try:
        return BlobServiceClient(url, credential=DefaultAzureCredential())
    except ValueError as error:  # the client library's own rule
        raise CommandError(
            f"{url} cannot be used as the person signed in: {error}",
            "Give the emulator's connection string: --storage UseDevelopmentStorage=true.",
            code=Exit.USAGE,
        ) from error


def storage_refusal(error: AzureError) -> CommandError:
    """Say that the account does not do what was asked, without what may be secret."""
    refused = getattr(error, "status_code", None) in (401, 403)
    return CommandError(
        f"The storage account: {str(error.message).splitlines()[0]}",
        "Sign in (az login) with the role Storage Blob Data Contributor, or give its connection string."
        if refused
        else None,
        code=Exit.NOT_ALLOWED if refused else Exit.FAILED,
    )


def _signature(service: BlobServiceClient, container: str) -> str:
    now = datetime.now(UTC)
    begins, ends = now - _SKEW, now + _VALID
    key = getattr(service.credential, "account_key", None)
    delegated = None if key else service.get_user_delegation_key(begins, ends)
    return generate_container_sas(
        str(service.account_name),
        container,
        account_key=key,
        user_delegation_key=delegated,
        permission=_PERMISSIONS,
        start=begins,
        expiry=ends,
    )


def _text(md5: bytes | bytearray | None) -> str | None:
    return base64.b64encode(md5).decode() if md5 else None
