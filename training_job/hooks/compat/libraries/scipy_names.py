# ruff: noqa: ANN401, FBT001, FBT002 - SciPy's old signatures
"""The names that SciPy has removed, for old code.

Sources: the release notes of SciPy 1.2 to 1.15, https://docs.scipy.org/doc/scipy/release.html
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_modules, lost_names
from training_job.hooks.compat.numpy import names as numpy_names

_COMPLEX = ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "logn", "power", "sqrt")
"""SciPy's own versions of these gave complex results for negative numbers."""

_WINDOWS = (
    "barthann", "bartlett", "blackman", "blackmanharris", "bohman", "boxcar", "chebwin", "cosine", "exponential",
    "flattop", "gaussian", "general_cosine", "general_gaussian", "general_hamming", "hamming", "hann", "kaiser",
    "nuttall", "parzen", "triang", "tukey",
)  # fmt: skip


def _today(path: str) -> Callable[[], Any]:
    """Return what looks a name up, such as `scipy.special.comb`."""
    module, _, name = path.rpartition(".")
    return lambda: getattr(import_module(module), name)


def install(module: ModuleType) -> None:
    """Serve NumPy's functions, which `scipy` had as its own, `interp`, and `scipy.misc` without an import."""
    lost_names.serve(module, _top)
    lost_modules.provide({"scipy.misc": _fill_misc})


def _top(name: str) -> Any:
    special: dict[str, Callable[[], Any]] = {
        "misc": lambda: import_module("scipy.misc"),
        "rand": lambda: np.random.rand,
        "randn": lambda: np.random.randn,
        "ifft": lambda: np.fft.ifft,
    }
    if name in special:
        return special[name]()
    if name in _COMPLEX:
        return getattr(np.emath, name)
    return getattr(np, name) if name in np.__all__ else numpy_names.find(name)


def _face(gray: bool = False) -> Any:
    """Return SciPy's picture of a raccoon, which today's SciPy downloads with the package pooch."""
    return import_module("scipy.datasets").face(gray=gray)


def _misc() -> Mapping[str, Callable[[], Any]]:
    images = "training_job.hooks.compat.libraries.scipy_images"
    special = ("comb", "factorial", "factorial2", "factorialk", "logsumexp")
    return (
        {name: _today(f"{images}.{name}") for name in import_module(images).__all__}
        | {name: _today(f"scipy.special.{name}") for name in special}
        | {name: _today(f"scipy.datasets.{name}") for name in ("ascent", "electrocardiogram")}
        | {"face": lambda: _face, "derivative": lambda: derivative}
    )


def install_misc(module: ModuleType) -> None:
    """Serve `scipy.misc`: its functions for images, and those of `scipy.special` and `scipy.datasets`."""
    lost_names.serve(module, _misc())


def _fill_misc(module: ModuleType) -> None:
    vars(module).update({name: make() for name, make in _misc().items()})


def derivative(func: Callable[..., Any], x0: Any, dx: float = 1.0, n: int = 1, args: Any = (), order: int = 3) -> Any:
    """Return the n-th derivative by central differences with `order` points, as `scipy.misc.derivative` did.

    Raises:
        ValueError: `order` is even, or not more than `n`.
    """
    if order <= n or order % 2 == 0:
        raise ValueError("'order' (the number of points used) must be odd, and at least the derivative order 'n' + 1.")
    steps: Any = np.arange(order) - order // 2
    # The weights differentiate the polynomial through the points.
    powers = np.vander(steps, increasing=True).T
    target = np.zeros(order)
    target[n] = float(import_module("scipy.special").factorial(n))
    weights = np.linalg.solve(powers, target)
    values = (weight * func(x0 + step * dx, *args) for weight, step in zip(weights, steps, strict=True))
    return sum(values) / dx**n


def install_ndimage(module: ModuleType) -> None:
    """Serve `scipy.ndimage.imread`."""
    lost_names.serve(module, {"imread": _today("training_job.hooks.compat.libraries.scipy_images.imread")})


def _simps(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1, even: Any = None) -> Any:  # noqa: ARG001 - without effect
    return import_module("scipy.integrate").simpson(y, x=x, dx=dx, axis=axis)


def install_integrate(module: ModuleType) -> None:
    """Serve `trapz`, `simps` and `cumtrapz`."""
    makers = {
        "trapz": _today("scipy.integrate.trapezoid"),
        "cumtrapz": _today("scipy.integrate.cumulative_trapezoid"),
        "simps": lambda: _simps,
    }
    lost_names.serve(module, makers)


def install_signal(module: ModuleType) -> None:
    """Serve the windows, which are in `scipy.signal.windows` today."""
    makers = {name: _today(f"scipy.signal.windows.{name}") for name in _WINDOWS}
    lost_names.serve(module, makers | {"hanning": _today("scipy.signal.windows.hann")})


def _binom_test(x: Any, n: Any = None, p: float = 0.5, alternative: str = "two-sided") -> float:
    hits, tries = (x[0], x[0] + x[1]) if n is None else (x, n)
    return float(import_module("scipy.stats").binomtest(int(hits), int(tries), p, alternative).pvalue)


def _itemfreq(a: Any) -> Any:
    items, counts = np.unique(a, return_counts=True)
    return np.array([items, counts]).T


def _threshold(a: Any, threshmin: Any = None, threshmax: Any = None, newval: Any = 0) -> Any:
    values = np.array(a)
    outside = np.zeros(values.shape, dtype=bool)
    if threshmin is not None:
        outside |= values < threshmin
    if threshmax is not None:
        outside |= values > threshmax
    values[outside] = newval
    return values


def _median_absolute_deviation(
    x: Any, axis: Any = 0, center: Any = np.median, scale: float = 1.4826, **more: Any
) -> Any:
    return import_module("scipy.stats").median_abs_deviation(x, axis=axis, center=center, scale=1 / scale, **more)


def install_stats(module: ModuleType) -> None:
    """Serve functions of `scipy.stats`."""
    makers: dict[str, Callable[[], Any]] = {
        "betai": _today("scipy.special.betainc"),
        "chisqprob": lambda: lambda chisq, df: import_module("scipy.special").chdtrc(df, chisq),
        "binom_test": lambda: _binom_test,
        "itemfreq": lambda: _itemfreq,
        "threshold": lambda: _threshold,
        "median_absolute_deviation": lambda: _median_absolute_deviation,
    }
    lost_names.serve(module, makers)


def install_linalg(module: ModuleType) -> None:
    """Serve `pinv2`, `tri`, `triu` and `tril`."""
    makers: dict[str, Callable[[], Any]] = {name: _today(f"numpy.{name}") for name in ("tri", "triu", "tril")}
    lost_names.serve(module, makers | {"pinv2": _today("scipy.linalg.pinv")})


def install_special(module: ModuleType) -> None:
    """Serve `sph_harm(m, n, theta, phi)`, whose angles and order have changed places since."""
    old = lambda m, n, theta, phi: import_module("scipy.special").sph_harm_y(n, m, phi, theta)  # noqa: E731 - short
    lost_names.serve(module, {"sph_harm": lambda: old})


def install_distance(module: ModuleType) -> None:
    """Serve `matching` and `wminkowski` of `scipy.spatial.distance`."""
    weighted = lambda u, v, p, w: import_module("scipy.spatial.distance").minkowski(u, v, p, np.asarray(w) ** p)  # noqa: E731
    lost_names.serve(module, {"matching": _today("scipy.spatial.distance.hamming"), "wminkowski": lambda: weighted})
