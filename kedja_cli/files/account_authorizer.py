"""Uploads to the storage account itself, without the service, for anyone who has its key or a role on it."""

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
from kedja_cli.files.grants import UploadGrant
from kedja_cli.files.local_file import LocalFile

_SAS_LIFETIME = timedelta(hours=12)
_CLOCK_SKEW = timedelta(minutes=15)
_PERMISSIONS = ContainerSasPermissions(read=True, create=True, write=True, list=True)


@frozen
class _ExistingBlob:
    """A blob in a listing; without values if there is no blob of its name."""

    size: int | None = None
    md5: str | None = None
    modified: datetime | None = None


@define
class AccountAuthorizer:
    """Grants uploads by a SAS signed with the account's key, or with a user delegation key of Entra ID.

    `account` is a connection string, or the URL of the blob service.
    """

    account: str = field(repr=False)
    experiment: str
    uses_md5: bool = False
    _sas: dict[str, str] = field(default=Factory(dict), init=False, repr=False)
    _existing: dict[str, dict[str, "_ExistingBlob"]] = field(default=Factory(dict), init=False, repr=False)

    def grants(self, files: Sequence[tuple[LocalFile, str | None]]) -> list[UploadGrant]:
        """Return a grant for each file; list and sign each container once.

        Raises:
            CommandError: If the account refuses, or does not answer.
        """
        for container in {file.container for file, _ in files} - self._sas.keys():
            self._open_container(container)
        return [self._grant(file) for file, _ in files]

    def _grant(self, file: LocalFile) -> UploadGrant:
        name = f"{self.experiment}/{file.name}"
        existing = self._existing[file.container].get(name, _ExistingBlob())
        container, _, sas = self._sas[file.container].partition("?")
        return UploadGrant(
            url=f"{container}/{quote(name)}?{sas}",
            existing_size=existing.size,
            existing_md5=existing.md5,
            existing_modified=existing.modified,
        )

    def _open_container(self, container: str) -> None:
        """Sign a SAS for a whole container, so that no file needs its own, and list its blobs."""
        try:
            with connect(self.account) as service:
                client = service.get_container_client(container)
                self._existing[container] = {
                    blob.name: _ExistingBlob(blob.size, _base64(blob.content_settings.content_md5), blob.last_modified)
                    for blob in client.list_blobs(name_starts_with=f"{self.experiment}/")
                }
                self._sas[container] = f"{client.url.partition('?')[0]}?{_sign(service, container)}"
        except AzureError as error:
            raise storage_error(error) from error


def connect(account: str) -> BlobServiceClient:
    """Return a client of the account, given its connection string, or its URL, as the person signed in.

    Raises:
        CommandError: If `account` is neither, or its address is not safe to send credentials to.
    """
    if account.startswith(("https://", "http://")):
        check_storage(account)
        return _as_signed_in(account)
    try:
        service = BlobServiceClient.from_connection_string(account)
    except ValueError as error:
        raise CommandError(
            "--storage (KEDJA_STORAGE) is neither a connection string nor the URL of a storage account.",
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
    except ValueError as error:  # a rule of the client library
        raise CommandError(
            f"{url} cannot be used as the person signed in: {error}",
            "Give the emulator's connection string: --storage UseDevelopmentStorage=true.",
            code=Exit.USAGE,
        ) from error


def storage_error(error: AzureError) -> CommandError:
    """Return the error of the storage account as a command's error, its first line only: the rest may be secret."""
    refused = getattr(error, "status_code", None) in (401, 403)
    return CommandError(
        f"The storage account: {str(error.message).splitlines()[0]}",
        "Sign in (az login) with the role Storage Blob Data Contributor, or give its connection string."
        if refused
        else None,
        code=Exit.NOT_ALLOWED if refused else Exit.FAILED,
    )


def _sign(service: BlobServiceClient, container: str) -> str:
    now = datetime.now(UTC)
    begins, ends = now - _CLOCK_SKEW, now + _SAS_LIFETIME
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


def _base64(md5: bytes | bytearray | None) -> str | None:
    return base64.b64encode(md5).decode() if md5 else None
