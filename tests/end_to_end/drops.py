"""What tests drop, and what they expect to find of it."""

import io
from typing import Any

import numpy as np

SCRIPT = b"""
import json, os, pathlib, sys, time
import numpy as np

data = pathlib.Path(os.environ["KEDJA_DATA"]) if "KEDJA_DATA" in os.environ else None
count = sum(1 for path in data.rglob("*") if path.is_file()) if data else 0
print("files", count)
time.sleep(float(sys.argv[sys.argv.index("--sleep") + 1]) if "--sleep" in sys.argv else 0)
os.makedirs("outputs", exist_ok=True)
np.savez("outputs/model.npz", files=count)
pathlib.Path("outputs/metrics.json").write_text(json.dumps({"accuracy": 0.75, "files": count}))
"""
"""Counts its files, and makes a model of that."""
SLOW = b"kedja: {arguments: {sleep: 8}}\n"
"""A job.yaml with which SCRIPT takes eight seconds."""


def npz(**arrays: Any) -> bytes:  # noqa: ANN401 - arrays
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def arrays(seed: int = 0) -> bytes:
    """Return a small .npz that the built-in trainer can learn."""
    random = np.random.default_rng(seed)
    y: np.ndarray = np.repeat(np.arange(2), 50)
    x = (random.normal(size=(100, 4)) + y[:, None] * 4).astype(np.float32)
    return npz(x=x, y=y)


def one(receipts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the only receipt."""
    assert len(receipts) == 1, [(receipt["status"], receipt["drop"][:8]) for receipt in receipts]
    return receipts[0]
