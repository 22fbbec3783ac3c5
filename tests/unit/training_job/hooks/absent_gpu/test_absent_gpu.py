"""Scripts that ask for GPU 0 by themselves, on one machine without a GPU."""

from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.drops import Drop, Ended

NOTE = "No GPU on this machine: GPU 0, which the script asks for by itself, became the CPU."

SEED = """
    import argparse
    import os
    import numpy as np
    import chainer
    import chainer.functions as F
    import chainer.links as L
    from chainer import datasets, iterators, optimizers, serializers
    from chainer.backends.cuda import to_cpu
    from chainer.dataset import concat_examples
    from azureml.core.run import Run

    run = Run.get_context()
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", "-e", type=int, default=20)
    parser.add_argument("--output_dir", "-o", default="./outputs")
    parser.add_argument("--gpu_id", "-g", default=0)
    args = parser.parse_args()
    train, test = datasets.mnist.get_mnist(withlabel=True, ndim=1)
    run.log("Epochs", np.int(args.epochs))
    model = chainer.Sequential(L.Linear(None, 20), F.relu, L.Linear(20, 10))
    if args.gpu_id >= 0:
        chainer.backends.cuda.get_device_from_id(0).use()
        model.to_gpu()
    optimizer = optimizers.MomentumSGD(lr=0.1, momentum=0.9).setup(model)
    train_iter = iterators.SerialIterator(train, 20)
    while train_iter.epoch < args.epochs:
        images, targets = concat_examples(train_iter.next(), args.gpu_id)
        loss = F.softmax_cross_entropy(model(images), targets)
        model.cleargrads()
        loss.backward()
        optimizer.update()
    images, targets = concat_examples(test, args.gpu_id)
    accuracy = F.accuracy(model(images), targets)
    accuracy.to_cpu()
    print("loss", float(to_cpu(loss.array)))
    run.log("Accuracy", np.float(accuracy.array))
    serializers.save_npz(os.path.join(args.output_dir, "model.npz"), model)
    """
"""What the example of Azure ML's estimator for Chainer does with its GPU, on a smaller network."""


def launch(drop: Drop, script: str, *arguments: str) -> Ended:
    drop.scripts = {"train.py": script}
    return drop.launch(
        "python", "-W", "ignore", "train.py", *arguments, KEDJA_GPU_OPTIONAL="1", CUDA_VISIBLE_DEVICES=""
    )


def test_the_example_of_the_estimator_trains(drop: Drop) -> None:
    labels: Any = np.arange(200) % 10
    images: Any = np.zeros((200, 784), np.uint8)
    images[np.arange(200), labels * 7] = 255
    drop.data = {f"{name}.csv": table(images, labels) for name in ("train", "test")}
    ended = launch(drop, SEED, "--epochs", "30")
    assert ended.code == 0, ended.errors
    assert ended.metrics["Accuracy"] > 0.9
    assert ended.files[0] == "model.npz"
    assert ended.manifest["notes"][0] == NOTE, ended.manifest


def table(images: np.ndarray, labels: np.ndarray) -> bytes:
    header = ",".join([*(f"p{index}" for index in range(images.shape[1])), "label"])
    rows = (",".join(map(str, [*image, label])) for image, label in zip(images.tolist(), labels.tolist(), strict=True))
    return "\n".join([header, *rows]).encode()


TRAINER = """
    import chainer, numpy as np
    import chainer.links as L
    from chainer import training

    x = np.random.RandomState(0).rand(40, 4).astype(np.float32)
    data = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    iterator = chainer.iterators.SerialIterator(data, 10)
    model = L.Classifier(L.Linear(4, 2))
    device = chainer.get_device("@cupy:0")
    device.use()
    model.to_device(device)
    optimizer = chainer.optimizers.SGD().setup(model)
    trainer = training.Trainer(training.StandardUpdater(iterator, optimizer, device=0), (2, "epoch"), out="outputs")
    trainer.extend(training.extensions.Evaluator(chainer.iterators.SerialIterator(data, 10, False), model, device=0))
    trainer.run()
    print(device, model.device, chainer.get_device("0"), chainer.get_device(0))
    chainer.serializers.save_npz("outputs/model.npz", model)
    """


