# ruff: noqa: ANN401, FBT003, NPY002 - Chainer has no types, takes flags by position, and draws from NumPy's generator
"""Arguments that Chainer 2 to 5 removed. The expected numbers are those of Chainer 1.24.0, run on the same data."""

from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    np.random.seed(0)


def x() -> Any:
    return chainer.Variable(np.random.RandomState(7).rand(20, 6).astype("f"))


def weights_of(kind: type, *args: Any, **kwargs: Any) -> tuple[float, float]:
    link = kind(*args, **kwargs)
    weights = next(p.array for name, p in sorted(link.namedparams()) if name.endswith("W"))
    return float(weights.sum()), float(weights.std())


def test_the_scale_of_the_weights() -> None:
    found = [
        weights_of(L.Linear, 3, 4, wscale=0.5, bias=2),
        weights_of(L.Linear, 3, 4, 0.25),
        weights_of(L.Convolution2D, 2, 3, 3, 1, 1, wscale=2, nobias=True),
    ]
    assert found == [
        pytest.approx((3.66548, 0.3767), rel=1e-5),
        pytest.approx((0.182166, 0.291238), rel=1e-5),
        pytest.approx((-3.93253, 0.318166), rel=1e-5),
    ]


@pytest.mark.parametrize(
    ("kind", "args", "arguments"),
    [
        (L.Linear, (3, 4), {}),
        (L.Convolution2D, (2, 3, 3), {"use_cudnn": False, "deterministic": True}),
        (L.Deconvolution2D, (2, 3, 3), {"use_cudnn": False}),
        (L.DilatedConvolution2D, (2, 3, 3), {"use_cudnn": True}),
        (L.Maxout, (3, 2, 2), {}),
        (L.MLPConvolution2D, (2, (3, 2), 3), {"use_cudnn": False}),
    ],
)
def test_each_link_multiplies_its_weights_by_the_square_root_of_wscale(
    kind: type, args: tuple[Any, ...], arguments: dict[str, Any]
) -> None:
    plain = weights_of(kind, *args)
    np.random.seed(0)
    assert weights_of(kind, *args, wscale=4, **arguments) == pytest.approx((2 * plain[0], 2 * plain[1]), rel=1e-5)


def test_weights_of_a_size_that_is_not_known_yet() -> None:
    link = L.Linear(None, 4, wscale=2)
    link(np.ones((2, 3), "f"))
    assert float(link.W.array.sum()) == pytest.approx(7.33095, rel=1e-5)


def test_given_weights_are_scaled_too_and_the_bias_is_set() -> None:
    link = L.Linear(3, 4, wscale=4, initialW=np.ones((4, 3), "f"), bias=0.5)
    assert (link.W.array == 2).all()
    assert (link.b.array == 0.5).all()
    by_position = L.Convolution2D(2, 3, 3, 1, 1, 2.0, 0.25)
    assert (by_position.b.array == 0.25).all()
    assert L.Linear(3, 4, 1.0, 0, True).b is None
    assert L.Linear(3, 4, True).b is None


def test_dropout_drops_only_in_training() -> None:
    sums = [
        float(F.dropout(x(), train=False).array.sum()),
        float(F.dropout(x(), 0.3, False).array.sum()),
        float(F.dropout(x(), ratio=0.3, train=True).array.sum()),
        float(F.dropout(x(), 0.3, True).array.sum()),
    ]
    assert sums == pytest.approx([61.1655, 61.1655, 60.9697, 61.512], rel=1e-5)
    with chainer.using_config("train", False):
        assert (F.dropout(x(), 0.3, train=True).array == 0).any()


def test_batch_normalization_in_its_three_modes() -> None:
    link = L.BatchNormalization(6, use_cudnn=False, initial_avg_var=0)  # 0 was the default before Chainer 5
    trained, tested = link(x()), link(x(), test=True)
    found = [(trained.array**3).sum(), tested.array.sum(), link.avg_mean.sum(), link.avg_var.sum()]
    assert [float(value) for value in found] == pytest.approx([-13.8547, 663.391, 0.305828, 0.0431029], rel=1e-3)
    link.start_finetuning()
    link(x(), finetune=True)
    link(x() + 1, False, True)
    assert link.N == 2
    assert float(link.avg_mean.sum()) == pytest.approx(6.05828, rel=1e-5)
    assert float(link(x(), True).array.sum()) == pytest.approx(-230.028, rel=1e-3)


