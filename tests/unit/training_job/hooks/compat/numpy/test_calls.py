"""What NumPy has come to refuse, as scripts call it."""

from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

NEW = int(np.__version__.partition(".")[0]) > 1
CALLS: dict[str, Any] = {
    "np.array([[1], [1, 2]])": [[1], [1, 2]],
    "np.asarray([np.ones(1), np.ones(2)]).dtype == object": True,
    "np.array([(np.ones(2), 1), (np.ones(2), 2)]).shape": (2, 2),
    "np.asanyarray([[1], []]).shape": (2,),
    "np.array(np.arange(3), dtype='f', copy=False)": [0, 1, 2],
    "np.array([1, 2], copy=False)": [1, 2],
    "np.array([-1, 300], np.uint8)": [255, 44],
    "np.full(2, -1, dtype=np.uint8)": [255, 255],
    "np.full((1,), -1, np.uint8)": [255],
    "np.fromstring(b'\\x01\\x02', np.uint8)": [1, 2],
    "np.fromstring('ab', dtype='u1', count=1)": [97],
    "np.fromstring('1 2', sep=' ')": [1, 2],
    "np.hstack(np.ones(1) for _ in range(2))": [1, 1],
    "np.vstack(map(np.ones, [1, 1]))": [[1], [1]],
    "np.histogram([1, 1, 2, 2], bins=2, normed=True)[0]": [1, 1],
    "np.unravel_index(3, dims=(2, 2))": (1, 1),
    "np.random.permutation([(np.zeros(2), 1), (np.ones(2), 2)]).shape": (2, 2),
    "np.ones(1).tostring() == np.ones(1).tobytes()": True,
    "np.array([3, 9, 5]).ptp()": 6,
    "np.array([[3, 9], [5, 6]]).ptp(axis=1)": [6, 1],
    "np.array([1], '<i2').newbyteorder().dtype == np.dtype('>i2')": True,
    "np.lib.pad([1], 1, 'constant')": [0, 1, 0],
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a NumPy that still has them
@pytest.mark.parametrize("call", CALLS)
def test_what_old_calls_gave(call: str) -> None:
    found = run(f"import numpy as np; x = {call}")["x"]
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == CALLS[call]


def test_items_are_set_by_position() -> None:
    code = "import numpy as np; x = np.zeros((2, 2)); x.itemset(1, 5); x.itemset((1, 0), 6); x.itemset(1, 1, 7)"
    assert run(code)["x"].tolist() == [[0, 5], [6, 7]]


@pytest.mark.skipif(not NEW, reason="NumPy 1 does so itself")
@pytest.mark.parametrize(
    "call",
    ["np.array([[1], [1, 2]])", "np.array([1], copy=False)", "np.array([-1], np.uint8)", "np.ones(1).ptp()",
     "np.histogram([1], normed=True)", "np.hstack(x for x in [[1]])", "np.random.permutation([[1], [1, 2]])"],
)  # fmt: skip
def test_other_packages_see_todays_numpy(call: str) -> None:
    with pytest.raises((ValueError, OverflowError, TypeError, AttributeError)):
        run_elsewhere(f"import numpy as np; {call}")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("np.array([[1], [1, 2]], dtype=float)", ValueError),
        ("np.array(['a'], dtype=float)", ValueError),
        ("np.array([2**70], dtype=np.int64)", OverflowError),
        ("np.ones(1).nothing", AttributeError),
        ("np.hstack(3)", (TypeError, ValueError)),
    ],
)
def test_what_numpy_always_refused_it_still_refuses(call: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(f"import numpy as np; {call}")


def test_the_functions_keep_their_names() -> None:
    import pickle  # noqa: PLC0415 - to see that workers can be sent them

    for name in ("array", "asarray", "full", "hstack"):
        function = getattr(np, name)
        assert function.__name__ == name
        assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301 - made here
