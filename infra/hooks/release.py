"""After a deployment: register what jobs run, tell the app, and see that it works: `python -m infra.hooks.release`.

Its settings are what `azd env get-values` prints, in the environment. It needs no key: it acts as the
principal that is signed in with azd or az. All of it may be run again; what is there already is left as it is.
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
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.identity import AzureDeveloperCliCredential, ChainedTokenCredential, DefaultAzureCredential
from azure.storage.blob import BlobServiceClient

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from infra.hooks.errors import ReleaseError
from infra.hooks.forged_sign_in import ForgedSignIn
from infra.hooks.left_behind import Deployed, LeftBehind
from infra.hooks.patience import Patience
from infra.hooks.release_files import Files, code_files, environment_files
from infra.hooks.resource_manager import MACHINE_LEARNING, WEB, ResourceManager
from infra.hooks.target import Target

CODE, ENVIRONMENT = "kedja-training-job", "kedja-chainer"
SMOKE = "kedja-smoke"
"""The experiment that is dropped."""

PATIENCE = 300.0
"""Seconds until the receipt of the smoke drop has to be there."""

_WENT_WRONG = ("rejected", "failed", "canceled")


@frozen(kw_only=True)
class Release:
    """One run. `say` gets a line for each thing that was done."""

    target: Target
    manager: ResourceManager
    blobs: BlobServiceClient
    say: Callable[[str], None] = print
    sleep: Callable[[float], None] = time.sleep

    @property
    def _patience(self) -> Patience:
        return Patience(say=self.say, sleep=self.sleep)

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
        blob = self.blobs.get_blob_client(naming.DATA, f"{SMOKE}/points.csv")
        table = _points(version)
        upload = self._patience.until_it_works(lambda: blob.upload_blob(table, overwrite=True))
        written: datetime = upload["last_modified"]
        self.say(f"Dropped {naming.DATA}/{SMOKE}/points.csv.")
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
            blob = self.blobs.get_blob_client(self.target.container, f"{folder}/{path}")
            self._patience.until_it_works(partial(blob.upload_blob, content, overwrite=True))
        place = f"{self.target.blobs.rstrip('/')}/{self.target.container}/{folder}"
        self._call("PUT", resource, MACHINE_LEARNING, {"properties": {**properties(place), "isAnonymous": False}})
        self.say(f"Registered the {kind}, version {files.version}, of {len(files.content)} files.")

    def _latest_receipt(self, since: datetime) -> dict[str, Any] | None:
        """Return the receipt of the latest drop, unless that is older than `since`.

        The same content dropped again is the same drop, whose receipt then knows of a newer upload than `latest.json`.
        """
        latest = self._read(naming.latest_blob(SMOKE))
        receipt = latest and self._read(naming.receipt_blob(DropRef(SMOKE, latest["drop"])))
        if not receipt or datetime.fromisoformat(receipt["newest_upload"]) < since:
            return None
        return receipt

    def _read(self, blob: str) -> dict[str, Any] | None:
        client = self.blobs.get_blob_client(naming.RECEIPTS, blob)
        try:
            data = self._patience.until_it_works(lambda: client.download_blob().readall())
        except ResourceNotFoundError:
            return None
        document: dict[str, Any] = json.loads(data)
        return document

    def _call(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None, *, missing: bool = False
    ) -> dict[str, Any]:
        return self._patience.until_it_works(lambda: self.manager.call(method, path, version, body, missing=missing))


def remember(settings: Mapping[str, str], environ: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Have azd keep the settings, or the next `azd provision` would take them away; without azd say what to keep."""
    azd = shutil.which("azd") if environ.get("AZURE_ENV_NAME") else None
    for name, value in settings.items():
        if azd:
            subprocess.run([azd, "env", "set", name, value], check=True)
        else:
            say(f"Keep for the next deployment: {name}={value}")


def credential(environ: Mapping[str, str]) -> TokenCredential:
    """Return the sign-in to use: azd's own first where azd runs the hook, because its principal was given the roles."""
    if environ.get("AZURE_ENV_NAME"):
        return ChainedTokenCredential(AzureDeveloperCliCredential(process_timeout=60), DefaultAzureCredential())
    return DefaultAzureCredential()


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
        target, deployed = Target.read(environ), Deployed.read(environ)
        code, environment = code_files(root), environment_files(root)
        who = credential(environ)
        with httpx.Client(timeout=60) as http, BlobServiceClient(target.blobs, who) as blobs:
            manager = ResourceManager(http=http, credential=who)
            release = Release(target=target, manager=manager, blobs=blobs)
            settings = release.register(code, environment)
            release.tell_the_app(settings)
            remember(settings, environ)
            left = LeftBehind(deployed=deployed, target=target, manager=manager)
            for warning in left.warnings():
                sys.stderr.write(f"Warning: {warning}\n")
            left.check_that_the_cluster_is_gone()
            ForgedSignIn(target=target, http=http, say=release.say, sleep=release.sleep).check_refused()
            if environ.get("KEDJA_SMOKE_DROP", "true").lower() == "true":
                release.smoke_drop(f"{code.version}-{environment.version}")
    except (ReleaseError, FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (AzureError, httpx.HTTPError) as error:
        sys.stderr.write(f"Azure refused, or could not be reached: {type(error).__name__}: {error}\n")
        sys.stderr.write("Nothing is lost. Sign in (azd auth login), then: azd hooks run postdeploy\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
