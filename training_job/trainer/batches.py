"""Training batches: inputs and classes on the network's device, with pictures shifted at random."""

from typing import Any

import chainer
import numpy as np
from chainer.backends import cuda

from training_job.trainer.datasets.table import Table
from training_job.trainer.preprocessing import Preprocessor

_PREPARED_BYTES = 2 << 30  # max size of training data that is kept as float32
_SHARE_OF_GPU = 4  # at most a fourth of a GPU's free memory; the network needs the rest


class Batches:
    """Batches of a table, in the order of a plan that is drawn for each epoch.

    Small data is preprocessed once and kept, in the GPU's memory if there is a GPU; large data is preprocessed batch by
    batch. The batches are the same.
    """

    def __init__(self, table: Table, preprocessor: Preprocessor, device: Any, *, shift: int) -> None:  # noqa: ANN401 - Chainer has no types
        """Take the data. `shift` is the max number of pixels by which pictures are moved in each direction."""
        self._table = table
        self._preprocessor = preprocessor
        self._device = device
        self._shift = shift if preprocessor.are_pictures else 0
        self._plan: Any = None
        self._y: Any = None
        self._prepared: Any = None
        size = table.x.size * 4
        if size <= _PREPARED_BYTES:
            self._prepared = preprocessor.prepare(table.x)
        on_gpu = isinstance(device, chainer.backend.GpuDevice)
        if on_gpu and size <= min(_PREPARED_BYTES, device.device.mem_info[0] // _SHARE_OF_GPU):
            self._prepared = device.send(self._prepared)
        self._is_resident = isinstance(self._prepared, cuda.ndarray)

    def draw(self, rng: np.random.Generator) -> Any:  # noqa: ANN401 - an array
        """Return the plan of an epoch, int64 (1 or 3, N): rows of the table, and pixels to move up and left."""
        rows = rng.permutation(len(self._table))[None]
        if not self._shift:
            return rows
        return np.concatenate([rows, rng.integers(-self._shift, self._shift + 1, (2, rows.size))])

    def begin(self, plan: Any) -> None:  # noqa: ANN401 - an array
        """Start an epoch with a plan that `draw` has returned."""
        # Sent as a whole, as sending each small array takes longer than computing with it.
        self._y = self._device.send(self._table.y.take(plan[0]))
        self._plan = self._device.send(plan) if self._is_resident else plan

    def take(self, batch: slice) -> tuple[Any, Any]:
        """Return the inputs, float32 (N, *network_shape), and the classes, int32 (N,), of a slice of the plan."""
        rows, *moves = self._plan[:, batch]
        return self._inputs_of(rows, moves), self._y[batch]

    def _inputs_of(self, rows: Any, moves: Any) -> Any:  # noqa: ANN401 - arrays
        if self._prepared is None:
            x = self._preprocessor.prepare(self._table.x[rows])
        elif not (self._is_resident and moves):
            x = self._prepared.take(rows, axis=0)
        else:
            return shifted_on_gpu(self._prepared, rows, *moves)
        return self._device.send(shifted(x, *moves) if moves else x)


def shifted(x: Any, up: Any, left: Any, *, fill: float = 0) -> Any:  # noqa: ANN401 - arrays
    """Return the pictures (N, channels, height, width), moved by `up` and `left` pixels (N,) and filled with `fill`."""
    margin = int(max(np.abs(up).max(initial=0), np.abs(left).max(initial=0)))
    count, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return np.ascontiguousarray(windows[np.arange(count), :, up + margin, left + margin])


def shifted_on_gpu(x: Any, rows: Any, up: Any, left: Any) -> Any:  # noqa: ANN401 - arrays
    """Return the result of `shifted` for these rows of an array on a GPU."""
    out = cuda.cupy.empty((len(rows), *x.shape[1:]), x.dtype)
    cuda.elementwise(
        "raw T x, raw int64 rows, raw int64 up, raw int64 left, int64 channels, int64 height, int64 width", "T out",
        """
        const ptrdiff_t column = i % width, line = i / width % height, channel = i / (width * height) % channels;
        const ptrdiff_t picture = i / (width * height * channels);
        const ptrdiff_t from_line = line + up[picture], from_column = column + left[picture];
        const bool is_inside = from_line >= 0 && from_line < height && from_column >= 0 && from_column < width;
        out = is_inside ? x[((rows[picture] * channels + channel) * height + from_line) * width + from_column] : T(0);
        """,
        "kedja_shifted",
    )(x, rows, up, left, *x.shape[1:], out)  # fmt: skip
    return out
