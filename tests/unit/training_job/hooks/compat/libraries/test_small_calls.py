"""What smaller libraries have come to refuse, as scripts call it."""

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere
from training_job.hooks.compat.libraries import small_calls


def test_yaml_is_loaded_without_a_loader_and_without_running_code() -> None:
    yaml = pytest.importorskip("yaml")
    found = run(
        "import yaml; x = yaml.load('a: [1]'), list(yaml.load_all('1\\n---\\n2')), yaml.load('b: 1', yaml.SafeLoader)"
    )
    assert found["x"] == ({"a": [1]}, [1, 2], {"b": 1})
    with pytest.raises(yaml.YAMLError):
        run("import yaml; yaml.load('!!python/object/apply:os.getpid []')")
    with pytest.raises(TypeError, match="Loader"):
        run_elsewhere("import yaml; yaml.load('a: 1')")


def test_nltk_downloads_what_it_loads_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    nltk = ModuleType("nltk")
    vars(nltk)["download"] = lambda name=None, **_: asked.append(name)
    small_calls.install_nltk(nltk)
    monkeypatch.setitem(sys.modules, "kedja_nltk", nltk)
    run("nltk.download('punkt', quiet=True); nltk.download(['stopwords', 'punkt'])", nltk=nltk)
    assert asked == ["punkt_tab", "punkt", "punkt_tab", ["stopwords", "punkt"]]
    asked.clear()
    run_elsewhere("import sys; sys.modules['kedja_nltk'].download('punkt')")
    assert asked == ["punkt"]


@pytest.mark.filterwarnings("ignore:the matrix subclass")  # it is what the function returns
def test_graphs_and_matrices() -> None:
    pytest.importorskip("networkx", reason="a job may bring it itself")
    code = """
    import networkx as nx, numpy as np
    graph = nx.from_numpy_matrix(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    sizes = sorted(len(part) for part in nx.connected_component_subgraphs(graph))
    matrix = nx.to_numpy_matrix(graph) * np.asmatrix([[1], [1], [1]])
    """
    found = run(code)
    assert found["sizes"] == [1, 2]
    assert found["matrix"].tolist() == [[1], [1], [0]]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # gym warns of its own age
def test_gym_has_the_environments_and_the_names_of_before() -> None:
    pytest.importorskip("gym", reason="a job may bring it itself")
    found = run("""
    import gym
    limit = gym.make("CartPole-v0").spec.timestep_limit
    env = gym.make("Pendulum-v0")
    env.seed(0)
    shape = env.reset().shape
    """)
    assert (found["limit"], found["shape"]) == (200, (3,))
