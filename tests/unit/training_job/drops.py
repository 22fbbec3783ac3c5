"""Drops to launch in tests, and the results of a launch."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
NO_EXPORT = '{"onnx": "never"}'
"""What most tests do without, as it takes seconds."""


@dataclass
class Ended:
    """A launched job that has ended."""

    code: int
    output: str
    errors: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        metrics: dict[str, float] = self.manifest["metrics"]
        return metrics

    @property
    def files(self) -> list[str]:
        return [file["path"] for file in self.manifest["files"]]


@dataclass
class Drop:
    """A drop in a temporary folder, as Kedja hands it to a job."""

    root: Path
    scripts: dict[str, str] = field(default_factory=dict)
    data: dict[str, bytes] | None = None
    ignored: tuple[str, ...] = ("_SUCCESS", ".*", "*.tmp")
    options: tuple[str, ...] = ()
    """More options of `launch`."""

    @property
    def data_folder(self) -> Path:
        return self.root / "data"

    @property
    def snapshot(self) -> Path:
        return self.root / "snapshot"

    def write(self) -> None:
        scripts = {name: textwrap.dedent(text).encode() for name, text in self.scripts.items()}
        for folder, files in ((self.snapshot / "scripts", scripts), (self.data_folder, self.data or {})):
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        document = {
            "version": 1,
            "experiment": "digits",
            "drop": "0" * 64,
            "scripts": [entry(name, content) for name, content in scripts.items()],
            "data": [entry(name, content) for name, content in (self.data or {}).items()],
            "entry_script": None,
            "ignored": self.ignored,
        }
        self.snapshot.mkdir(exist_ok=True)
        (self.snapshot / "manifest.json").write_text(json.dumps(document))

    def command(self, *argv: str, shell: str | None = None) -> list[str]:
        command = [sys.executable, "-m", "training_job.launch", "--snapshot", str(self.snapshot)]
        if self.data is not None:
            command += ["--data", str(self.data_folder)]
        command += self.options
        return [*command, "--shell", shell] if shell is not None else [*command, "--", *argv]

    def environment(self, **more: str) -> Mapping[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "KEDJA_", "PYTHON"))}
        return {**kept, "PYTHONPATH": str(ROOT), "KEDJA_EXPORT": NO_EXPORT, **more}

    def launch(self, *argv: str, shell: str | None = None, **environment: str) -> Ended:
        self.write()
        folder = self.root / "job"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            self.command(*argv, shell=shell),
            cwd=folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr, folder, manifest_of(folder))


def entry(name: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.md5(content, usedforsecurity=False).digest()
    return {"name": name, "size": len(content), "md5": base64.b64encode(digest).decode(), "etag": "0x8D"}


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "outputs/.kedja-manifest.json").read_text())
    return manifest
