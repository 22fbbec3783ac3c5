"""Makes Chainer 7.8.1, the last release, import and train on Python 3.11 to 3.13 and NumPy 1.26 to 2.x.

`install` puts a finder on `sys.meta_path`. A patch (the table is `training_job.hooks.compat.patches`, and in
docs/chainer.md) is applied when its module is imported; one of Python's own modules that is imported already, at once.
`training_job.launch` puts the folder `STARTUP` first on PYTHONPATH, so that the script, and every process that it
starts, installs the finder too.
"""

from pathlib import Path

from training_job.hooks.compat.patches import PATCHES
from training_job.hooks.compat.standard import patches as standard_patches
from training_job.hooks.import_hook import PatchFinder
from training_job.hooks.import_hook import install as install_finder

STARTUP = Path(__file__).parent / "startup"
"""Folder of `sitecustomize.py`. Python imports the first one on its path at startup."""

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Patch Chainer and what scripts of its time use when it is imported. Calling this again has no effect."""
    install_finder(_FINDER)
    standard_patches.apply_to_imported()
