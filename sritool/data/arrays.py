"""One-dimensional arrays: Arrow's as NumPy's, and several in a row, read like one and never copied into one.

Arrow's become NumPy's and back without a copy, and without pandas: pyarrow's own ways import it, which takes 0.3 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE = 1 << 20  # numbers that a pass over a whole array holds at a time


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


def lists_of(array: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the int32 numbers of a ``pyarrow.ListArray`` in a row [numbers], and how many each list has [lists]."""
    lengths = np.diff(values_of(array.offsets, np.int32)).astype(np.int64)
    return values_of(array.flatten(), np.int32), lengths


class Joined:
    """Read-only one-dimensional arrays one after the other, which may be views of mapped files.

    An index gives plain arrays: by numbers a copy, by a slice within one part a view where nothing is added to it.
    NumPy's functions take the whole for one array, and copy it to memory: for large ones, `pieces_of` does not.
    It has no operators, no step in a slice and no index by truth values.
    """

    def __init__(
        self, parts: Sequence[npt.NDArray[Any]], dtype: type[np.generic], shifts: Sequence[int] = ()
    ):
        """Join some arrays to one of `dtype`; a shift is added to the numbers of each part, nothing by default."""
        self._parts = parts
        self._shifts = shifts or [0] * len(parts)
        self._bounds = [0, *np.cumsum([len(part) for part in parts], dtype=np.int64).tolist()]
        self._ends = np.array(self._bounds[1:])
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            assert step == 1
            return self._slice(begin, end)
        if isinstance(index, int | np.integer):
            place = range(len(self))[index]  # which may be negative, or out of bounds
            return self._slice(place, place + 1)[0]
        places = np.asarray(index)
        assert places.dtype != np.bool_
        if len(self._parts) == 1:
            return self._take(0, places)
        places = np.where(places < 0, places + len(self), places)
        parts = np.searchsorted(self._ends, places, side="right")
        found = np.empty(places.shape, self.dtype)
        for part in np.bincount(parts.ravel()).nonzero()[0].tolist():
            here = parts == part
            found[here] = self._take(part, places[here] - self._bounds[part])
        return found

    def _take(self, part: int, index: Any) -> Any:
        found = self._parts[part][index].astype(self.dtype, copy=False)
        return found + self.dtype.type(self._shifts[part]) if self._shifts[part] else found

    def _slice(self, begin: int, end: int) -> Any:
        found = [
            self._take(part, slice(max(begin - self._bounds[part], 0), end - self._bounds[part]))
            for part in range(len(self._parts))
            if self._bounds[part] < end and begin < self._bounds[part + 1]
        ]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, self.dtype), *found])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self._slice(0, len(self))
        return np.array(whole, dtype, copy=True) if dtype is not None or copy else whole


def joined(
    parts: Sequence[npt.NDArray[Any]], dtype: type[np.generic], shifts: Sequence[int] = ()
) -> npt.NDArray[Any]:
    """Return arrays in a row as one: the array itself, where there is one of this type; else a `Joined`.

    To readers both are alike, and so both have the type of an array.
    """
    if len(parts) == 1 and parts[0].dtype == dtype and not any(shifts):
        return parts[0]
    return Joined(parts, dtype, shifts)  # type: ignore[return-value]


def pieces_of(numbers: npt.NDArray[Any] | Joined) -> Iterator[npt.NDArray[Any]]:
    """Yield a whole array in order, some numbers at a time."""
    for begin in range(0, len(numbers), PIECE):
        yield numbers[begin : begin + PIECE]
