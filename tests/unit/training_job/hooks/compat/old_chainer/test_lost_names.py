import importlib
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest
from chainer import cuda

IMAGE = np.random.RandomState(0).rand(1, 1, 4, 4).astype("f")


def test_max_pooling_by_its_class_and_back() -> None:
    pooling = F.MaxPooling2D(2, 2)
    assert (pooling.kh, pooling.sx, pooling.pw) == (2, 2, 0)
    h = pooling(IMAGE)
    assert (h.array == F.max_pooling_2d(IMAGE, 2, 2).array).all()
    unpooled = F.upsampling_2d(h, pooling.indexes, 2)
    assert float(unpooled.array.sum()) == pytest.approx(2.47058, rel=1e-5)  # as in Chainer 1.24.0


def test_classes_of_functions_are_called_and_differentiated() -> None:
    x = chainer.Variable(IMAGE - 0.5)
    y = F.ReLU()(x)
    assert (y.array == F.relu(x).array).all()
    y.grad = np.ones_like(y.array)
    y.backward()
    assert (x.grad == (x.array > 0)).all()
    split = F.SplitAxis(2, 2)(IMAGE)
    assert [part.shape for part in split] == [(1, 1, 2, 4)] * 2


@pytest.mark.parametrize("arguments", [{"pooling_class": F.MaxPooling2D}, {"pooling": "max"}])
def test_pyramids_of_a_pooling_class(arguments: dict[str, object]) -> None:
    expected = F.spatial_pyramid_pooling_2d(IMAGE, 2, F.MaxPooling2D).array
    assert (F.spatial_pyramid_pooling_2d(IMAGE, 2, **arguments).array == expected).all()


def test_links_in_functions_and_the_link_parameter() -> None:
    assert (F.Linear, F.BatchNormalization) == (L.Linear, L.BatchNormalization)
    link = L.Parameter(np.ones((2, 2), "f"))
    assert (link().creator is None, link("on").creator is None) == (False, True)
    with pytest.raises(AttributeError, match="NoSuchFunction"):
        F.NoSuchFunction  # noqa: B018 - the look-up fails
    with pytest.raises(AttributeError, match="NoSuchLink"):
        L.NoSuchLink  # noqa: B018 - the look-up fails


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("chainer.flag", "Flag"),
        ("chainer.function_set", "FunctionSet"),
        ("chainer.functions.caffe", "CaffeFunction"),
        ("chainer.links.connection.n_step_rnn", "argsort_list_descent"),
        ("chainer.functions.activation.lstm", "lstm"),
        ("chainer.training.triggers.interval", "IntervalTrigger"),
        ("chainer.functions.pooling.max_pooling_2d", "max_pooling_2d"),
        ("chainer.functions.math.squared_difference", "squared_difference"),
        ("chainer.cuda_fusion", "fuse"),
    ],
)
def test_modules_under_their_old_names(name: str, attribute: str) -> None:
    module = importlib.import_module(name)
    assert hasattr(module, attribute)
    assert module.__spec__ is not None
    assert importlib.import_module(module.__spec__.name) is module
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("chainer.links.connection.no_such_module")


def test_a_function_set_is_a_chain_by_assignment() -> None:
    model = chainer.FunctionSet(a=L.Linear(2, 2))
    model.b = L.Linear(2, 1)
    model.b = L.Linear(2, 3)
    model.number = 3
    assert sorted(name for name, _ in model.namedparams()) == ["/a/W", "/a/b", "/b/W", "/b/b"]
    assert model["b"].W.shape == (3, 2)
    other = chainer.FunctionSet(a=L.Linear(2, 2), b=L.Linear(2, 3))
    other.copy_parameters_from(model.parameters)
    assert all((a == b).all() for a, b in zip(other.parameters, model.parameters, strict=True))
    model.cleargrads()
    model.gradients = [np.ones_like(array) for array in model.parameters]
    assert all((gradient == 1).all() for gradient in model.gradients)


def test_weights_are_initialized_by_a_function() -> None:
    array: Any = np.empty((2, 2), "f")
    chainer.init_weight(array, 3, 2.0)
    assert (array == 6).all()
    parameter = chainer.Parameter(0, (2, 2))
    chainer.initializers.init_weight(parameter, chainer.initializers.Constant(value=4))
    assert (parameter.array == 4).all()


def test_arrays_of_the_gpu_need_one() -> None:
    for make in (lambda: cuda.zeros((2, 2)), lambda: cuda.ones_like(IMAGE), lambda: cuda.init(0)):
        with pytest.raises(RuntimeError, match="CUDA environment is not correctly set up"):
            make()  # type: ignore[no-untyped-call] # a function of Chainer
