"""The post-deploy hook, against a resource manager and a storage of its own."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import AzureDeveloperCliCredential, ChainedTokenCredential, DefaultAzureCredential
from pytest_mock import MockerFixture

from function_app.azure.ml_workspace import Workspace
from infra.hooks import release as hook
from infra.hooks.errors import ReleaseError
from infra.hooks.forged_sign_in import ForgedSignIn
from infra.hooks.release import Release, credential
from infra.hooks.release_files import Files, code_files, environment_files
from infra.hooks.resource_manager import ResourceManager
from infra.hooks.target import Target
from tests.infra.bicep import ROOT, Infra

ENVIRON = {
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_RESOURCE_GROUP": "g",
    "KEDJA_WORKSPACE_NAME": "w",
    "KEDJA_RELEASES_CONTAINER": "releases",
    "KEDJA_BLOB_ENDPOINT": "https://account.blob.core.windows.net/",
    "KEDJA_FUNCTION_APP": "app",
    "KEDJA_URL": "https://app.azurewebsites.net",
}
CODE = Files({"training_job/__init__.py": b"", "training_job/launch.py": b"pass"})
ENVIRONMENT = Files({"Dockerfile": b"FROM scratch"})
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Storage:
    """Keeps blobs; answers as the client library does."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.refusals: list[int] = []

    def get_blob_client(self, container: str, name: str) -> Any:  # noqa: ANN401 - as the library's
        def upload(data: bytes, *, overwrite: bool) -> dict[str, Any]:
            assert overwrite
            if self.refusals:
                error = HttpResponseError("This request is not authorized to perform this operation.")
                error.status_code = self.refusals.pop(0)
                raise error
            self.blobs[f"{container}/{name}"] = data
            return {"last_modified": NOW}

        def download() -> Any:  # noqa: ANN401 - as the library's
            if f"{container}/{name}" not in self.blobs:
                raise ResourceNotFoundError
            return SimpleNamespace(readall=lambda: self.blobs[f"{container}/{name}"])

        return SimpleNamespace(upload_blob=upload, download_blob=download)

    def receipt(self, status: str, *, newest_upload: datetime = NOW, reason: str | None = None) -> None:
        latest = {"drop": "d"}
        self.blobs["receipts/kedja-smoke/latest.json"] = json.dumps(latest).encode()
        receipt = {
            "status": status,
            "reason": reason,
            "what_to_do": "Do this.",
            "newest_upload": newest_upload.isoformat(),
        }
        self.blobs["receipts/kedja-smoke/d.json"] = json.dumps(receipt).encode()


class Resources:
    """Keeps resources by their ids, without their versions of the API."""

    def __init__(self) -> None:
        self.resources: dict[str, Mapping[str, Any]] = {
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/app/config/appsettings": {
                "properties": {"KEDJA_AUTH": "keys", "KEDJA_TRAINING_CODE": ""}
            }
        }
        self.calls: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removesuffix("/list")
        self.calls.append((request.method, path))
        assert request.headers["Authorization"] == "Bearer token"
        assert request.url.params["api-version"]
        if request.method == "PUT":
            self.resources[path] = json.loads(request.content)
        if path not in self.resources:
            return httpx.Response(404, json={"error": {"code": "ResourceNotFound"}})
        return httpx.Response(200, json=self.resources[path])


class Credential:
    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        assert scopes == ("https://management.azure.com/.default",)
        return AccessToken("token", 0)


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def manager() -> Resources:
    return Resources()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def release(storage: Storage, manager: Resources, said: list[str]) -> Release:
    return Release(
        target=Target.read(ENVIRON),
        manager=ResourceManager(http=httpx.Client(transport=httpx.MockTransport(manager)), credential=Credential()),
        blobs=storage,  # type: ignore[arg-type] # stands for the client
        say=said.append,
        sleep=lambda seconds: None,
    )


def test_it_uploads_and_registers_what_jobs_run(release: Release, storage: Storage, manager: Resources) -> None:
    settings = release.register(CODE, ENVIRONMENT)

    workspace = Workspace.from_environment(
        {**settings, **{f"KEDJA_WORKSPACE_{name}": name for name in ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "NAME")}}
    )
    folder = f"https://account.blob.core.windows.net/releases/code/{CODE.version}"
    assert manager.resources[workspace.code_id]["properties"] == {"codeUri": folder, "isAnonymous": False}
    assert storage.blobs[f"releases/code/{CODE.version}/training_job/launch.py"] == b"pass"
    assert settings["KEDJA_ENVIRONMENT"] == f"azureml:kedja-chainer:{ENVIRONMENT.version}"
    registered = next(value for path, value in manager.resources.items() if "/environments/kedja-chainer/" in path)
    build = registered["properties"]["build"]
    assert build["contextUri"].endswith(f"/releases/environment/{ENVIRONMENT.version}/")
    assert build["dockerfilePath"] == "Dockerfile"


