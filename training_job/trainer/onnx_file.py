"""`model.onnx`: the network for other runtimes, where the `onnx` package is installed."""

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
    """Write the network with its weights; it takes prepared inputs, (N, *network_shape), and any N.

    Returns why it could not be written, or None. The file is there whole or not at all.
    """
    exporter = importlib.import_module("onnx_chainer")  # it imports onnx, which takes long
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
    except Exception as error:  # noqa: BLE001 - an exporter that no longer changes, and a network of the user's
        return f"{type(error).__name__}: {error}"
    finally:
        temporary.unlink(missing_ok=True)
    return None
