"""Files of NumPy arrays as somebody might drop them: headers that lie, objects, and damage."""

import io
import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.fuzz import inputs


def npy(header: str, data: bytes = b"\0" * 64) -> bytes:
    """Return a .npy file with this header (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    text = header.encode("latin-1", "replace")[:65000]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def saved(array: Any) -> bytes:  # noqa: ANN401 - an array
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


headers = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}".format,
    st.sampled_from(["'<f4'", "'|O'", "'|u1'", "'<U9'", "'<M8[s]'", "[('a','<f4')]", "'<f16'", "'|V8'", "0", "'x'"]),
    st.sampled_from(["False", "True", "0", "None"]),
    st.sampled_from(
        ["(4, 2)", "(4,)", "()", "(-1,)", "(1 << 62,)", "(4611686018427387904, 4)", "(99999999999,)", "(1.5,)", "7"]
    ),
)
npy_arrays = st.one_of(
    headers.map(npy),
    st.sampled_from(["{", "__import__('os')", "(" * 500, "[" * 9000, "\0", "{}", "{'a': 1}"]).map(npy),
    st.sampled_from(
        [np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1]), np.array([{}], object), np.zeros((2, 0))]
    ).map(saved),
    inputs.corrupted(st.just(saved(np.arange(8.0).reshape(4, 2)))),
    st.binary(max_size=100),
)
