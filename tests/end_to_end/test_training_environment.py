"""The environment of jobs on Azure ML: installed from nothing, and logging the way that azureml-mlflow does.

Installing takes seconds if uv has the packages, and a download of 1.3 GB if not.
"""

import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.xdist_group("training-environment")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "training_job/environment"
UV = os.environ.get("KEDJA_UV", str(ROOT / ".venv-tools/bin/uv"))
PYTHON = ROOT / ".venv-training/bin/python"
WORKSPACE = "subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/w"


class Service(ThreadingHTTPServer):
    """Stands where a workspace's MLflow is, and keeps what is posted to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.posted: list[tuple[str, str, dict[str, Any]]] = []
        self.certificate = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Requests(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, self.headers["Authorization"], body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "service.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install requirements.txt, as the Dockerfile does, and return the Python that has it."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([UV, "venv", "--quiet", "--python", str(PYTHON.resolve()), str(folder)], check=True)
    subprocess.run(
        [UV, "pip", "sync", "--quiet", "--python", str(folder), "--require-hashes",
         "--build-constraints", str(ENVIRONMENT / "build-constraints.txt"), str(ENVIRONMENT / "requirements.txt")],
        check=True,
    )  # fmt: skip
    return folder / "bin/python"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    server = Service(tmp_path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_it_imports_chainer_and_cupy(python: Path) -> None:
    # CuPy itself can be imported where there is no CUDA; Chainer then says that there is none.
    code = "import training_job, chainer, cupy, azureml.mlflow; print(chainer.__version__, cupy.__version__)"
    done = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("7.8.1 13."), done.stderr


def test_cupy_finds_cudnn_and_nccl(python: Path) -> None:
    code = """
import training_job, cupy.cuda.cudnn, cupy.cuda.nccl
print(cupy.cuda.cudnn.getVersion() // 100, cupy.cuda.nccl.available)
"""
    done = subprocess.run([python, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "89 True\n", done.stderr


def test_a_job_logs_through_azureml_mlflow(python: Path, service: Service, tmp_path: Path) -> None:
    (tmp_path / "snapshot/scripts").mkdir(parents=True)
    manifest = {"version": 1, "experiment": "e", "drop": "0" * 64, "scripts": [], "data": [], "ignored": []}
    (tmp_path / "snapshot/manifest.json").write_text(json.dumps({**manifest, "entry_script": None}))
    (tmp_path / "job").mkdir()
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    token = jwt.encode({"exp": expires}, "k" * 32)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "KEDJA_", "AZUREML_"))}
    script = "from azureml.core import Run; Run.get_context().log('accuracy', 0.97)"
    done = subprocess.run(
        [python, "-m", "training_job.launch", "--snapshot", str(tmp_path / "snapshot"), "--", "python", "-c", script],
        cwd=tmp_path / "job",
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "REQUESTS_CA_BUNDLE": str(service.certificate),
            "MLFLOW_TRACKING_URI": f"azureml://127.0.0.1:{service.server_port}/mlflow/v1.0/{WORKSPACE}",
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_RUN_ID": "run-1",
            "MLFLOW_EXPERIMENT_NAME": "e",
            "AZUREML_RUN_ID": "run-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert service.posted, done.stderr
    assert all(authorization == f"Bearer {token}" for _, authorization, _ in service.posted)
    assert all(path.endswith("/mlflow/runs/log-batch") and WORKSPACE in path for path, _, _ in service.posted)
    logged = [metric for _, _, body in service.posted for metric in body.get("metrics", [])]
    assert [(metric["key"], metric["value"]) for metric in logged] == [("accuracy", 0.97)]
