# ruff: noqa: ANN401 - scikit-learn's old signatures
"""The iterators of `sklearn.cross_validation`, which scikit-learn 0.20 removed.

They took the number of samples, or the labels, and yielded pairs of index arrays; those of `sklearn.model_selection`
take the samples later. Source: https://scikit-learn.org/0.19/modules/classes.html#module-sklearn.cross_validation
"""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np


class _Split:
    """Pairs (train, test) of index arrays, for a splitter of today."""

    def __init__(self, splitter: Any, samples: int, labels: Any = None, groups: Any = None) -> None:
        self._splitter, self._labels, self._groups = splitter, labels, groups
        self._samples = np.zeros((samples, 1))
        self.n = samples

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._splitter.split(self._samples, self._labels, self._groups))

    def __len__(self) -> int:
        return int(self._splitter.get_n_splits(self._samples, self._labels, self._groups))


def _today(name: str, **options: Any) -> Any:
    return getattr(import_module("sklearn.model_selection"), name)(**options)


def _seeded(random_state: Any, *, shuffle: bool) -> Any:
    # Today's splitters refuse a seed that they have no use for.
    return random_state if shuffle else None


class KFold(_Split):
    """Folds of `n` samples."""

    def __init__(self, n: int, n_folds: int = 3, shuffle: bool = False, random_state: Any = None) -> None:  # noqa: FBT001, FBT002
        seed = _seeded(random_state, shuffle=shuffle)
        super().__init__(_today("KFold", n_splits=n_folds, shuffle=shuffle, random_state=seed), int(n))


class StratifiedKFold(_Split):
    """Folds with the same share of each label."""

    def __init__(self, y: Any, n_folds: int = 3, shuffle: bool = False, random_state: Any = None) -> None:  # noqa: FBT001, FBT002
        seed = _seeded(random_state, shuffle=shuffle)
        splitter = _today("StratifiedKFold", n_splits=n_folds, shuffle=shuffle, random_state=seed)
        super().__init__(splitter, len(y), np.asarray(y))


class LabelKFold(_Split):
    """Folds that keep samples with the same label together."""

    def __init__(self, labels: Any, n_folds: int = 3) -> None:
        super().__init__(_today("GroupKFold", n_splits=n_folds), len(labels), groups=np.asarray(labels))


class LeaveOneOut(_Split):
    """Each of `n` samples alone."""

    def __init__(self, n: int) -> None:
        super().__init__(_today("LeaveOneOut"), int(n))


class ShuffleSplit(_Split):
    """Random divisions of `n` samples."""

    def __init__(
        self, n: int, n_iter: int = 10, test_size: Any = 0.1, train_size: Any = None, random_state: Any = None
    ) -> None:
        options = {"test_size": test_size, "train_size": train_size, "random_state": random_state}
        super().__init__(_today("ShuffleSplit", n_splits=n_iter, **options), int(n))


class StratifiedShuffleSplit(_Split):
    """Random divisions with the same share of each label."""

    def __init__(
        self, y: Any, n_iter: int = 10, test_size: Any = 0.1, train_size: Any = None, random_state: Any = None
    ) -> None:
        options = {"test_size": test_size, "train_size": train_size, "random_state": random_state}
        super().__init__(_today("StratifiedShuffleSplit", n_splits=n_iter, **options), len(y), np.asarray(y))


_SAME = (
    "train_test_split",
    "cross_val_score",
    "cross_val_predict",
    "permutation_test_score",
    "check_cv",
    "PredefinedSplit",
)
_OLD = (KFold, StratifiedKFold, LabelKFold, LeaveOneOut, ShuffleSplit, StratifiedShuffleSplit)


def fill(module: ModuleType) -> None:
    """Put the names of `sklearn.cross_validation` into a stand-in."""
    selection = import_module("sklearn.model_selection")
    vars(module).update({name: getattr(selection, name) for name in _SAME})
    vars(module).update({cls.__name__: cls for cls in _OLD})