def test_recurrent_links_with_and_without_dropout() -> None:
    sequences = [chainer.Variable(np.random.rand(n, 3).astype("f")) for n in (4, 3, 1)]
    link = L.NStepLSTM(2, 3, 4, 0.5, use_cudnn=False)
    for parameter in link.params():
        parameter.array[...] = np.random.RandomState(1).rand(*parameter.shape) - 0.5
    zeros: Any = np.zeros((2, 3, 4), "f")
    for train, expected in ((False, [-0.413597, 0.395075, -2.07168]), (True, [-0.347711, 0.413373, -1.93091])):
        h, c, ys = link(zeros, zeros, sequences, train=train)
        assert [float(a.array.sum()) for a in (h, ys[0], c)] == pytest.approx(expected, rel=1e-4)


def test_inception_takes_its_mode_from_the_call_or_the_attribute() -> None:
    link = L.InceptionBN(2, 2, 2, 2, 2, 2, "max", 2)
    image = np.random.RandomState(1).rand(2, 2, 5, 5).astype("f")
    assert link.train is True
    in_test = float(link(image, test=True).array.sum())
    assert float(link(image).array.sum()) != in_test
    in_test = float(link(image, test=True).array.sum())
    link.train = False
    assert float(link(image).array.sum()) == in_test


def test_functions_without_cudnn() -> None:
    values = chainer.Variable(np.random.rand(3, 4).astype("f"))
    image = chainer.Variable(np.random.rand(1, 2, 5, 5).astype("f"))
    weights = np.random.rand(2, 2, 3, 3).astype("f")
    labels = np.array([0, 1, 2], "i")
    found = [
        F.softmax(values, use_cudnn=False).array[0, 0],
        F.softmax(values, False).array[0, 0],
        F.log_softmax(values, False).array[0, 0],
        F.tanh(values, False).array.sum(),
        F.sigmoid(values, use_cudnn=True).array.sum(),
        F.average_pooling_2d(image, 2, 2, 0, False).array.sum(),
        F.max_pooling_2d(image, 3, stride=2, use_cudnn=False).array.sum(),
        F.convolution_2d(image, weights, deterministic=True, use_cudnn=False).array.sum(),
        F.deconvolution_2d(image, weights, deterministic=True, use_cudnn=False).array.sum(),
        F.softmax_cross_entropy(values, labels, use_cudnn=False).array,
    ]
    expected = [0.236266, 0.236266, -1.4428, 6.49757, 7.79801, 4.19832, 6.89017, 65.8126, 181.257, 1.3628]
    assert [float(value) for value in found] == pytest.approx(expected, rel=1e-5)


def test_every_function_accepts_what_it_took() -> None:
    values: Any = np.ones((3, 4), "f")
    ones: Any = np.ones(4, "f")
    zeros: Any = np.zeros(4, "f")
    assert (chainer.as_array(F.zoneout(values, values * 2, 0.5, False)) == 2).all()
    assert (chainer.as_array(F.zoneout(values, values * 2, train=False)) == 2).all()
    assert F.batch_normalization(values, ones, zeros, 1e-3, zeros.copy(), ones.copy(), 0.9, False).shape == (3, 4)
    assert F.fixed_batch_normalization(values, ones, zeros, zeros, ones, use_cudnn=False).shape == (3, 4)
    assert F.relu(values, False).shape == F.relu(values, use_cudnn=False).shape == (3, 4)


def test_the_settings_hold_in_the_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, bool]] = []
    apply = chainer.FunctionNode.apply

    def record(self: Any, inputs: Any) -> Any:
        seen.append((chainer.config.use_cudnn, chainer.config.cudnn_deterministic))
        return apply(self, inputs)

    monkeypatch.setattr(chainer.FunctionNode, "apply", record)
    L.Convolution2D(1, 1, 1, use_cudnn=False, deterministic=True)(np.ones((1, 1, 2, 2), "f"))
    F.relu(np.ones(2, "f"))
    assert (seen[0], seen[-1]) == (("never", True), ("auto", False))


def test_other_arguments_are_still_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        F.dropout(np.ones(2, "f"), tran=False)
    with pytest.raises(TypeError):
        F.relu(np.ones(2, "f"), False, 3)
