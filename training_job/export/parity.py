"""Compares an ONNX file in ONNX Runtime with what Chainer computes, and keeps the evidence.

`<name>.npz` has `inputs/<input>` and Chainer's `outputs/<output>` of the largest batch; `<name>.json` is::

    {"version": 1, "verified": true, "samples": 64, "batches": [1, 2, 64], "held_out": false, "seconds": 0.3,
     "tolerances": {"rtol": 0.001, "atol": 0.0001},
     "outputs": {"output": {"absolute": 1.8e-07, "relative": 2e-06, "argmax": 1.0, "argmax_equal": true,
                            "finite": true, "within": true}},
     "versions": {"chainer": "7.8.1", …}, "files": {"model.onnx": "<SHA-256>", …}}

An output is *within* if each value differs by at most `atol * max(1, largest |output|) + rtol * |value|`. `argmax` is
the share of examples for which the same class is best; `argmax_equal` counts only those whose two best classes differ
by more than the tolerance.
"""

import functools
import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from training_job.atomic_write import open_atomic, write_json
from training_job.export.options import Options

_VERSION = 1
_PACKAGES = ("chainer", "numpy", "onnx", "onnxruntime")
_TINY = 1e-12

Compute = Callable[[Sequence[Any]], Mapping[str, Any]]
"""Chainer's outputs by name, for inputs in the order of the network's."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the values of one output differ, at most; see the module."""

    absolute: float
    relative: float
    argmax: float | None
    argmax_equal: bool
    finite: bool
    within: bool

    @property
    def is_verified(self) -> bool:
        """Whether the output is the same within the tolerances."""
        return self.finite and self.within and self.argmax_equal

    def worse(self, other: "Difference") -> "Difference":
        """Return the larger of two differences of the same output."""
        shares = [share for share in (self.argmax, other.argmax) if share is not None]
        return Difference(
            absolute=_largest(self.absolute, other.absolute),
            relative=_largest(self.relative, other.relative),
            argmax=min(shares, default=None),
            argmax_equal=self.argmax_equal and other.argmax_equal,
            finite=self.finite and other.finite,
            within=self.within and other.within,
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of a network: the differences by output, the batches, and Chainer's values of the last one."""

    differences: Mapping[str, Difference]
    batches: tuple[int, ...]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    error: str | None = None

    @property
    def samples(self) -> int:
        """The number of inputs."""
        return max(self.batches, default=0)

    @property
    def is_verified(self) -> bool:
        """Whether all outputs are the same within the tolerances, at each batch."""
        return self.error is None and bool(self.differences) and all(d.is_verified for d in self.differences.values())

    def sentence(self, name: str) -> str:
        """Return one sentence for the receipt about the file of this name."""
        if self.error is not None:
            return f"{name} was not verified: {self.error}."
        largest = functools.reduce(_largest, (d.absolute for d in self.differences.values()), 0.0)
        count = f"{self.samples} input{'' if self.samples == 1 else 's'}"
        if self.is_verified:
            return f"{name} gives the same answers as Chainer on {count} (largest difference {largest:.1e})."
        bad = next((output for output, d in self.differences.items() if not d.is_verified), "")
        d = self.differences[bad]
        if not d.finite:
            why = "it has values that are not finite"
        elif not d.within:
            why = f"it differs by up to {d.absolute:.1e}"
        else:
            why = f"another class is best for {1 - (d.argmax or 0):.0%} of the inputs"
        return f"{name} was not verified: on {count}, {bad!r} is not what Chainer computes: {why}."


def compare(
    file: Path, compute: Compute, names: Sequence[str], batches: Mapping[int, Sequence[Any]], options: Options
) -> Comparison:
    """Run a file on batches and compare with Chainer.

    `batches` has by the number of examples an array for each input, in the order of `names`. No error is raised: what
    fails in ONNX Runtime or in Chainer is the comparison's `error`.
    """
    differences: dict[str, Difference] = {}
    sizes: list[int] = []
    given: Mapping[str, Any] = {}
    wanted: Mapping[str, Any] = {}
    try:
        session = _session(file)
        outputs = [value.name for value in session.get_outputs()]
        for size, arrays in batches.items():
            given = dict(zip(names, arrays, strict=True))
            wanted = {name: np.asarray(value) for name, value in compute(arrays).items()}
            got = dict(zip(outputs, session.run(None, given), strict=True))
            for name, value in wanted.items():
                found = difference(value, np.asarray(got[name]), options)
                differences[name] = differences[name].worse(found) if name in differences else found
            sizes.append(size)
    except Exception as error:  # noqa: BLE001 - the network is the script's, and ONNX Runtime has no base of its errors
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Comparison(differences=differences, batches=tuple(sizes), inputs={}, outputs={}, error=reason)
    return Comparison(differences=differences, batches=tuple(sizes), inputs=given, outputs=wanted)


def _session(file: Path) -> Any:  # noqa: ANN401 - onnxruntime has no types
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])


