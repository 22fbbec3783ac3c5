"""cuDNN 8 and NCCL from their packages, as the environment of GPU nodes has them, under CuPy and Chainer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - everybody calls it so
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest

from tests.unit.training_job.drops import Drop

pytest.importorskip("nvidia.cudnn", reason="nvidia-cudnn-cu12 is not installed in this environment")
pytest.importorskip("nvidia.nccl", reason="nvidia-nccl-cu12 is not installed in this environment")


class Recurrence(chainer.Chain):  # type: ignore[misc] # Chainer has no types
    def __init__(self) -> None:
        super().__init__()
        with self.init_scope():
            self.lstm = L.NStepLSTM(2, 6, 4, 0)

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        return F.stack(self.lstm(None, None, list(F.reshape(x, (len(x), -1, 6))))[2])


def convolution() -> Any:  # noqa: ANN401 - as above
    return chainer.Sequential(L.Convolution2D(3, 5, 3, pad=1), F.relu, lambda y: F.max_pooling_2d(y, 2))


def normalisation() -> Any:  # noqa: ANN401 - as above
    return L.BatchNormalization(3)


def gradient(make: Callable[[], Any], use_cudnn: str) -> tuple[Any, Any]:
    """Return a network's output and the gradient of its cube, from the same weights and input each time."""
    np.random.seed(0)  # noqa: NPY002 - what Chainer draws weights from
    device = chainer.get_device("@cupy:0")
    network = make()
    network.to_device(device)
    x = chainer.Variable(device.send(np.random.default_rng(1).normal(size=(4, 3, 6, 6)).astype(np.float32)))
    with chainer.using_config("use_cudnn", use_cudnn), chainer.using_device(device):
        y = network(x)
        F.sum(y**3).backward()
    to_cpu = chainer.backends.cuda.to_cpu
    return to_cpu(y.array), to_cpu(x.grad)


def test_chainer_has_cudnn_8() -> None:
    assert chainer.backends.cuda.cudnn_enabled
    assert 8800 < chainer.backends.cuda.libcudnn.getVersion() < 9000
    assert chainer.should_use_cudnn(">=auto")


@pytest.mark.parametrize("make", [convolution, normalisation, Recurrence])
def test_a_network_comes_to_the_same_numbers_with_cudnn(make: Callable[[], Any]) -> None:
    (y, gx), (expected, expected_gx) = gradient(make, "always"), gradient(make, "never")
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(gx, expected_gx, rtol=1e-3, atol=1e-5)


AVERAGE = """
    import chainer, chainermn
    import chainer.links as L
    import numpy as np
    comm = chainermn.create_communicator("pure_nccl")
    chainer.cuda.get_device_from_id(comm.intra_rank).use()
    model = L.Linear(2, 2)
    model.to_gpu()
    model.cleargrads()
    chainer.functions.sum(model(chainer.cuda.cupy.ones((1, 2), "f"))).backward()
    comm.bcast_data(model)
    comm.multi_node_mean_grad(model)
    print(comm.size, chainer.cuda.to_cpu(model.W.grad).tolist())
    """


def test_a_job_averages_gradients_by_nccl(tmp_path: Path) -> None:
    drop = Drop(tmp_path, {"train.py": AVERAGE})
    ended = drop.launch("python", "train.py")
    assert ended.output.splitlines()[-1] == "1 [[1.0, 1.0], [1.0, 1.0]]", ended.errors
