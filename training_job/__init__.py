"""The code that runs on the training node: `python -m training_job.launch`, `.train` and `.score`.

Importing the package installs import hooks, which make `chainer` importable on today's Python and NumPy (see
`training_job.hooks.compat`). They have no effect until something imports Chainer.
"""

from training_job.hooks import (
    dataset_hooks,
    exports_at_exit,
    metric_hooks,
    pickled_arrays,
    resuming,
    saved_links,
)
from training_job.hooks.compat import installer

installer.install()
metric_hooks.install()
resuming.install()
dataset_hooks.install()
saved_links.install()
pickled_arrays.install()
exports_at_exit.install()
