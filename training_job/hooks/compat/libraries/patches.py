"""The part of the table of patches that concerns the libraries that scripts of Chainer's time use.

Each row serves what a library has lost to old code (`caller_origin`). It is applied when the library is imported in a
process that trains with Chainer; if Chainer is imported after the library, then. docs/chainer.md has the same table.
"""

import sys

from training_job.hooks.compat.libraries.picture_patches import PICTURE_PATCHES
from training_job.hooks.compat.libraries.row import lazily, row
from training_job.hooks.import_hook import Patch

LIBRARY_PATCHES: tuple[Patch, ...] = (
    Patch(
        module="numpy.random",
        symptom="permutation and choice of pairs of arrays and labels: ValueError",
        since="NumPy 1.24",
        fix="they are made an array of objects first, as before",
        apply=lazily("numpy.calls", "install_random"),
    ),
    row(
        "scipy",
        "NumPy's functions as scipy.zeros, scipy.rand, scipy.interp, …; scipy.misc without an import",
        "SciPy 1.12",
        "NumPy's; for numbers below zero, sqrt, log and power are complex, as they were in SciPy",
        "scipy_names",
    ),
    row(
        "scipy.misc",
        "scipy.misc.imread, imresize, imsave, imrotate, toimage, …, logsumexp, comb, factorial, face, derivative",
        "SciPy 1.2, 1.3 (imread), 1.12",
        "the functions for images, made with Pillow as they were; the rest of scipy.special and scipy.datasets",
        "scipy_names",
        "install_misc",
    ),
    row(
        "scipy.ndimage",
        "scipy.ndimage.imread",
        "SciPy 1.2",
        "the same as scipy.misc.imread",
        "scipy_names",
        "install_ndimage",
    ),
    row(
        "scipy.integrate",
        "scipy.integrate.trapz, simps, cumtrapz",
        "SciPy 1.14",
        "trapezoid, simpson, cumulative_trapezoid",
        "scipy_names",
        "install_integrate",
    ),
    row(
        "scipy.signal",
        "scipy.signal.gaussian, hann and the other windows",
        "SciPy 1.13",
        "those of scipy.signal.windows",
        "scipy_names",
        "install_signal",
    ),
    row(
        "scipy.stats",
        "scipy.stats.binom_test, itemfreq, threshold, betai, chisqprob, median_absolute_deviation",
        "SciPy 1.0 to 1.12",
        "the same numbers, by today's functions",
        "scipy_names",
        "install_stats",
    ),
    row(
        "scipy.linalg",
        "scipy.linalg.pinv2, tri, triu, tril",
        "SciPy 1.9, 1.13",
        "pinv, and NumPy's",
        "scipy_names",
        "install_linalg",
    ),
    row(
        "scipy.special",
        "scipy.special.sph_harm",
        "SciPy 1.17",
        "sph_harm_y with its arguments in the old order",
        "scipy_names",
        "install_special",
    ),
    row(
        "scipy.spatial.distance",
        "scipy.spatial.distance.matching, wminkowski",
        "SciPy 1.0, 1.8",
        "hamming, and minkowski with the weights in its terms",
        "scipy_names",
        "install_distance",
    ),
    row(
        "sklearn",
        "sklearn.cross_validation, grid_search, learning_curve, externals.joblib and six, utils.linear_assignment_, "
        "lda, qda, manifold.t_sne, …",
        "scikit-learn 0.20 to 0.24",
        "stand-ins: the iterators take the number of samples or the labels, as before; the rest is "
        "today's under its old name",
        "sklearn_names",
    ),
    row(
        "sklearn.externals",
        "`from sklearn.externals import joblib`, six",
        "scikit-learn 0.23",
        "the packages joblib and six",
        "sklearn_names",
        "serve",
    ),
    row(
        "sklearn.datasets",
        "sklearn.datasets.fetch_mldata, load_boston",
        "scikit-learn 0.22, 1.2",
        "functions whose error says why they cannot work, and what to do; importing them is no error",
        "sklearn_names",
        "serve",
    ),
    row(
        "sklearn.preprocessing",
        "sklearn.preprocessing.Imputer",
        "scikit-learn 0.22",
        "SimpleImputer",
        "sklearn_names",
        "serve",
    ),
    row(
        "sklearn.metrics",
        "sklearn.metrics.jaccard_similarity_score, calinski_harabaz_score, plot_confusion_matrix, plot_roc_curve",
        "scikit-learn 0.23, 1.2",
        "the same numbers and pictures, by today's functions",
        "sklearn_names",
        "serve",
    ),
    row(
        "sklearn.decomposition",
        "sklearn.decomposition.RandomizedPCA",
        "scikit-learn 0.20",
        "PCA(svd_solver='randomized')",
        "sklearn_names",
        "serve",
    ),
    row(
        "sklearn.utils.extmath",
        "sklearn.utils.extmath.logsumexp, fast_dot",
        "scikit-learn 0.21",
        "SciPy's and NumPy's",
        "sklearn_names",
        "serve",
    ),
    row(
        "pandas",
        "DataFrame.append, ix, as_matrix, iteritems, get_value, lookup, sort, …; arguments by "
        "position, read_csv(error_bad_lines=…, squeeze=…), means of columns with text among them; pd.np, "
        "pd.rolling_mean, pandas.tools.plotting",
        "pandas 0.25 to 2.0",
        "methods that do what they did; old arguments are translated",
        "pandas_calls",
    ),
    row(
        "pandas.io.json",
        "pandas.io.json.json_normalize",
        "pandas 2.0",
        "pandas.json_normalize",
        "pandas_calls",
        "install_json",
    ),
    row(
        "yaml",
        "yaml.load and load_all without a loader: TypeError",
        "PyYAML 6.0",
        "FullLoader, as in PyYAML 5.1 to 5.4; never the unsafe loader of before",
        "small_calls",
        "install_yaml",
    ),
    row(
        "nltk",
        "after nltk.download('punkt'), the tokenizer does not find punkt_tab",
        "NLTK 3.9",
        "the package of the same content that NLTK loads instead is downloaded with it",
        "small_calls",
        "install_nltk",
    ),
    row(
        "networkx",
        "networkx.connected_component_subgraphs, from_numpy_matrix, to_numpy_matrix",
        "NetworkX 2.4, 3.0",
        "subgraphs of connected_components; the functions for arrays",
        "small_calls",
        "install_networkx",
    ),
    row(
        "gym.envs.registration",
        "env.spec.timestep_limit",
        "gym 0.10",
        "max_episode_steps",
        "small_calls",
        "install_gym",
    ),
    row(
        "gym.envs",
        "gym.make('Pendulum-v0')",
        "gym 0.21",
        "registered again: it is Pendulum-v1 by another name",
        "small_calls",
        "install_gym_environments",
    ),
    row(
        "cupy",
        "cupy.int, float, bool, …, cupy.scatter_add, cupy.core, cupy.util, cupy.sparse, cupy.creation",
        "CuPy 8 to 13",
        "Python's types, as NumPy had them; cupyx.scatter_add; the modules that are private today",
        "cupy_names",
    ),
    row("cupy.cuda", "cupy.cuda.compile_with_cache", "CuPy 13", "the one of cupy._core", "cupy_names", "install_cuda"),
    *PICTURE_PATCHES,
)


def apply_to_imported() -> None:
    """Apply the rows of libraries that were imported before Chainer. Applying one again has no effect."""
    for patch in LIBRARY_PATCHES:
        module = sys.modules.get(patch.module)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            with patch.apply(module):
                pass
