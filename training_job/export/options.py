"""What job.yaml says of the export: `kedja.export`, which comes as JSON in the variable KEDJA_EXPORT."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from training_job.errors import ExportError

VARIABLE = "KEDJA_EXPORT"


class Onnx(StrEnum):
    """Whether networks are exported. If `REQUIRED`, the job fails without a verified export."""

    AUTO = "auto"
    REQUIRED = "required"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How networks are exported and compared.

    `network` is the name of the one that others use by default. `rtol` and `atol` are the tolerances of the comparison,
    and `samples` is the number of inputs. The default tolerances are usual for ONNX: 1e-5 is too tight for float32
    (huggingface/optimum#449).
    """

    onnx: Onnx = Onnx.AUTO
    network: str | None = None
    rtol: float = 1e-3
    atol: float = 1e-4
    samples: int = 64

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the options of a JSON document such as `{"onnx": "auto", "parity": {"samples": 8}}`.

        Raises:
            ExportError: A value is not valid.
        """
        parity = document.get("parity") or {}
        network = document.get("network")
        try:
            options = cls(
                onnx=Onnx(document.get("onnx", cls.onnx)),
                network=None if network is None else str(network),
                rtol=float(parity.get("rtol", cls.rtol)),
                atol=float(parity.get("atol", cls.atol)),
                samples=int(parity.get("samples", cls.samples)),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ExportError(f"{VARIABLE} has a value that is not valid: {error}") from error
        if not (0 <= options.rtol < 1 and 0 <= options.atol < 1 and options.samples >= 1):
            raise ExportError(
                f"{VARIABLE} has rtol {options.rtol}, atol {options.atol} and samples {options.samples}: "
                "tolerances are from 0 to 1, and samples at least 1"
            )
        return options

    @classmethod
    def from_environment(cls) -> Self:
        """Return the options of this process.

        Raises:
            ExportError: The variable is not a JSON object with valid values.
        """
        try:
            document = json.loads(os.environ.get(VARIABLE) or "{}")
        except ValueError as error:
            raise ExportError(f"{VARIABLE} is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise ExportError(f"{VARIABLE} is {document!r}: it is a JSON object")
        return cls.of(document)
