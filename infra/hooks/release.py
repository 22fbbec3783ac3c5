# ruff: noqa: INP001 - infra/ is a folder of Bicep, and no package
"""After a deployment: register what jobs run, tell the app, and see that it works: `python -m infra.hooks.release`.

Its settings are what `azd env get-values` prints, in the environment. It needs no key: `DefaultAzureCredential` finds
whoever is signed in with azd or az. All of it may be run again; what is there already is left as it is.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx
from attrs import fields, frozen
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from function_app import names
from infra.hooks.release_files import Files, code_files, environment_files

RESOURCE_MANAGER = "https://management.azure.com"
MACHINE_LEARNING = "2025-12-01"
WEB = "2025-03-01"
CODE, ENVIRONMENT = "kedja-training-job", "kedja-chainer"
SMOKE = "kedja-smoke"
"""The experiment that is dropped."""

PATIENCE = 300.0
"""Seconds until the receipt of the smoke drop has to be there."""

_WENT_WRONG = ("rejected", "failed", "canceled")


class ReleaseError(Exception):
    """Something is missing or refused; the message says what to do."""


@frozen(kw_only=True)
class Target:
    """The installation, as azd's environment describes it."""

    subscription: str
    group: str
    workspace: str
    container: str
    blobs: str
    app: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP and four outputs of main.bicep.

        Raises:
            ReleaseError: naming all that are not set.
        """
        variables = {
            "subscription": "AZURE_SUBSCRIPTION_ID",
            "group": "AZURE_RESOURCE_GROUP",
            "workspace": "KEDJA_WORKSPACE_NAME",
            "container": "KEDJA_RELEASES_CONTAINER",
            "blobs": "KEDJA_BLOB_ENDPOINT",
            "app": "KEDJA_FUNCTION_APP",
        }
        missing = [variables[each.name] for each in fields(cls) if not environ.get(variables[each.name])]
        if missing:
            raise ReleaseError(f"Not set: {', '.join(missing)}. They are outputs of main.bicep: docs/deploy.md.")
        return cls(**{name: environ[variable] for name, variable in variables.items()})

    def arm(self, resource: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{resource}"

    @property
    def workspace_id(self) -> str:
        return self.arm(f"Microsoft.MachineLearningServices/workspaces/{self.workspace}")


@frozen(kw_only=True)
class Release:
    """One run. `say` gets a line for each thing that was done."""

    target: Target
    http: httpx.Client
    credential: TokenCredential
    blobs: BlobServiceClient
    say: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep

    def register(self, code: Files, environment: Files) -> dict[str, str]:
        """Register both where they are not there yet; return the settings that name them."""
        code_id = f"{self.target.workspace_id}/codes/{CODE}/versions/{code.version}"
        self._register(code_id, code, "code", lambda place: {"codeUri": place})
        name = f"environments/{ENVIRONMENT}/versions/{environment.version}"
        self._register(
            f"{self.target.workspace_id}/{name}",
            environment,
            "environment",
            lambda place: {"osType": "Linux", "build": {"contextUri": f"{place}/", "dockerfilePath": "Dockerfile"}},
        )
        return {
            "KEDJA_TRAINING_CODE": code_id,
            "KEDJA_ENVIRONMENT": f"azureml:{ENVIRONMENT}:{environment.version}",
        }

    def tell_the_app(self, settings: Mapping[str, str]) -> None:
        """Change the app's settings, where they are others."""
        app = self.target.arm(f"Microsoft.Web/sites/{self.target.app}/config/appsettings")
        there: dict[str, str] = self._call("POST", f"{app}/list", WEB)["properties"]
        if all(there.get(name) == value for name, value in settings.items()):
            self.say("The app runs this release's jobs already.")
            return
        self._call("PUT", app, WEB, {"properties": {**there, **settings}})
        self.say(f"The app's settings name them: {', '.join(settings)}.")

    def smoke_drop(self, version: str) -> str:
        """Drop a small table and return the status of its receipt.

        Raises:
            ReleaseError: where no receipt comes within `PATIENCE`, or it says that something went wrong.
        """
        blob = self.blobs.get_blob_client(names.DATA, f"{SMOKE}/points.csv")
        written: datetime = blob.upload_blob(_points(version), overwrite=True)["last_modified"]
        self.say(f"Dropped {names.DATA}/{SMOKE}/points.csv.")
        waited = 0.0
        while waited < PATIENCE:
            receipt = self._latest_receipt(written)
            if receipt and receipt["status"] in _WENT_WRONG:
                raise ReleaseError(
                    f"The smoke drop is {receipt['status']}: {receipt['reason']} {receipt['what_to_do'] or ''}"
                )
            if receipt and receipt["status"] != "submitting":
                self.say(f"Its receipt says {receipt['status']}: {receipt['reason'] or 'all is well'}")
                return str(receipt["status"])
            self.sleep(5)
            waited += 5
        raise ReleaseError(f"No receipt of the smoke drop after {PATIENCE:.0f} s: docs/deploy.md says where to look.")

    def _register(self, resource: str, files: Files, kind: str, properties: Callable[[str], Mapping[str, Any]]) -> None:
        if self._call("GET", resource, MACHINE_LEARNING, missing=True):
            self.say(f"The {kind} is registered already, version {files.version}.")
            return
        folder = f"{kind}/{files.version}"
        for path, content in files.content.items():
            self.blobs.get_blob_client(self.target.container, f"{folder}/{path}").upload_blob(content, overwrite=True)
        place = f"{self.target.blobs.rstrip('/')}/{self.target.container}/{folder}"
        self._call("PUT", resource, MACHINE_LEARNING, {"properties": {**properties(place), "isAnonymous": False}})
        self.say(f"Registered the {kind}, version {files.version}, of {len(files.content)} files.")

    def _latest_receipt(self, since: datetime) -> dict[str, Any] | None:
        """Return the receipt of the latest drop, unless that is older than `since`.

        The same content dropped again is the same drop, whose receipt then knows of a newer upload than `latest.json`.
        """
        latest = self._read(names.latest_blob(SMOKE))
        receipt = latest and self._read(names.receipt_blob(SMOKE, latest["drop"]))
        if not receipt or datetime.fromisoformat(receipt["newest_upload"]) < since:
            return None
        return receipt

    def _read(self, blob: str) -> dict[str, Any] | None:
        try:
            data = self.blobs.get_blob_client(names.RECEIPTS, blob).download_blob().readall()
        except ResourceNotFoundError:
            return None
        document: dict[str, Any] = json.loads(data)
        return document

    def _call(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None, *, missing: bool = False
    ) -> dict[str, Any]:
        """Ask the resource manager; return what it answers, or nothing where the resource may be missing and is."""
        token = self.credential.get_token(f"{RESOURCE_MANAGER}/.default").token
        answer = self.http.request(
            method,
            f"{RESOURCE_MANAGER}{path}",
            params={"api-version": version},
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        if missing and answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        if answer.is_error:
            raise ReleaseError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content


def remember(settings: Mapping[str, str], environ: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Have azd keep the settings, or the next `azd provision` would take them away; without azd say what to keep."""
    azd = shutil.which("azd") if environ.get("AZURE_ENV_NAME") else None
    for name, value in settings.items():
        if azd:
            subprocess.run([azd, "env", "set", name, value], check=True)
        else:
            say(f"Keep for the next deployment: {name}={value}")


def _points(version: str) -> bytes:
    """Return a table that the built-in trainer learns in seconds; another for each version, so that each is tried."""
    chance = random.Random(version)  # noqa: S311 - data to train on
    rows = (
        f"{chance.gauss(label, 0.2):.4f},{chance.gauss(-label, 0.2):.4f},{label}" for _ in range(60) for label in (0, 1)
    )
    return "\n".join(("x,y,label", *rows, "")).encode()


def main(environ: Mapping[str, str]) -> int:
    """Run the release; return the exit code."""
    root = Path(__file__).parents[2]
    try:
        target = Target.read(environ)
        code, environment = code_files(root), environment_files(root)
        credential = DefaultAzureCredential()
        with httpx.Client(timeout=60) as http, BlobServiceClient(target.blobs, credential) as blobs:
            release = Release(target=target, http=http, credential=credential, blobs=blobs)
            settings = release.register(code, environment)
            release.tell_the_app(settings)
            remember(settings, environ)
            if environ.get("KEDJA_SMOKE_DROP", "true").lower() == "true":
                release.smoke_drop(f"{code.version}-{environment.version}")
    except (ReleaseError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
