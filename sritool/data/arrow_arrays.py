"""Arrow's arrays as NumPy's and back, without a copy, and without pandas: pyarrow's own ways import it, 0.3 s."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def array_of(values: npt.NDArray[Any]) -> Any:
    """Return numbers as a ``pyarrow.Array``."""
    import pyarrow as pa

    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def values_of(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return the values of a ``pyarrow.Array`` of numbers, whose Arrow type stands for `dtype`.

    Raises:
        ValueError: A value is missing.
    """
    if array.null_count:
        raise ValueError("a column has missing values")
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def lists_of(array: Any, dtype: type[np.generic]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the values of a ``pyarrow.ListArray`` in a row [values], and how many each list has [lists]."""
    lengths = np.diff(values_of(array.offsets, np.int32)).astype(np.int64)
    return values_of(array.flatten(), dtype), lengths
