"""What SciPy has lost, as scripts call it."""

from typing import Any

import numpy as np
import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

pytest.importorskip("scipy", reason="a job may bring it itself")
pytestmark = pytest.mark.filterwarnings("ignore:scipy.misc is deprecated")  # what is left of it, an empty module

CALLS: dict[str, Any] = {
    "import scipy; x = scipy.zeros(2), scipy.interp(0.5, [0, 1], [0, 4])": ([0, 0], 2),
    "import scipy; x = scipy.sqrt(-1), scipy.float_(1), scipy.rand(2).shape": (1j, 1, (2,)),
    "import scipy; x = scipy.misc.comb(4, 2)": 6,
    "from scipy.misc import logsumexp; x = logsumexp([0, 0])": np.log(2),
    "from scipy.misc import derivative; x = derivative(lambda v: v**3, 2.0, 0.1, n=2, order=5)": 12,
    "from scipy.integrate import trapz, simps; x = trapz([1, 3]), simps([0, 1, 4], [0, 1, 2])": (2, 8 / 3),
    "from scipy.integrate import cumtrapz; x = cumtrapz([1, 3])": [2],
    "from scipy.signal import gaussian, hann; x = gaussian(3, 1)[1], hann(3)": (1, [0, 1, 0]),
    "from scipy.stats import binom_test as b, itemfreq as f; x = b(3, 4), f([1, 1, 5])": (0.625, [[1, 2], [5, 1]]),
    "from scipy.stats import threshold; x = threshold([1, 5, 9], 2, 8, 0)": [0, 5, 0],
    "from scipy.stats import betai, chisqprob; x = betai(1, 1, 0.3), chisqprob(0, 2)": (0.3, 1),
    "from scipy.stats import median_absolute_deviation as m; x = m([1, 2, 3])": 1.4826,
    "from scipy.linalg import pinv2, tril; x = pinv2([[2.0]]), tril([[1, 1], [1, 1]])": ([[0.5]], [[1, 0], [1, 1]]),
    "from scipy.spatial.distance import matching; x = matching([1, 0], [1, 1])": 0.5,
    "from scipy.spatial.distance import wminkowski; x = wminkowski([0], [2], 2, [3])": 6,
    "from scipy.special import sph_harm; x = sph_harm(0, 1, 0.0, 0.0).real": np.sqrt(3 / (4 * np.pi)),
}  # fmt: skip


@pytest.mark.parametrize("code", CALLS)
def test_what_scipy_gave(code: str) -> None:
    found, expected = run(code)["x"], CALLS[code]
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-8)


@pytest.mark.parametrize("name", ["integrate.simps", "signal.hann", "misc.imread", "interp", "ndimage.imread"])
def test_other_packages_see_todays_scipy(name: str) -> None:
    module, _, last = f"scipy.{name}".rpartition(".")
    with pytest.raises((AttributeError, ImportError)):
        run_elsewhere(f"from {module} import {last}")


def test_pictures_are_read_scaled_and_saved(tmp_path: Any) -> None:  # noqa: ANN401 - a path for the script
    pytest.importorskip("PIL")
    code = """
    import numpy as np
    from scipy import misc, ndimage
    picture = np.zeros((4, 6, 3), np.uint8); picture[:, 3:] = 200
    misc.imsave(file, picture)
    same = misc.imread(file)
    grey = misc.imread(file, mode="L"), ndimage.imread(file, flatten=True)
    half, exact, third = misc.imresize(picture, 50), misc.imresize(picture, (8, 2)), misc.imresize(picture, 0.34)
    turned = misc.imrotate(picture, 180, interp="nearest")
    floats = misc.imresize(np.array([[0.0, 0.5], [1.0, 0.25]]), (2, 2))
    planes = misc.toimage(picture.transpose(2, 0, 1)).size
    """
    found = run(code, file=str(tmp_path / "x.png"))
    assert (found["same"] == found["picture"]).all()
    assert [grey.shape for grey in found["grey"]] == [(4, 6), (4, 6)]
    assert found["grey"][1].dtype == np.float32
    assert (found["half"].shape, found["exact"].shape, found["third"].shape) == ((2, 3, 3), (8, 2, 3), (1, 2, 3))
    assert (found["turned"] == found["picture"][::-1, ::-1]).all()
    assert found["floats"].tolist() == [[0, 128], [255, 64]]
    assert found["planes"] == (6, 4)


@pytest.mark.parametrize("values", ["np.ones((2, 2, 5))", "np.ones((2, 2), complex)", "np.ones(3)"])
def test_what_is_no_picture(values: str) -> None:
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match=r"complex|suitable"):
        run(f"import numpy as np; from scipy.misc import toimage; toimage({values})")
