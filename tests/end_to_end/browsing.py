"""What a person does with the page, and what keeps other tests of the same stack out of it."""

import re
import textwrap
from pathlib import Path

import numpy as np
from playwright.sync_api import Locator, Page

SCRIPT = """
    import chainer
    import chainer.functions as F
    import chainer.links as L
    import numpy as np
    from chainer import training
    from chainer.training import extensions

    class Net(chainer.Chain):
        def __init__(self):
            super(Net, self).__init__()
            with self.init_scope():
                self.l1 = L.Linear(4, 16)
                self.l2 = L.Linear(16, 3)

        def __call__(self, x):
            return self.l2(F.relu(self.l1(x)))

    with np.load("points.npz") as points:
        whole = chainer.datasets.TupleDataset(points["x"], points["y"])
    train, test = chainer.datasets.split_dataset_random(whole, 150, seed=0)
    iterator = chainer.iterators.SerialIterator(train, 10)
    model = L.Classifier(Net())
    optimizer = chainer.optimizers.Adam(0.01).setup(model)
    trainer = training.Trainer(training.StandardUpdater(iterator, optimizer), (12, "epoch"), out="outputs")
    trainer.extend(extensions.Evaluator(chainer.iterators.SerialIterator(test, 50, repeat=False), model))
    trainer.extend(extensions.LogReport())
    trainer.extend(extensions.PrintReport(["epoch", "main/loss", "validation/main/accuracy"]))
    trainer.run()
    chainer.serializers.save_npz("outputs/model.npz", model)
    """


def folder(parent: Path, name: str) -> Path:
    """Make a folder as somebody has it lying about: data, a script, and a file that nobody means."""
    made = parent / name
    made.mkdir()
    chance = np.random.default_rng(0)
    x = chance.normal(size=(200, 4)).astype("f")
    np.savez(made / "points.npz", x=x, y=x[:, :3].argmax(axis=1).astype("i"))
    (made / "train.py").write_text(
        textwrap.dedent(SCRIPT)
        .replace('"points.npz"', "os.path.join(os.environ['KEDJA_DATA'], 'points.npz')")
        .replace("import chainer\n", "import os\n\nimport chainer\n", 1)
    )
    (made / ".DS_Store").write_bytes(b"junk")
    return made


def drag(page: Page, path: Path, target: Locator) -> None:
    """Drag a folder from outside of the browser onto an element, as the system does."""
    box = target.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 40, "y": box["y"] + 20, "data": data})


def silence(page: Page) -> None:
    """Keep from a page what other tests of the shared stack do meanwhile: its live answers say nothing."""
    body = "retry: 3600000\n\nevent: start\ndata: {}\n\n"
    page.route(re.compile(r"/live(\?|$)"), lambda route: route.fulfill(content_type="text/event-stream", body=body))
