"""What runs on the node that trains: `python -m training_job.launch`, `.train` and `.score`.

Importing the package makes `chainer` importable on today's Python and NumPy (see `training_job.compat`). Nothing
else happens until something imports Chainer.
"""

from training_job import compat, dropped_datasets, reports, resuming

compat.install()
reports.install()
resuming.install()
dropped_datasets.install()
