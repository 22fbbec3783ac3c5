"""What scikit-learn has lost, as scripts call it."""

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

pytest.importorskip("sklearn", reason="a job may bring it itself")


def test_the_iterators_of_cross_validation() -> None:
    code = """
    from sklearn import cross_validation
    from sklearn.cross_validation import KFold, LeaveOneOut, StratifiedKFold, ShuffleSplit, train_test_split
    folds = [(train.tolist(), test.tolist()) for train, test in KFold(4, n_folds=2)]
    same = [sorted(test.tolist()) for _, test in StratifiedKFold([0, 0, 1, 1], 2)]
    counts = len(LeaveOneOut(3)), len(ShuffleSplit(10, n_iter=4, random_state=0)), len(KFold(9, 3, random_state=1))
    parts = [len(part) for part in train_test_split(range(10), test_size=0.2)]
    """
    found = run(code)
    assert found["folds"] == [([2, 3], [0, 1]), ([0, 1], [2, 3])]
    assert found["same"] == [[0, 2], [1, 3]]
    assert found["counts"] == (3, 4, 3)
    assert found["parts"] == [8, 2]


def test_modules_that_have_moved() -> None:
    code = """
    from sklearn.externals import joblib, six
    from sklearn.grid_search import GridSearchCV
    from sklearn.utils.linear_assignment_ import linear_assignment
    from sklearn.manifold.t_sne import TSNE
    from sklearn.datasets.samples_generator import make_blobs
    from sklearn.lda import LDA
    from sklearn.preprocessing import Imputer
    from sklearn.decomposition import RandomizedPCA
    from sklearn.metrics import jaccard_similarity_score
    pairs = linear_assignment([[9, 1], [1, 9]]).tolist()
    filled = Imputer(strategy="mean").fit_transform([[1.0], [float("nan")], [3.0]]).tolist()
    score = jaccard_similarity_score([0, 1, 2, 2], [0, 1, 1, 2])
    shape = RandomizedPCA(1).fit_transform([[0, 1], [1, 0]]).shape
    """
    found = run(code)
    assert found["pairs"] == [[0, 1], [1, 0]]
    assert found["filled"] == [[1.0], [2.0], [3.0]]
    assert found["score"] == 0.75
    assert found["shape"] == (2, 1)
    assert callable(found["joblib"].dump)


@pytest.mark.parametrize(("name", "advice"), [("fetch_mldata", "fetch_openml"), ("load_boston", "boston.csv")])
def test_data_that_is_gone_says_so_when_it_is_loaded(name: str, advice: str) -> None:
    run(f"from sklearn.datasets import {name}")
    with pytest.raises(RuntimeError, match=advice):
        run(f"from sklearn.datasets import {name}; {name}('MNIST original')")


def test_other_packages_see_todays_scikit_learn() -> None:
    for code in (
        "from sklearn.preprocessing import Imputer",
        "import sklearn.qda",
        "from sklearn.datasets import load_boston",
    ):
        with pytest.raises(ImportError):
            run_elsewhere(code)
