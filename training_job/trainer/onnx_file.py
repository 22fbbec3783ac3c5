"""`model.onnx`: the network for other runtimes, if the `onnx` package is installed."""

import importlib
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import chainer
import numpy as np

from training_job.trainer.preprocessing import Preprocessor

NAME = "model.onnx"


def is_possible() -> bool:
    """Return whether `onnx` is installed."""
    return importlib.util.find_spec("onnx") is not None


def write(folder: Path, network: Any, preprocessor: Preprocessor) -> str | None:  # noqa: ANN401 - Chainer has no types
    """Write the network with its weights. It takes preprocessed inputs, (N, *network_shape), for any N.

    Return why it could not be written, or None. The file is written atomically.
    """
    exporter = importlib.import_module("onnx_chainer")  # imports onnx, which is slow
    example: Any = np.zeros((1, *preprocessor.network_shape), np.float32)
    temporary = folder / f".{NAME}.part"
    try:
        with chainer.using_config("train", False), warnings.catch_warnings():  # noqa: FBT003 - Chainer's signature
            warnings.simplefilter("ignore")
            exporter.export(
                network,
                example,
                filename=str(temporary),
                input_shapes=("N", *preprocessor.network_shape),
                no_testcase=True,
            )
        temporary.replace(folder / NAME)
    except Exception as error:  # noqa: BLE001 - the network may be the user's own
        return f"{type(error).__name__}: {error}"
    finally:
        temporary.unlink(missing_ok=True)
    return None
