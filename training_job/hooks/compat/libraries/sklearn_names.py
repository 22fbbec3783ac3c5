# ruff: noqa: ANN401 - scikit-learn's old signatures
"""The names and modules that scikit-learn has removed, for old code.

Sources: https://scikit-learn.org/stable/whats_new.html, versions 0.18 to 1.5.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from training_job.hooks.compat import lost_modules, lost_names

_GONE = {
    "fetch_mldata": "the site mldata.org, from which it downloaded, was shut down in 2018. Drop the data set's files "
    "and read them, or use sklearn.datasets.fetch_openml",
    "load_boston": "scikit-learn 1.2 removed the data set. Drop its file (boston.csv of scikit-learn 1.1) and read it",
}


def _today(path: str) -> Callable[[], Any]:
    module, _, name = path.rpartition(".")
    return lambda: getattr(import_module(module), name)


def _partial(path: str, **options: Any) -> Callable[[], Any]:
    """Return what makes a function that calls today's class or function with these options."""
    return lambda: lambda *args, **more: _today(path)()(*args, **options, **more)


def _gone(name: str) -> Callable[[], Any]:
    def unavailable(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG001 - whatever it was called with
        raise RuntimeError(f"sklearn.datasets.{name} cannot be used any more: {_GONE[name]}.")

    return lambda: unavailable


def _linear_assignment(x: Any) -> Any:
    """Return the pairs (row, column) of the least sum of costs (N, M), as an array (K, 2)."""
    rows, columns = import_module("scipy.optimize").linear_sum_assignment(x)
    return np.stack([rows, columns], axis=1)


def _jaccard(y_true: Any, y_pred: Any, normalize: bool = True, sample_weight: Any = None) -> Any:  # noqa: FBT001, FBT002
    """Return the mean similarity of label sets; for one label a sample, that is the accuracy."""
    metrics = import_module("sklearn.metrics")
    if np.ndim(y_true) > 1:
        return metrics.jaccard_score(y_true, y_pred, average="samples", sample_weight=sample_weight)
    return metrics.accuracy_score(y_true, y_pred, normalize=normalize, sample_weight=sample_weight)


def _imputer(missing_values: Any = "NaN", strategy: str = "mean", axis: int = 0, **options: Any) -> Any:
    if axis != 0:
        raise ValueError("Imputer(axis=1) has no successor: transpose the values and use sklearn.impute.SimpleImputer.")
    missing = np.nan if missing_values == "NaN" else missing_values
    options.pop("verbose", None)
    return import_module("sklearn.impute").SimpleImputer(missing_values=missing, strategy=strategy, **options)


NAMES: dict[str, Mapping[str, Callable[[], Any]]] = {
    "sklearn": {
        name: lambda name=name: import_module(f"sklearn.{name}")  # type: ignore[misc] # a default binds the loop's name
        for name in ("cross_validation", "grid_search", "learning_curve", "lda", "qda")
    },
    "sklearn.externals": {
        name: lambda name=name: import_module(f"sklearn.externals.{name}")  # type: ignore[misc] # as above
        for name in ("joblib", "six")
    },
    "sklearn.datasets": {
        # These say what to use instead when they are called, not when a script imports them.
        "fetch_mldata": _gone("fetch_mldata"),
        "load_boston": _gone("load_boston"),
        "samples_generator": lambda: import_module("sklearn.datasets.samples_generator"),
    },
    "sklearn.preprocessing": {"Imputer": lambda: _imputer},
    "sklearn.metrics": {
        "jaccard_similarity_score": lambda: _jaccard,
        "calinski_harabaz_score": _today("sklearn.metrics.calinski_harabasz_score"),
        "plot_confusion_matrix": lambda: import_module("sklearn.metrics").ConfusionMatrixDisplay.from_estimator,
        "plot_roc_curve": lambda: import_module("sklearn.metrics").RocCurveDisplay.from_estimator,
    },
    "sklearn.decomposition": {"RandomizedPCA": _partial("sklearn.decomposition.PCA", svd_solver="randomized")},
    "sklearn.utils.extmath": {
        "logsumexp": _today("scipy.special.logsumexp"),
        "fast_dot": _today("numpy.dot"),
    },
}
"""What makes each lost name, by module."""


def _put(**names: Callable[[], Any]) -> lost_modules.Fill:
    return lambda module: vars(module).update({name: make() for name, make in names.items()})


def _cross_validation(module: ModuleType) -> None:
    import_module("training_job.hooks.compat.libraries.sklearn_splits").fill(module)


MODULES: dict[str, lost_modules.Fill] = {
    "sklearn.cross_validation": _cross_validation,
    "sklearn.grid_search": lost_modules.alias("sklearn.model_selection"),
    "sklearn.learning_curve": _put(
        learning_curve=_today("sklearn.model_selection.learning_curve"),
        validation_curve=_today("sklearn.model_selection.validation_curve"),
    ),
    "sklearn.externals.joblib": lost_modules.alias("joblib"),
    "sklearn.externals.six": lost_modules.alias("six"),
    "sklearn.utils.linear_assignment_": _put(linear_assignment=lambda: _linear_assignment),
    "sklearn.utils.testing": lost_modules.alias("sklearn.utils._testing"),
    "sklearn.lda": _put(LDA=_today("sklearn.discriminant_analysis.LinearDiscriminantAnalysis")),
    "sklearn.qda": _put(QDA=_today("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis")),
    **{
        f"sklearn.{package}.{name}": lost_modules.alias(f"sklearn.{package}")
        for package, names in {
            "datasets": ("base", "samples_generator", "mldata"),
            "ensemble": ("bagging", "forest", "gradient_boosting", "weight_boosting"),
            "linear_model": ("base", "coordinate_descent", "logistic", "ridge", "stochastic_gradient"),
            "manifold": ("t_sne", "spectral_embedding_"),
            "cluster": ("k_means_", "hierarchical"),
            "metrics": ("classification", "ranking", "regression", "scorer"),
            "preprocessing": ("data", "label"),
            "svm": ("classes",),
            "decomposition": ("pca", "nmf"),
            "neighbors": ("classification", "regression", "unsupervised"),
            "tree": ("tree",),
        }.items()
        for name in names
    },
}
"""The stand-ins for lost modules."""


def install(module: ModuleType) -> None:
    """Serve what `sklearn` itself has lost, and provide its lost modules."""
    lost_modules.provide(MODULES)
    serve(module)


def serve(module: ModuleType) -> None:
    """Serve what this module of scikit-learn has lost."""
    lost_names.serve(module, NAMES[module.__name__])