def test_a_second_time_it_registers_nothing(release: Release, manager: Resources, said: list[str]) -> None:
    release.register(CODE, ENVIRONMENT)
    manager.calls.clear()

    release.register(CODE, ENVIRONMENT)

    assert {method for method, _ in manager.calls} == {"GET"}
    assert said[-1].startswith("The environment is registered already")


def test_it_keeps_the_app_s_other_settings(release: Release, manager: Resources) -> None:
    release.tell_the_app({"KEDJA_TRAINING_CODE": "id"})

    (settings,) = manager.resources.values()
    assert settings["properties"] == {"KEDJA_AUTH": "keys", "KEDJA_TRAINING_CODE": "id"}


def test_it_does_not_restart_the_app_for_nothing(release: Release, manager: Resources) -> None:
    release.tell_the_app({"KEDJA_AUTH": "keys"})

    assert [method for method, _ in manager.calls] == ["POST"]


def test_a_role_that_is_new_is_waited_for(release: Release, storage: Storage, said: list[str]) -> None:
    storage.refusals = [403, 403, 503]

    release.register(CODE, ENVIRONMENT)

    assert storage.refusals == []
    assert storage.blobs[f"releases/code/{CODE.version}/training_job/launch.py"] == b"pass"
    assert said[0] == "Azure answers 403; trying again for up to 10 minutes: new roles take a while."


def test_azd_s_own_sign_in_comes_first_where_azd_runs_the_hook() -> None:
    chain = credential({"AZURE_ENV_NAME": "kedja"})

    assert isinstance(chain, ChainedTokenCredential)
    assert [type(each) for each in chain.credentials] == [AzureDeveloperCliCredential, DefaultAzureCredential]
    assert isinstance(credential({}), DefaultAzureCredential)