def difference(want: Any, got: Any, options: Options) -> Difference:  # noqa: ANN401 - arrays
    """Return how far an output differs from what Chainer computed."""
    if want.shape != got.shape:
        infinite = float("inf")
        return Difference(
            absolute=infinite, relative=infinite, argmax=None, argmax_equal=False, finite=True, within=False
        )
    wanted, found = want.astype(np.float64), got.astype(np.float64)
    is_finite = bool(np.isfinite(wanted).all() and np.isfinite(found).all())
    with np.errstate(invalid="ignore"):
        gaps = np.abs(wanted - found)
    scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
    allowed = options.atol * scale + options.rtol * np.abs(wanted)
    share, is_equal = _argmax(wanted, found, allowed)
    return Difference(
        absolute=float(gaps.max(initial=0.0)),
        relative=float((gaps / np.maximum(np.abs(wanted), _TINY)).max(initial=0.0)),
        argmax=share,
        argmax_equal=is_equal,
        finite=is_finite,
        within=bool((gaps <= allowed).all()),
    )


def _argmax(wanted: Any, found: Any, allowed: Any) -> tuple[float | None, bool]:  # noqa: ANN401 - arrays
    if wanted.ndim < 2 or wanted.shape[1] < 2 or not wanted.size:  # noqa: PLR2004 - classes along the second axis
        return None, True
    same = wanted.argmax(axis=1) == found.argmax(axis=1)
    best = np.partition(wanted, -2, axis=1)
    is_clear = np.take(best, -1, axis=1) - np.take(best, -2, axis=1) > allowed.max(axis=1)
    return float(same.mean()), bool((same | ~is_clear).all())


def write(
    folder: Path, name: str, onnx: Path, comparison: Comparison, options: Options, facts: Mapping[str, Any]
) -> Path:
    """Write `<name>.npz` and `<name>.json`, and return the latter. `facts` are added to it.

    Raises:
        OSError: A file cannot be written.
    """
    arrays = {f"inputs/{key}": value for key, value in comparison.inputs.items()}
    arrays |= {f"outputs/{key}": value for key, value in comparison.outputs.items()}
    evidence, path = folder / f"{name}.npz", folder / f"{name}.json"
    with open_atomic(evidence) as stream:
        np.savez_compressed(stream, **arrays)
    document = {
        "version": _VERSION,
        "verified": comparison.is_verified,
        "error": comparison.error,
        "samples": comparison.samples,
        "batches": list(comparison.batches),
        **facts,
        "tolerances": {"rtol": options.rtol, "atol": options.atol},
        "outputs": {key: _finite(asdict(value)) for key, value in comparison.differences.items()},
        "versions": {"python": platform.python_version(), **{key: metadata.version(key) for key in _PACKAGES}},
        "files": {file.name: _sha256(file) for file in (onnx, evidence)},
    }
    write_json(path, document)
    return path


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose numbers JSON can hold: None in place of nan and infinity."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in document.items()
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _largest(first: float, second: float) -> float:
    return max(first, second, key=lambda value: (np.isnan(value), value))
