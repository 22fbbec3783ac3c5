import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as everyone writes it
import chainer.links as L  # noqa: N812 - as everyone writes it
import cloudpickle  # type: ignore[import-untyped]  # it has none
import numpy as np
import pytest

from training_job.export.recorded_calls import CALLS, MOST_CALLS, ArrayArgument, CallGroup
from training_job.hooks import link_calls


@pytest.fixture(autouse=True)
def _unwrapped() -> Iterator[None]:
    yield
    link_calls.remove_all()
    link_calls._state.is_recording = True


def old_style() -> type[Any]:
    class OldStyle(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
        def __init__(self) -> None:
            super().__init__(fc=L.Linear(3, 2))

        def __call__(self, x: Any, train: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as of Chainer 1
            return self.fc(x)

        def predict(self, x: Any) -> Any:  # noqa: ANN401 - as above
            return F.softmax(self(x))

    link_calls.wrap(OldStyle)
    return OldStyle


def new_style() -> type[Any]:
    class NewStyle(chainer.Chain):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            super().__init__(fc=L.Linear(3, 2))

        def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
            return self.fc(x)

    link_calls.wrap(NewStyle)
    return NewStyle


def call_of(link: Any, method: str) -> CallGroup:  # noqa: ANN401 - as above
    (found,) = [group for group in CALLS.groups(link) if group.method == method]
    return found


@pytest.mark.parametrize(("define", "method"), [(old_style, "__call__"), (new_style, "forward")])
def test_the_calls_of_both_styles_are_recorded(define: Callable[[], type[Any]], method: str) -> None:
    link = define()()
    link(np.full((4, 3), 2, "f"))
    link(np.full((5, 3), -1, "f"))
    group = call_of(link, method)
    assert group.arguments == {0: ArrayArgument("float32", [(4, 3), (5, 3)], -1.0, 2.0, is_variable=False)}
    assert (group.count, group.returns_tensors, group.returns_scalar) == (2, True, False)


def test_methods_of_the_script_are_recorded_with_the_calls_that_they_make() -> None:
    link = old_style()()
    link.predict(chainer.Variable(np.zeros((2, 3), "f")))
    assert call_of(link, "predict").arrays[0].is_variable
    assert call_of(link, "__call__").count == 1


def test_a_call_by_super_is_recorded_once() -> None:
    base: Any = new_style()

    class Derived(base):  # type: ignore[misc]  # as above
        def forward(self, x: Any) -> Any:  # noqa: ANN401 - as above
            return -super().forward(x)

    link_calls.wrap(Derived)
    link = Derived()
    link(np.zeros((2, 3), "f"))
    assert call_of(link, "forward").count == 1


def test_a_loss_is_recognized() -> None:
    class Model(chainer.Chain):  # type: ignore[misc]  # as above
        def __call__(self, x: Any, t: Any) -> Any:  # noqa: ANN401 - as above
            return F.softmax_cross_entropy(x, t)

    link_calls.wrap(Model)
    link = Model()
    link(np.zeros((2, 3), "f"), np.zeros(2, "i"))
    group = call_of(link, "__call__")
    assert (group.returns_scalar, group.returns_tensors) == (True, False)
    assert [argument.dtype for argument in group.arrays.values()] == ["float32", "int32"]


@pytest.mark.parametrize(("define", "method"), [(old_style, "__call__"), (new_style, "forward")])
def test_nothing_is_left_on_a_class_after_the_recorded_calls(define: Callable[[], type[Any]], method: str) -> None:
    cls = define()
    wrapped = vars(cls)[method]
    links: Any = [cls(), cls()]
    x: Any = np.zeros((2, 3), "f")
    for _ in range(MOST_CALLS):
        for link in links:
            assert vars(cls)[method] is wrapped
            link(x)
    assert vars(cls)[method] is wrapped.function
    links[0](x)
    assert [call_of(link, method).count for link in links] == [MOST_CALLS, MOST_CALLS]


def test_a_link_that_is_hardly_called_does_not_keep_the_wrapper() -> None:
    cls = new_style()
    rare, often = cls(), cls()
    x: Any = np.zeros((1, 3), "f")
    rare(x)
    for _ in range(MOST_CALLS + link_calls._MOST_PASSED):
        often(x)
    assert isinstance(vars(cls)["forward"], link_calls._RecordedMethod)
    often(x)
    assert not isinstance(vars(cls)["forward"], link_calls._RecordedMethod)


def test_a_link_that_is_gone_does_not_keep_the_wrapper() -> None:
    cls = new_style()
    cls()(np.zeros((1, 3), "f"))
    link = cls()
    for _ in range(MOST_CALLS):
        link(np.zeros((1, 3), "f"))
    assert not isinstance(vars(cls)["forward"], link_calls._RecordedMethod)


def test_a_link_without_calls_has_those_of_another_one_of_its_class() -> None:
    cls = new_style()
    cls()(np.zeros((7, 3), "f"))
    assert call_of(cls(), "forward").arrays[0].shapes == [(7, 3)]


def test_errors_of_a_link_are_its_own() -> None:
    class Broken(chainer.Link):  # type: ignore[misc]  # as above
        def __call__(self, x: Any) -> Any:  # noqa: ANN401 - as above
            raise ZeroDivisionError("mine")

    link_calls.wrap(Broken)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="mine"):
            Broken()(np.zeros(1))
    assert link_calls._state.stack() == []


def test_arguments_that_cannot_be_described_do_not_stop_a_call() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]  # an object that is hard to look at

    class Model(chainer.Link):  # type: ignore[misc]  # as above
        def __call__(self, *args: Any) -> Any:  # noqa: ANN401 - as above
            return len(args)

    link_calls.wrap(Model)
    assert Model()(Odd(), [np.zeros(2)], {}, None, np.array(["a"]), np.array([np.nan])) == 6


def test_threads_do_not_mix_their_calls() -> None:
    cls = new_style()
    links = [cls() for _ in range(4)]
    threads = [threading.Thread(target=link, args=(np.zeros((n + 1, 3), "f"),)) for n, link in enumerate(links)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [call_of(link, "forward").arrays[0].shapes for link in links] == [[(n + 1, 3)] for n in range(4)]


def test_pickles_of_links_have_nothing_of_the_wrapper() -> None:
    link = old_style()()
    link(np.zeros((1, 3), "f"))
    content = cloudpickle.dumps(link)  # writes a class that is defined in a function as it is
    assert not any(
        name in content for name in (b"_RecordedMethod", b"training_job.hooks.link_calls", b"recorded_calls")
    )
    assert pickle.loads(content)(np.zeros((2, 3), "f")).shape == (2, 2)  # noqa: S301 - written above


def test_a_method_that_was_replaced_stays_as_it_is() -> None:
    cls = new_style()
    cls.forward = lambda _, x: x
    link_calls.remove_all()
    assert cls()(3) == 3


def test_chainers_methods_that_a_class_overrides_are_not_wrapped() -> None:
    class Model(chainer.Chain):  # type: ignore[misc]  # as above
        def serialize(self, serializer: Any) -> None:  # noqa: ANN401 - as above
            super().serialize(serializer)

        def _private(self) -> None: ...

        @staticmethod
        def helper() -> int:
            return 1

    before = dict(vars(Model))
    link_calls.wrap(Model)
    assert dict(vars(Model)) == before
