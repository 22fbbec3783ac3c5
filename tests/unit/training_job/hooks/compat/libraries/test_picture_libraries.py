"""What Matplotlib and scikit-image have lost, as scripts call it."""

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

PLOTS = """
import matplotlib
matplotlib.use("Agg", warn=False)
import matplotlib.pyplot as plt
"""


def test_plots_of_before() -> None:
    pytest.importorskip("matplotlib", reason="a job may bring it itself")
    code = """
with plt.style.context("seaborn-whitegrid"):
    figure, axes = plt.subplots()
counts, _, _ = plt.hist([1, 1, 2], bins=2, normed=True)
plt.hold(True)
axes.hold(False)
plt.grid(b=True)
axes.set_axis_bgcolor("red")
plt.yscale("log", basey=2, nonposy="clip")
plt.tick_params(labelbottom="off")
plt.boxplot([[1, 2]], labels=["n"])
plt.savefig(file, frameon=True)
space = plt.figure().gca(projection="3d").name
again = plt.gca(projection="3d").name
plt.figure()
part = plt.subplot(111, axisbg="blue").get_facecolor()
picture = plt.figure(figsize=(2, 1), dpi=10).canvas.tostring_rgb()
colors = plt.get_cmap("spectral").name, matplotlib.cm.get_cmap("jet", 4).N, matplotlib.cm.Vega10.name
density = matplotlib.mlab.normpdf(0, 0, 1) if hasattr(matplotlib, "mlab") else None
plt.close("all")
"""
    import io  # noqa: PLC0415

    found = run(PLOTS + code, file=io.BytesIO())
    assert found["counts"].tolist() == pytest.approx([4 / 3, 2 / 3])
    assert found["axes"].get_facecolor() == (1, 0, 0, 1)
    assert found["part"] == (0, 0, 1, 1)
    assert (found["space"], found["again"]) == ("3d", "3d")
    assert len(found["picture"]) == 20 * 10 * 3
    assert found["colors"] == ("nipy_spectral", 4, "tab10")


@pytest.mark.parametrize(
    "code", ["plt.hist([1], normed=True)", "plt.hold", "matplotlib.cm.get_cmap", "plt.gcf().gca(projection='3d')"]
)
def test_other_packages_see_todays_matplotlib(code: str) -> None:
    pytest.importorskip("matplotlib", reason="a job may bring it itself")
    with pytest.raises((AttributeError, TypeError)):
        run_elsewhere(PLOTS.replace(", warn=False", "") + code)


def test_pictures_are_compared() -> None:
    pytest.importorskip("skimage", reason="a job may bring it itself")
    code = """
    import numpy as np
    from skimage.measure import compare_mse, compare_psnr, compare_ssim
    from skimage.color import rgb2grey
    from skimage.draw import circle
    a = np.random.default_rng(0).random((9, 9, 3)).astype("f")
    same = compare_ssim(a, a, multichannel=True), compare_mse(a, a), rgb2grey(a).shape, len(circle(4, 4, 2)[0])
    noise = compare_psnr(a * 0, a * 0 + 0.1, data_range=1)
    """
    found = run(code)
    assert found["same"] == (pytest.approx(1), 0, (9, 9), 9)
    assert found["noise"] == pytest.approx(20)
    with pytest.raises(ImportError):
        run_elsewhere("from skimage.measure import compare_ssim")
