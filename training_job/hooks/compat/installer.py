"""Makes Chainer 7.8.1, the last release, import and train on Python 3.11 to 3.13 and NumPy 1.26 to 2.x.

`install` puts a finder on `sys.meta_path` and does nothing else: the patches (`training_job.hooks.compat.patches`, one
table; docs/chainer.md in words) run when, and only if, the module that they mend is imported. `training_job.launch`
puts the folder `STARTUP` first on PYTHONPATH, so that the script, and every process that it starts, installs it too.
"""

from pathlib import Path

from training_job.hooks.compat.patches import PATCHES
from training_job.hooks.import_hook import PatchFinder
from training_job.hooks.import_hook import install as install_finder

STARTUP = Path(__file__).parent / "startup"
"""Holds `sitecustomize.py`, which Python imports at its start from the first folder on its path that has one."""

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Mend Chainer when it is imported. Calling it again does nothing."""
    install_finder(_FINDER)
