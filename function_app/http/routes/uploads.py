"""The route of uploads: create links to drop files by HTTP."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, Field

from function_app.domain import naming
from function_app.drops.uploads import MOST_FILES, RequestedFile, SignedUpload
from function_app.errors import NotFound
from function_app.http.auth import DataUser
from function_app.http.callers import Role
from function_app.http.problems import problem_responses
from function_app.http.services import UploadsDep
from function_app.http.views import View

router = APIRouter(prefix="/api/experiments", tags=["uploads"])

_MD5_BYTES = 16
_LARGEST_FILE = 190 << 40
"""Max size of a block blob in bytes."""


def _md5(text: str) -> str:
    try:
        is_md5 = len(base64.b64decode(text, validate=True)) == _MD5_BYTES
    except binascii.Error:
        is_md5 = False
    if not is_md5:
        raise ValueError("an MD5 in Base64 must have 24 characters, the last two `=`")
    return text


class UploadFile(BaseModel):
    """A file to drop. Its name is relative to the experiment's folder."""

    container: Literal["data", "scripts"]
    name: Annotated[str, Field(min_length=1, max_length=1024)]
    size: Annotated[int | None, Field(ge=0, le=_LARGEST_FILE, description="Bytes.")] = None
    md5: Annotated[
        Annotated[str, AfterValidator(_md5)] | None,
        Field(description="Content-MD5, in Base64.", examples=["CY9rzUYh03PK3k6DJie09g=="]),
    ] = None


class UploadRequest(BaseModel):
    """The files to drop into an experiment."""

    files: Annotated[list[UploadFile], Field(min_length=1, max_length=MOST_FILES)]


class StoredFile(View):
    """The stored file with the same name."""

    size: int
    md5: str | None
    modified: datetime = Field(description="When it was uploaded; a receipt's `newest_upload` is not before that.")


class UploadLink(BaseModel):
    """A link to upload a file. `url` is null if the same content is already stored."""

    container: str
    name: str
    url: str | None = Field(description="A secret: anyone who has it can write this file.")
    method: Literal["PUT"] = "PUT"
    headers: Mapping[str, str]
    blocks: bool = Field(description="Whether the file may also be sent in blocks.")
    expires_at: datetime | None
    there: StoredFile | None

    @classmethod
    def of(cls, link: SignedUpload) -> Self:
        """View an upload."""
        return cls(
            container=link.file.container,
            name=link.file.name,
            url=link.url,
            headers=link.headers,
            blocks=link.blocks,
            expires_at=link.expires,
            there=StoredFile.model_validate(link.there) if link.there else None,
        )


class UploadLinks(BaseModel):
    """A link for each file, in the order of the request."""

    items: Sequence[UploadLink]


@router.post(
    "/{name}/uploads",
    operation_id="create_upload_links",
    responses=problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE),
)
def create_upload_links(
    caller: DataUser,
    uploads: UploadsDep,
    name: Annotated[str, Path(description="The experiment's folder.")],
    request: UploadRequest,
) -> UploadLinks:
    """Return an upload link for each file. Files in `scripts` require the role `code`, since they are run."""
    if not caller.can_see(naming.slug(name)):
        raise NotFound(f"There is no experiment {name!r}, or {caller.name} may not drop files into it.")
    if any(file.container == naming.SCRIPTS for file in request.files):
        caller.require(Role.CODE)
    wanted = [RequestedFile(**file.model_dump()) for file in request.files]
    return UploadLinks(items=[UploadLink.of(link) for link in uploads.links(name, wanted, by=caller.name)])
