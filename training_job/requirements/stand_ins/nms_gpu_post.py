"""What ChainerCV 0.13's extension `chainercv.utils.bbox._nms_gpu_post` does, in Python.

It selects boxes from the bits that the CUDA kernel of `non_maximum_suppression` has set. Source:
https://github.com/chainer/chainercv/blob/v0.13.1/chainercv/utils/bbox/_nms_gpu_post.pyx
"""

import numpy as np
import numpy.typing as npt


def _nms_gpu_post(
    mask: npt.NDArray[np.uint64], n_bbox: int, threads_per_block: int, col_blocks: int
) -> tuple[npt.NDArray[np.int32], int]:
    """Return the selected boxes' indices, first in an array of shape (n_bbox,), and how many they are.

    Bit j of `mask[i * col_blocks + block]` says that box i suppresses box `block * threads_per_block + j`.
    """
    rows = np.asarray(mask).reshape(n_bbox, col_blocks)
    suppressed: npt.NDArray[np.uint64] = np.zeros(col_blocks, dtype=np.uint64)
    selected: npt.NDArray[np.int32] = np.zeros(n_bbox, dtype=np.int32)
    count = 0
    for box in range(n_bbox):
        block, bit = divmod(box, threads_per_block)
        if int(suppressed[block]) >> bit & 1:
            continue
        selected[count] = box
        count += 1
        suppressed[block:] |= rows[box, block:]
    return selected, count
