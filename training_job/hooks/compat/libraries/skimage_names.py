# ruff: noqa: ANN401 - scikit-image's old signatures
"""The names and arguments that scikit-image has removed, for old code.

Sources: https://scikit-image.org/docs/stable/release_notes/, versions 0.11 to 0.25.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_modules, lost_names


def _channels(function: str) -> Callable[..., Any]:
    """Return a function of `skimage` that takes `multichannel=True` for an array whose last axis has the channels."""
    module, _, name = function.rpartition(".")

    def called(*args: Any, multichannel: bool = False, **kwargs: Any) -> Any:
        if multichannel:
            kwargs.setdefault("channel_axis", -1)
        return getattr(import_module(module), name)(*args, **kwargs)

    return called


def _same(path: str) -> Callable[[], Any]:
    module, _, name = path.rpartition(".")
    return lambda: getattr(import_module(module), name)


def _circle(r: float, c: float, radius: float, shape: Any = None) -> Any:
    return import_module("skimage.draw").disk((r, c), radius, shape=shape)


NAMES: dict[str, Mapping[str, Callable[[], Any]]] = {
    "skimage.measure": {
        "compare_ssim": lambda: _compare_ssim,
        "compare_psnr": lambda: _compare_psnr,
        "compare_mse": _same("skimage.metrics.mean_squared_error"),
        "compare_nrmse": _same("skimage.metrics.normalized_root_mse"),
    },
    "skimage.filters": {
        "gaussian_filter": lambda: _channels("skimage.filters.gaussian"),
        "threshold_adaptive": lambda: _threshold_adaptive,
        "canny": _same("skimage.feature.canny"),
    },
    "skimage.feature": {
        "greycomatrix": _same("skimage.feature.graycomatrix"),
        "greycoprops": _same("skimage.feature.graycoprops"),
        "register_translation": _same("skimage.registration.phase_cross_correlation"),
    },
    "skimage.color": {"rgb2grey": _same("skimage.color.rgb2gray"), "grey2rgb": _same("skimage.color.gray2rgb")},
    "skimage.draw": {"circle": lambda: _circle},
    "skimage.morphology": {"watershed": _same("skimage.segmentation.watershed")},
}
"""What makes each lost name, by module."""


def _value_range(image: Any, given: Any) -> Any:
    if given is not None or np.asarray(image).dtype.kind != "f":
        return given
    return 2.0  # what compare_ssim took floating point values for: -1 to 1


def _compare_ssim(x: Any, y: Any, *args: Any, data_range: Any = None, **kwargs: Any) -> Any:
    data_range = kwargs.pop("dynamic_range", data_range)
    return _channels("skimage.metrics.structural_similarity")(
        x, y, *args, data_range=_value_range(x, data_range), **kwargs
    )


def _compare_psnr(im_true: Any, im_test: Any, data_range: Any = None, dynamic_range: Any = None) -> Any:
    measure = import_module("skimage.metrics").peak_signal_noise_ratio
    return measure(im_true, im_test, data_range=dynamic_range if data_range is None else data_range)


def _threshold_adaptive(image: Any, block_size: int, *args: Any, **kwargs: Any) -> Any:
    return image > import_module("skimage.filters").threshold_local(image, block_size, *args, **kwargs)


def install(module: ModuleType) -> None:  # noqa: ARG001 - it has lost a module, which is provided
    """Provide `skimage.filter`."""
    lost_modules.provide({"skimage.filter": lost_modules.alias("skimage.filters")})


def serve(module: ModuleType) -> None:
    """Serve what this module of scikit-image has lost."""
    lost_names.serve(module, NAMES[module.__name__])


def install_transform(module: ModuleType) -> None:
    """Accept `multichannel=` in functions that change an image's size."""
    for name in ("rescale", "pyramid_reduce", "pyramid_expand", "pyramid_gaussian"):
        lost_names.wrap_keywords(module, name, {"multichannel": _axis})


def _axis(kwargs: dict[str, Any], value: Any) -> None:
    if value:
        kwargs.setdefault("channel_axis", -1)