def test_what_is_left_behind_is_told_before_anything_is_dropped(
    mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in ("register", "tell_the_app"):
        mocker.patch.object(Release, step, return_value={})
    drop = mocker.patch.object(Release, "smoke_drop")
    forged = mocker.patch.object(ForgedSignIn, "check_refused")
    left = mocker.patch.object(hook, "LeftBehind").return_value
    left.warnings.return_value = ["User anna holds a role."]
    left.check_that_the_cluster_is_gone.side_effect = ReleaseError("The cluster is there.")

    assert hook.main({**ENVIRON, "KEDJA_DEPLOYED": "{}"}) == 1

    assert capsys.readouterr().err == "Warning: User anna holds a role.\nThe cluster is there.\n"
    drop.assert_not_called()
    left.check_that_the_cluster_is_gone.side_effect = None
    assert hook.main({**ENVIRON, "KEDJA_DEPLOYED": "{}"}) == 0
    drop.assert_called_once()
    forged.side_effect = ReleaseError("It takes a forged sign-in.")
    assert hook.main({**ENVIRON, "KEDJA_DEPLOYED": "{}", "KEDJA_SMOKE_DROP": "false"}) == 1
    assert capsys.readouterr().err.endswith("It takes a forged sign-in.\n")


@pytest.mark.parametrize("error", [ClientAuthenticationError("AADSTS700082"), httpx.ConnectError("AADSTS700082")])
def test_a_sign_in_that_failed_is_told_in_words(
    mocker: MockerFixture, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    mocker.patch.object(Release, "register", side_effect=error)

    assert hook.main({**ENVIRON, "KEDJA_DEPLOYED": "{}"}) == 1

    assert re.search(r"AADSTS700082\nNothing is lost\. Sign in \(azd auth login\), then:", capsys.readouterr().err)


def test_a_refusal_is_told_with_its_words(release: Release, manager: Resources) -> None:
    manager.resources.clear()

    with pytest.raises(ReleaseError, match=r"appsettings/list answered 404: .*ResourceNotFound"):
        release.tell_the_app({})


@pytest.mark.parametrize("status", ["waiting", "starting", "registered"])
def test_a_smoke_drop_is_well_when_its_receipt_is_there(release: Release, storage: Storage, status: str) -> None:
    storage.receipt(status)

    assert release.smoke_drop("1") == status
    assert storage.blobs["data/kedja-smoke/points.csv"].startswith(b"x,y,label\n")


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_a_smoke_drop_that_went_wrong_says_why(release: Release, storage: Storage, status: str) -> None:
    storage.receipt(status, reason="No GPU.")

    with pytest.raises(ReleaseError, match=rf"The smoke drop is {status}: No GPU. Do this."):
        release.smoke_drop("1")


def test_the_receipt_of_an_earlier_drop_does_not_count(release: Release, storage: Storage) -> None:
    storage.receipt("registered", newest_upload=NOW - timedelta(seconds=1))

    with pytest.raises(ReleaseError, match="No receipt of the smoke drop after 300 s"):
        release.smoke_drop("1")


def test_the_smoke_drop_is_another_for_each_release(release: Release, storage: Storage) -> None:
    storage.receipt("starting")
    dropped = []
    for version in ("1", "2", "1"):
        release.smoke_drop(version)
        dropped.append(storage.blobs["data/kedja-smoke/points.csv"])

    assert dropped[0] == dropped[2] != dropped[1]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ReleaseError, match="Not set: AZURE_RESOURCE_GROUP, KEDJA_FUNCTION_APP"):
        Target.read({**ENVIRON, "AZURE_RESOURCE_GROUP": "", "KEDJA_FUNCTION_APP": ""})


def test_its_settings_are_outputs_of_the_bicep() -> None:
    outputs = Infra.load()["main.bicep"].outputs

    assert set(ENVIRON) - {"AZURE_SUBSCRIPTION_ID"} <= set(outputs)


def test_the_environment_it_registers_is_the_bicep_s() -> None:
    assert Infra.load().names["environment"] == hook.ENVIRONMENT


def test_azd_remembers(mocker: MockerFixture) -> None:
    mocker.patch("shutil.which", return_value="/bin/azd")
    run = mocker.patch("subprocess.run")

    hook.remember({"KEDJA_ENVIRONMENT": "azureml:e:1"}, {"AZURE_ENV_NAME": "kedja"})

    run.assert_called_once_with(["/bin/azd", "env", "set", "KEDJA_ENVIRONMENT", "azureml:e:1"], check=True)
    parameters = json.loads(Infra.load().texts["main.parameters.json"])["parameters"]
    assert parameters["trainingEnvironment"]["value"] == "${KEDJA_ENVIRONMENT}"
    assert parameters["trainingCode"]["value"] == "${KEDJA_TRAINING_CODE}"


def test_without_azd_it_says_what_to_keep(said: list[str]) -> None:
    hook.remember({"KEDJA_ENVIRONMENT": "azureml:e:1"}, {}, said.append)

    assert said == ["Keep for the next deployment: KEDJA_ENVIRONMENT=azureml:e:1"]


def test_the_code_is_training_job_without_its_image(tmp_path: Path) -> None:
    for path in ("training_job/launch.py", "training_job/environment/Dockerfile", "training_job/__pycache__/a.pyc"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")

    assert set(code_files(tmp_path).content) == {"training_job/launch.py"}
    assert set(environment_files(tmp_path).content) == {"Dockerfile"}


def test_an_environment_needs_its_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Dockerfile is not there"):
        environment_files(tmp_path)


def test_the_real_code_has_what_a_job_s_command_starts() -> None:
    files = code_files(ROOT)

    assert "training_job/launch.py" in files.content
    assert "training_job/train.py" in files.content
    assert not any(path.startswith("training_job/environment/") for path in files.content)


def test_the_real_image_is_built_from_what_is_sent() -> None:
    files = environment_files(ROOT).content

    copied = re.findall(r"^COPY (?!--from)([^\n]+) \S+$", files["Dockerfile"].decode(), re.MULTILINE)
    assert copied
    assert {path for line in copied for path in line.split() if not path.startswith("--")} <= set(files)


def test_a_version_follows_from_names_and_content() -> None:
    versions = {
        Files({"a": b"1"}).version,
        Files({"a": b"2"}).version,
        Files({"b": b"1"}).version,
        Files({"a": b"", "b": b"1"}).version,
    }

    assert len(versions) == 4
    assert Files({"b": b"1", "a": b""}).version in versions
