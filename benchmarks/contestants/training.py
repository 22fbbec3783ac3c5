# ruff: noqa: PLC0415 - each contestant's process imports what that contestant needs, and nothing else
"""The contestants of `benchmarks/training.py`, each in a process of its own: `PYTHON training.py NAME NETWORK DEVICE`.

Each makes what one pass over the data is.
"""

import functools
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BATCH, WIDTHS, CLASSES = 128, (784, 1000, 1000), 10
EXAMPLES, EXAMPLES_ON_GPU = 8192, 32768
CONTESTANTS = ("kedja", "chainer", "pytorch", "resident", "floor")
WITH_TORCH = ("pytorch", "resident")
Pass = Callable[[], None]


def examples(device: int) -> int:
    return EXAMPLES if device < 0 else EXAMPLES_ON_GPU


def _data(device: int) -> tuple[Any, Any]:
    import numpy as np

    rng, count = np.random.default_rng(0), examples(device)
    return rng.random((count, WIDTHS[0]), dtype=np.float32), rng.integers(0, CLASSES, count).astype(np.int32)


def _network(name: str) -> Any:  # noqa: ANN401 - Chainer has no types
    from training_job.trainer import networks

    options = {"inputs": [WIDTHS[0]], "hidden": WIDTHS[1:]} if name == "mlp" else {"inputs": [1, 28, 28], "dropout": 0}
    return networks.build(name, {**options, "classes": CLASSES})


def _kedja(network: str, device: int) -> Pass:
    import numpy as np

    from training_job import device as devices
    from training_job.trainer.datasets.table import Split, Table
    from training_job.trainer.loop import Options, Trainer
    from training_job.trainer.preprocessing import Preprocessor

    x, y = _data(device)
    names = tuple(str(number) for number in range(CLASSES))
    train = Table(x=x, y=y, source="random", classes=names)
    shape = (784,) if network == "mlp" else (1, 28, 28)
    one, zero = np.array([1], np.float32), np.array([0], np.float32)
    preprocessor = Preprocessor(shape=(784,), network_shape=shape, mean=zero, scale=one)
    options = Options(epochs=1, batch_size=BATCH, schedule="constant", learning_rate=0.001, shift=0)
    split = Split(train=train, held_out=train.take(slice(0, 10)))
    trainer = Trainer(_network(network), split, preprocessor, options, devices.choose(device))

    def one_pass() -> None:
        trainer.run(lambda _: None)
        _wait_for_gpu(device)

    return one_pass


def _chainer(network: str, device: int) -> Pass:
    import chainer
    from chainer import training

    from training_job import device as devices

    place = devices.choose(device)
    place.use()
    x, y = _data(device)
    data = chainer.datasets.TupleDataset(x if network == "mlp" else x.reshape(-1, 1, 28, 28), y)
    model = chainer.links.Classifier(_network(network))
    model.compute_accuracy = False
    model.to_device(place)
    optimizer = chainer.optimizers.Adam().setup(model)

    def one_pass() -> None:
        iterator = chainer.iterators.SerialIterator(data, BATCH)
        updater = training.StandardUpdater(iterator, optimizer, device=place)
        training.Trainer(updater, (1, "epoch"), out=os.devnull).run()
        _wait_for_gpu(device)

    return one_pass


def _pytorch(network: str, device: int, *, resident: bool = False) -> Pass:
    import importlib

    torch = importlib.import_module("torch")
    nn = torch.nn
    place = torch.device("cpu" if device < 0 else f"cuda:{device}")
    x, y = (torch.from_numpy(array) for array in _data(device))
    if network == "mlp":
        layers = [nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, CLASSES)]
    else:
        x = x.reshape(-1, 1, 28, 28)
        layers = [
            nn.Conv2d(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, CLASSES),
        ]  # fmt: skip
    model = nn.Sequential(*layers).to(place)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    loss_of = nn.CrossEntropyLoss()
    y = y.long()
    if resident:
        x, y = x.to(place), y.to(place)

    def one_pass() -> None:
        for rows in torch.randperm(len(x), device=x.device).split(BATCH):
            optimizer.zero_grad()
            loss_of(model(x[rows].to(place)), y[rows].to(place)).backward()
            optimizer.step()
        if device >= 0:
            torch.cuda.synchronize(place)

    return one_pass


def _floor(network: str, device: int) -> Pass:
    if network != "mlp":
        raise SystemExit("the floor is that of the MLP")
    import numpy as np

    xp: Any = np
    if device >= 0:
        import cupy

        cupy.cuda.Device(device).use()
        xp = cupy
    sizes = [*WIDTHS, CLASSES]
    activations = [xp.ones((BATCH, size), xp.float32) for size in sizes]
    weights = [xp.ones((after, before), xp.float32) for before, after in itertools.pairwise(sizes)]
    slopes = [xp.empty_like(weight) for weight in weights]

    def one_pass() -> None:
        for _ in range(examples(device) // BATCH):
            for index, weight in enumerate(weights):
                xp.dot(activations[index], weight.T, out=activations[index + 1])
            for index in reversed(range(len(weights))):
                xp.dot(activations[index + 1].T, activations[index], out=slopes[index])
                if index:
                    xp.dot(activations[index + 1], weights[index], out=activations[index])
            for activation in activations:
                activation.fill(1)
        _wait_for_gpu(device)

    return one_pass


def _wait_for_gpu(device: int) -> None:
    """Wait until the GPU has done what it was given."""
    if device >= 0:
        import cupy

        cupy.cuda.Device(device).synchronize()


def main(name: str, network: str, device: int) -> None:
    """Be one contestant: a pass for each line that comes in, its seconds and its processors' seconds out."""
    if name not in WITH_TORCH:
        sys.path.insert(0, str(ROOT))
        import training_job  # noqa: F401 - patches Chainer

    resident = functools.partial(_pytorch, resident=True)
    makers: dict[str, Callable[[str, int], Pass]] = {
        "kedja": _kedja, "chainer": _chainer, "pytorch": _pytorch, "resident": resident, "floor": _floor,
    }  # fmt: skip
    one_pass = makers[name](network, device)
    one_pass()
    print("ready", flush=True)
    for _ in sys.stdin:
        began, processor = time.perf_counter(), time.process_time()
        one_pass()
        print(time.perf_counter() - began, time.process_time() - processor, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