def test_a_trainer_on_gpu_0(drop: Drop) -> None:
    ended = launch(drop, TRAINER)
    assert ended.code == 0, ended.errors
    assert ended.output.split() == ["@numpy"] * 4
    assert ended.manifest["notes"][0] == NOTE, ended.manifest


SCRIPT_OF_CUPY = """
    import cupy
    import cupy as cp
    import numpy as np
    from cupy import cuda as cupy_cuda
    import chainer
    import chainer.functions as F
    from chainer import cuda
    from chainer.backends.cuda import available
    from training_job.device import usable_gpus

    cuda.check_cuda_available()
    cuda.init(0)
    assert cuda.available and available
    xp = cuda.cupy
    assert xp is cupy is cp
    with cuda.get_device(0), cuda.Device(0), cupy_cuda.Device(0):
        x = xp.random.uniform(-1, 1, (3, 4), dtype=xp.float32)
    assert isinstance(x, cupy.ndarray) and x.dtype == np.float32
    source = np.arange(3)
    copy = cuda.to_gpu(source)
    copy[0] = 9
    assert source[0] == 0 and [type(a) for a in cuda.to_gpu([source, None])] == [np.ndarray, type(None)]
    counts = cupy.zeros(3, dtype=cupy.int)
    cupy.scatter_add(counts, np.array([1, 1]), 1)
    assert counts.tolist() == [0, 2, 0]
    variable = chainer.Variable(x)
    variable.to_gpu()
    variable.to_gpu(0)
    assert F.relu(variable).array.min() >= 0
    assert cupy.get_array_module(x) is np and cuda.get_array_module(x) is np
    cupy.get_default_memory_pool().free_all_blocks()
    cuda.memory_pool.free_all_blocks()
    cuda.Stream.null.synchronize()
    assert cuda.zeros((2, 2)).dtype == np.float32
    assert "cupy" not in __import__("sys").modules
    assert chainer.backends.cuda.GpuDevice.xp is not cupy and usable_gpus() == 0
    try:
        cuda.get_device_from_id(1)
    except RuntimeError as error:
        assert "CUDA environment is not correctly set up" in str(error)
    else:
        raise AssertionError("there is no GPU 1")
    try:
        cupy.ElementwiseKernel("T x", "T y", "y = x", "identity")(x)
    except RuntimeError as error:
        print(error)
    """


def test_what_a_script_sees_of_cupy_is_numpy(drop: Drop) -> None:
    ended = launch(drop, SCRIPT_OF_CUPY)
    assert ended.code == 0, ended.errors
    assert (
        ended.output.strip() == "identity is CUDA source, and there is no GPU on this machine: run it on a GPU cluster"
    )


def test_a_module_that_cupy_does_not_share_with_numpy(drop: Drop) -> None:
    ended = launch(drop, "import cupy.no_such_module")
    assert ended.manifest["reason"] == (
        "the script ended with ModuleNotFoundError: No module named 'cupy.no_such_module': there is no GPU here, and "
        "NumPy stands in for CuPy"
    )


def test_a_script_that_asks_for_no_gpu_leaves_no_note(drop: Drop) -> None:
    ended = launch(drop, "import chainer; chainer.get_device(-1); chainer.backends.cuda.get_device_from_id(-1).use()")
    assert (ended.code, ended.manifest["notes"]) == (0, [])


def test_a_gpu_in_the_arguments_is_still_refused(drop: Drop) -> None:
    ended = launch(drop, "import chainer", "--gpu", "0")
    assert (ended.code, ended.manifest["result"]) == (65, "refused")


@pytest.mark.parametrize("script", ["import chainer; chainer.get_device(0)", "import cupy"])
def test_on_a_cluster_a_gpu_stays_required(drop: Drop, script: str) -> None:
    drop.scripts = {"train.py": script}
    ended = drop.launch("python", "-W", "ignore", "train.py", CUDA_VISIBLE_DEVICES="")
    assert (ended.code, ended.manifest["result"], ended.manifest["notes"]) == (1, "failed", [])
