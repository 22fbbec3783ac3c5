# ruff: noqa: ANN401 - Matplotlib's old signatures
"""The names and arguments that Matplotlib has removed, for old code.

Sources: the "Removals" of https://matplotlib.org/stable/release/prev_whats_new/, versions 3.0 to 3.11.
"""

import functools
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_modules, lost_names
from training_job.hooks.compat.lost_names import Translator, dropped, renamed_to

_COLORMAPS = {
    "spectral": "nipy_spectral",
    "Vega10": "tab10",
    "Vega20": "tab20",
    "Vega20b": "tab20b",
    "Vega20c": "tab20c",
}
_STYLE = "-v0_8"
_OF_SCALES = {"base": "base", "nonpos": "nonpositive", "subs": "subs"}
_BACKGROUND = {name: renamed_to("facecolor") for name in ("axisbg", "axis_bgcolor")}


def install(module: ModuleType) -> None:
    """Accept `matplotlib.use(…, warn=…)`, and provide `mpl_toolkits.axes_grid`."""
    lost_names.wrap_keywords(module, "use", {"warn": dropped})
    lost_modules.provide({"mpl_toolkits.axes_grid": lost_modules.alias("mpl_toolkits.axes_grid1")})


def install_style(module: ModuleType) -> None:
    """Know the styles of seaborn by their old names, without `-v0_8`."""
    library = module.library
    for name in [name for name in library if name.startswith("seaborn") and _STYLE in name]:
        library.setdefault(name.replace(_STYLE, ""), library[name])


def install_colormaps(module: ModuleType) -> None:
    """Serve `get_cmap`, `register_cmap` and the old names of color maps in `matplotlib.cm`."""
    matplotlib = import_module("matplotlib")

    def get_cmap(name: Any = None, lut: int | None = None) -> Any:
        if name is not None and not isinstance(name, str):
            return name
        chosen = matplotlib.rcParams["image.cmap"] if name is None else _COLORMAPS.get(name, name)
        found = matplotlib.colormaps[chosen]
        return found if lut is None else found.resampled(lut)

    def register_cmap(name: str | None = None, cmap: Any = None, **options: Any) -> None:  # noqa: ARG001 - of no use
        matplotlib.colormaps.register(cmap, name=name, force=True)

    makers: dict[str, Callable[[], Any]] = {"get_cmap": lambda: get_cmap, "register_cmap": lambda: register_cmap}
    makers |= {old: functools.partial(get_cmap, old) for old in _COLORMAPS}
    lost_names.serve(module, makers)


def _old_projection(function: Callable[..., Any], figure: Any, **kwargs: Any) -> Any:
    """Return the figure's axes; new ones if it asks for a projection."""
    return figure.add_subplot(**kwargs) if kwargs else function(figure)


def install_figure(module: ModuleType) -> None:
    """Accept `Figure.gca(projection=…)` and `savefig(frameon=…)`."""
    lost_names.wrap(import_module("matplotlib.figure").FigureBase, "gca", _old_projection)
    lost_names.wrap_keywords(module.Figure, "savefig", {"frameon": dropped})
    for name in ("add_subplot", "add_axes"):
        lost_names.wrap_keywords(import_module("matplotlib.figure").FigureBase, name, _BACKGROUND)


def install_axes(module: ModuleType) -> None:
    """Accept `hist(normed=…)` and other old arguments, and serve `hold` and the background's old names."""
    axes = module.Axes
    _accept_arguments(axes)
    lost_names.wrap_keywords(axes, "grid", {"b": renamed_to("visible")})
    lost_names.wrap(axes, "tick_params", _tick_params)
    for letter in "xy":
        lost_names.wrap_keywords(axes, f"set_{letter}scale", _scale(letter))
    members: dict[str, Callable[..., Any]] = {
        "hold": lambda self, b=None: None,  # noqa: ARG005 - it is always on
        "ishold": lambda self: True,  # noqa: ARG005
        "set_axis_bgcolor": lambda self, color: self.set_facecolor(color),
        "get_axis_bgcolor": lambda self: self.get_facecolor(),
    }
    lost_names.serve_instances(axes, members)


def _scale(letter: str) -> dict[str, Translator]:
    """Return the translators of arguments that had the axis in their names, such as `basex`."""
    return {f"{name}{letter}": renamed_to(today) for name, today in _OF_SCALES.items()}


def _accept_arguments(owner: Any) -> None:
    """Accept old arguments of the functions of `Axes`, or of `pyplot`, which has functions of the same names."""
    lost_names.wrap_keywords(owner, "hist", {"normed": renamed_to("density"), "hold": dropped})
    lost_names.wrap_keywords(owner, "boxplot", {"labels": renamed_to("tick_labels"), "hold": dropped})
    for name in ("plot", "imshow", "scatter", "bar", "contour", "contourf", "fill"):
        lost_names.wrap_keywords(owner, name, {"hold": dropped})


def _tick_params(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Set the ticks with 'on' and 'off' for True and False."""
    words = {"on": True, "off": False}
    return function(
        *args, **{key: words.get(value, value) if isinstance(value, str) else value for key, value in kwargs.items()}
    )


def install_pyplot(module: ModuleType) -> None:
    """Accept the old arguments of pyplot's functions, and serve `hold`, `ishold` and `over`."""
    _accept_arguments(module)
    lost_names.wrap_keywords(module, "grid", {"b": renamed_to("visible")})
    lost_names.wrap_keywords(module, "savefig", {"frameon": dropped})
    lost_names.wrap(module, "tick_params", _tick_params)
    lost_names.wrap(module, "get_cmap", _get_cmap)
    for name in ("subplot", "axes"):
        lost_names.wrap_keywords(module, name, _BACKGROUND)
    for letter in "xy":
        lost_names.wrap_keywords(module, f"{letter}scale", _scale(letter))
    lost_names.wrap(module, "gca", lambda _, **kwargs: module.gcf().gca(**kwargs))
    makers: dict[str, Callable[[], Any]] = {
        "hold": lambda: lambda b=None: None,  # noqa: ARG005 - it is always on
        "ishold": lambda: lambda: True,
        "over": lambda: lambda function, *args, **kwargs: function(*args, **kwargs),
        "spectral": lambda: lambda: module.set_cmap("nipy_spectral"),
    }
    lost_names.serve(module, makers)


def _get_cmap(function: Callable[..., Any], name: Any = None, lut: int | None = None) -> Any:
    return function(_COLORMAPS.get(name, name) if isinstance(name, str) else name, lut)


def install_canvas(module: ModuleType) -> None:
    """Serve `tostring_rgb` and `set_window_title` of the canvas."""

    def tostring_rgb(self: Any) -> bytes:
        self.draw()
        return bytes(np.asarray(self.buffer_rgba())[..., :3].tobytes())

    def set_window_title(self: Any, title: str) -> None:
        if self.manager is not None:
            self.manager.set_window_title(title)

    members = {"tostring_rgb": tostring_rgb, "set_window_title": set_window_title}
    lost_names.add_members(module.FigureCanvasAgg, members)


def install_mlab(module: ModuleType) -> None:
    """Serve `normpdf` and `find` of `matplotlib.mlab`."""

    def normpdf(x: Any, mu: Any, sigma: Any) -> Any:
        return np.exp(-(((np.asarray(x) - mu) / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma)

    def find(condition: Any) -> Any:
        return np.nonzero(np.ravel(condition))[0]

    lost_names.serve(module, {"normpdf": lambda: normpdf, "find": lambda: find})
