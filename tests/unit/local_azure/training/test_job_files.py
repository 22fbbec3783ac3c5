import hashlib
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from azure.core.exceptions import ResourceNotFoundError, ServiceRequestError
from azure.storage.blob import BlobProperties, BlobServiceClient, ContainerClient
from pytest_mock import MockerFixture

from local_azure.training.job_document import BlobInput, BlobOutput
from local_azure.training.job_files import JobFilesError, Upload, download, files_of, restore, save, upload

KEPT = BlobOutput(container="azureml", path="kept/digits/")
DIGITS = BlobInput(container="data", path="digits/", is_file=False)


def listed(name: str, metadata: Mapping[str, str] | None = None) -> BlobProperties:
    return BlobProperties(name=name, metadata=dict(metadata or {}))


@pytest.fixture
def service(mocker: MockerFixture) -> MagicMock:
    service: MagicMock = mocker.create_autospec(BlobServiceClient, instance=True)
    container = mocker.create_autospec(ContainerClient, instance=True)
    container.download_blob.side_effect = lambda name: mocker.Mock(
        readinto=lambda file: file.write(f"content of {name}".encode())
    )
    service.get_container_client.return_value = container
    return service


def listing(service: MagicMock, *blobs: BlobProperties) -> None:
    service.get_container_client.return_value.list_blobs.return_value = iter(blobs)


def test_downloads_a_folder(service: MagicMock, tmp_path: Path) -> None:
    listing(
        service,
        listed("digits/a.npz"),
        listed("digits/images/1/x y.png"),
        listed("digits/images", {"hdi_isfolder": "true"}),
        listed("digits/empty/"),
    )
    assert download(service, DIGITS, tmp_path / "data") == 2
    assert (tmp_path / "data" / "images" / "1" / "x y.png").read_text() == "content of digits/images/1/x y.png"
    service.get_container_client.assert_called_with("data")


@pytest.mark.parametrize("name", ["a.npz", "digits/deep/a.npz"])
def test_downloads_one_file_and_none_whose_name_only_begins_so(service: MagicMock, tmp_path: Path, name: str) -> None:
    listing(service, listed(name), listed(f"{name}.bak"))
    download(service, BlobInput(container="data", path=name, is_file=True), tmp_path / "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.npz"]


@pytest.mark.parametrize("name", ["digits/../../x", "digits//etc/passwd"])
def test_refuses_a_name_that_leads_out_of_the_folder(service: MagicMock, tmp_path: Path, name: str) -> None:
    listing(service, listed(name))
    with pytest.raises(JobFilesError, match="is not a path within a folder"):
        download(service, DIGITS, tmp_path / "data")


def test_says_where_nothing_stands(service: MagicMock, tmp_path: Path) -> None:
    listing(service)
    with pytest.raises(JobFilesError, match="There is nothing at 'digits/' in container 'data'"):
        download(service, DIGITS, tmp_path / "data")


def test_says_where_a_file_stands_in_a_folders_way(service: MagicMock, tmp_path: Path) -> None:
    listing(service, listed("digits/a"), listed("digits/a/b"))
    with pytest.raises(JobFilesError, match="'digits/' in container 'data'"):
        download(service, DIGITS, tmp_path / "data")


def test_says_that_storage_does_not_answer(service: MagicMock, tmp_path: Path) -> None:
    service.get_container_client.return_value.list_blobs.side_effect = ServiceRequestError("refused")
    with pytest.raises(JobFilesError, match="could not be read: refused"):
        download(service, DIGITS, tmp_path / "data")


def test_finds_every_file_by_name(tmp_path: Path) -> None:
    for name in ("b/c.txt", "a.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert [item.blob for item in files_of(tmp_path, "p")] == ["p/.hidden", "p/a.txt", "p/b/c.txt"]
    assert files_of(tmp_path / "nowhere", "p") == []


def test_uploads_the_manifest_when_all_else_is_there(tmp_path: Path, mocker: MockerFixture) -> None:
    uploads = []
    for name in (".manifest", *(f"{number}.bin" for number in range(20))):
        (tmp_path / name).write_text(name)
        uploads.append(Upload(file=tmp_path / name, blob=f"p/{name}"))
    container = mocker.create_autospec(ContainerClient, instance=True)
    upload(container, uploads, last=".manifest")
    calls = container.upload_blob.call_args_list
    assert len(calls) == 21
    assert calls[-1].args[0] == "p/.manifest"
    assert calls[-1].kwargs["content_settings"].content_md5 == hashlib.md5(b".manifest", usedforsecurity=False).digest()
    assert calls[-1].kwargs["length"] == 9
    assert calls[-1].kwargs["overwrite"] is True


def test_uploads_no_manifest_where_a_file_failed(tmp_path: Path, mocker: MockerFixture) -> None:
    for name in (".manifest", "a.bin"):
        (tmp_path / name).write_text(name)
    container = mocker.create_autospec(ContainerClient, instance=True)
    container.upload_blob.side_effect = ResourceNotFoundError("no container")
    with pytest.raises(JobFilesError, match="could not be uploaded: no container"):
        upload(container, files_of(tmp_path, "p"), last=".manifest")
    assert [call.args[0] for call in container.upload_blob.call_args_list] == ["p/a.bin"]


def test_says_which_file_cannot_be_read(tmp_path: Path, mocker: MockerFixture) -> None:
    container = mocker.create_autospec(ContainerClient, instance=True)
    with pytest.raises(JobFilesError, match=r"gone\.bin"):
        upload(container, [Upload(file=tmp_path / "gone.bin", blob="p/gone.bin")], last=".manifest")


def test_an_output_with_a_place_begins_with_what_is_there(service: MagicMock, tmp_path: Path) -> None:
    service.get_container_client.return_value.list_blobs.side_effect = lambda **_: iter([listed("kept/digits/loop/1")])
    assert restore(service, KEPT, tmp_path / "kept") == 1
    assert (tmp_path / "kept" / "loop" / "1").read_text() == "content of kept/digits/loop/1"


def test_an_output_with_a_place_may_begin_with_nothing(service: MagicMock, tmp_path: Path) -> None:
    listing(service)
    assert restore(service, KEPT, tmp_path / "kept") == 0
    assert (tmp_path / "kept").is_dir()


def test_an_outputs_place_holds_in_the_end_what_the_folder_holds(service: MagicMock, tmp_path: Path) -> None:
    container = service.get_container_client.return_value
    container.list_blob_names.return_value = iter(["kept/digits/new", "kept/digits/old"])
    (tmp_path / "new").write_text("x")
    save(service, tmp_path, KEPT)
    assert [call.args[0] for call in container.upload_blob.call_args_list] == ["kept/digits/new"]
    container.delete_blob.assert_called_once_with("kept/digits/old")


@pytest.mark.parametrize("call", ["list_blobs", "list_blob_names"])
def test_says_that_an_outputs_place_cannot_be_read_or_written(service: MagicMock, tmp_path: Path, call: str) -> None:
    getattr(service.get_container_client.return_value, call).side_effect = ServiceRequestError("refused")
    with pytest.raises(JobFilesError, match=r"'kept/digits/' in container 'azureml': refused"):
        restore(service, KEPT, tmp_path) if call == "list_blobs" else save(service, tmp_path, KEPT)
