"""A backend of matplotlib that draws as Agg does; `plt.show()` saves the open figures as the notebook's pictures.

https://matplotlib.org/stable/users/explain/figure/writing_a_backend_pyplot_interface.html
"""

from matplotlib.backend_bases import FigureManagerBase as FigureManager
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

from training_job.notebooks.display import ON_SHOW

__all__ = ["FigureCanvas", "FigureManager", "show"]


def show(*_: object, **__: object) -> None:
    """Show all open figures."""
    for callback in ON_SHOW:
        callback()
