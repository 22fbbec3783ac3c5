# ruff: noqa: ANN401 - the libraries' old signatures
"""Calls and names of smaller libraries that they have come to refuse, for old code: PyYAML, NLTK, NetworkX, gym."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from training_job.hooks.compat import lost_names

_NLTK_SUCCESSORS = {
    "punkt": "punkt_tab",
    "averaged_perceptron_tagger": "averaged_perceptron_tagger_eng",
    "maxent_ne_chunker": "maxent_ne_chunker_tab",
}
"""Packages of pickles, and those of the same content that NLTK 3.9 and later load instead."""


def install_yaml(module: ModuleType) -> None:
    """Load without a loader as PyYAML 5.1 to 5.4 did, with FullLoader.

    Before 5.1 it was the unsafe loader, which runs what the document says: a script that needs that has to name it.
    See https://github.com/yaml/pyyaml/wiki/PyYAML-yaml.load(input)-Deprecation
    """

    def load(function: Callable[..., Any], stream: Any, Loader: Any = None) -> Any:  # noqa: N803 - PyYAML's name
        return function(stream, Loader=Loader or module.FullLoader)

    for name in ("load", "load_all"):
        lost_names.wrap(module, name, load)


def install_nltk(module: ModuleType) -> None:
    """Download with a package of pickles the one that NLTK loads instead."""

    def download(function: Callable[..., Any], info_or_id: Any = None, *args: Any, **kwargs: Any) -> Any:
        for name in [info_or_id] if isinstance(info_or_id, str) else list(info_or_id or ()):
            if name in _NLTK_SUCCESSORS:
                function(_NLTK_SUCCESSORS[name], *args, **kwargs)
        return function(info_or_id, *args, **kwargs)

    lost_names.wrap(module, "download", download)


def install_networkx(module: ModuleType) -> None:
    """Serve the functions of matrices and components that NetworkX 3.0 and 2.4 removed."""

    def components(graph: Any, copy: bool = True) -> Any:  # noqa: FBT001, FBT002 - NetworkX's signature
        for nodes in module.connected_components(graph):
            yield graph.subgraph(nodes).copy() if copy else graph.subgraph(nodes)

    makers: dict[str, Callable[[], Any]] = {
        "connected_component_subgraphs": lambda: components,
        "from_numpy_matrix": lambda: module.from_numpy_array,
        "to_numpy_matrix": lambda: lambda graph, **options: _matrix(module.to_numpy_array(graph, **options)),
    }
    lost_names.serve(module, makers)


def install_gym(module: ModuleType) -> None:
    """Give the specifications of environments `timestep_limit`, the name before gym 0.10 of `max_episode_steps`."""
    module.EnvSpec.timestep_limit = property(lambda spec: spec.max_episode_steps)


def install_gym_environments(module: ModuleType) -> None:
    """Register Pendulum-v0 again, which gym 0.21 removed: it is version 1 by another name.

    Version 1 computes the same; only the shape and the type of its observations are fixed
    (https://github.com/openai/gym/pull/2423).
    """
    module.register(id="Pendulum-v0", entry_point="gym.envs.classic_control:PendulumEnv", max_episode_steps=200)


def _matrix(array: Any) -> Any:
    import numpy as np  # noqa: PLC0415 - a graph needs no NumPy

    return np.asmatrix(array)
