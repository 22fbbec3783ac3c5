"""The model of a script that knows nothing of Kedja is found, wherever and however it saves it."""

import textwrap

import chainer
import pytest
from chainer import links, serializers

from tests.unit.training_job.drops import Drop, Ended

BEGINNING = """
    import os, pickle
    import chainer, numpy as np
    import chainer.links as L
    from chainer import serializers, training
    from chainer.training import extensions

    class Net(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.fc = L.Linear(3, 2)
        def forward(self, x):
            return self.fc(x)

    def trainer(model, out="result"):
        optimizer = chainer.optimizers.Adam().setup(model)
        data = [(np.ones(3, "f"), np.int32(1))] * 4
        updater = training.StandardUpdater(chainer.iterators.SerialIterator(data, 2), optimizer)
        return training.Trainer(updater, (2, "epoch"), out=out)

    model = L.Classifier(Net())
    """
SNAPSHOTS = """
    run = trainer(model)
    run.extend(extensions.LogReport())
    run.extend(extensions.snapshot(), trigger=(1, "epoch"))
    run.run()
    """
SERIES = """
    run = trainer(model, "some/where")
    run.extend(extensions.snapshot(filename="snapshot"))
    run.extend(extensions.snapshot_object(model, "net_{.updater.iteration}"), trigger=(1, "iteration"))
    run.run()
    serializers.save_npz("some/where/optimizer.npz", run.updater.get_optimizer("main"))
    """
RENAMED = """
    os.mkdir("work")
    os.chdir("work")
    for epoch in range(2):
        serializers.save_npz("tmp.npz", model)
        os.rename("tmp.npz", "epoch%d.model" % epoch)
    """
WORKER = """
    import multiprocessing

    def work():
        serializers.save_npz("worker.npz", model)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    """


class Net(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
    """The network of these scripts."""

    def __init__(self) -> None:
        super().__init__(fc=links.Linear(3, 2))


def run(drop: Drop, script: str) -> Ended:
    drop.scripts = {"train.py": textwrap.dedent(BEGINNING) + textwrap.dedent(script)}
    return drop.launch("python", "train.py")


def weights(ended: Ended) -> list[str]:
    """The weights in the package, which is the model."""
    assert ended.manifest["model"] == "package"
    return [path.removeprefix("package/weights/") for path in ended.files if path.startswith("package/weights/")]


def unpackaged(ended: Ended) -> list[str]:
    return [path for path in ended.files if not path.startswith("package/")]


@pytest.mark.parametrize(
    ("script", "path"),
    [
        pytest.param(SNAPSHOTS, "result/snapshot_iter_4-model.npz", id="snapshots of a Trainer"),
        pytest.param(SERIES, "some/where/net_4", id="a series of snapshot_object"),
        pytest.param(RENAMED, "work/epoch1.model", id="a temporary file that is renamed"),
        pytest.param(WORKER, "worker.npz", id="a worker process"),
    ],
)
def test_the_model_is_collected_and_can_be_loaded(drop: Drop, script: str, path: str) -> None:
    ended = run(drop, script)
    assert ended.code == 0, ended.errors
    assert ended.manifest["model"] == "package"
    assert ended.manifest["model_reason"].startswith(f"The model is outputs/{path}: ")
    assert {path, f"package/weights/{path.rpartition('/')[2]}", "package/MODEL_CARD.md"} <= set(ended.files)
    serializers.load_npz(str(ended.folder / "outputs" / path), links.Classifier(Net()))


def test_a_pickled_model_is_found_among_other_pickles(drop: Drop) -> None:
    script = """
        os.makedirs("models/deep")
        for name, state in (("deep/net.pkl", {"net": model, "epoch": 3}), ("state.pkl", {"epoch": 3})):
            with open("models/" + name, "wb") as f:
                pickle.dump(state, f)
        """
    ended = run(drop, script)
    assert weights(ended) == ["net.pkl"]
    assert unpackaged(ended) == ["models/deep/net.pkl"]


def test_two_networks_are_a_folder(drop: Drop) -> None:
    script = """
        encoder, decoder = Net(), Net()
        for epoch in range(5):
            serializers.save_npz("encoder%d.npz" % epoch, encoder)
            serializers.save_npz("decoder%d.npz" % epoch, decoder)
        """
    ended = run(drop, script)
    assert weights(ended) == ["decoder4.npz", "encoder4.npz"]
    assert [path for path in ended.files if path.startswith("model/")] == ["model/decoder4.npz", "model/encoder4.npz"]
    assert ended.manifest["notes"] == [
        f"Of the 5 files {name}*.npz, the last 3 were collected." for name in ("encoder", "decoder")
    ]


def test_what_a_failed_script_left_is_kept_without_a_model(drop: Drop) -> None:
    ended = run(drop, f"{SNAPSHOTS}\n    serializers.save_npz('net.npz', model)\n    raise ValueError('late')")
    assert ended.manifest["reason"] == "the script ended with ValueError: late"
    assert (ended.manifest["model"], ended.manifest["model_reason"]) == (None, None)
    assert ended.files == ["net.npz", "result/log", "result/snapshot_iter_2", "result/snapshot_iter_4"]


def test_a_script_without_a_model_has_what_it_wrote_listed(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os; os.mkdir('w'); open('w/net.bin', 'w').write('x'); print('done')"}
    ended = drop.launch("python", "train.py")
    assert ended.manifest["model"] is None
    assert ended.manifest["model_reason"] == ("The script saved no Link, and outside of outputs it wrote: w/net.bin.")
    assert ended.files == []


def test_a_later_start_in_the_same_folder_chooses_anew(drop: Drop) -> None:
    run(drop, "serializers.save_npz('one.npz', model)")
    ended = run(drop, "serializers.save_npz('two.npz', model)")
    assert weights(ended) == ["two.npz"]
    assert unpackaged(ended) == ["two.npz"]
