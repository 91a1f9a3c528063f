"""One-dimensional arrays: conversion between Arrow and NumPy, and several arrays read as one without joining them.

The conversion does not copy, and avoids pandas, which pyarrow's own methods import in 0.3 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE = 1 << 20  # numbers held at a time in a pass over a whole array


def array_of(values: npt.NDArray[Any]) -> Any:
    """Return numbers as a ``pyarrow.Array``."""
    import pyarrow as pa

    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def values_of(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return the values of a ``pyarrow.Array`` of numbers, whose Arrow type corresponds to `dtype`.

    Raises:
        ValueError: A value is missing.
    """
    if array.null_count:
        raise ValueError("a column has missing values")
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def lists_of(array: Any) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the int32 numbers of a ``pyarrow.ListArray``, flattened [numbers], and the lists' lengths [lists]."""
    lengths = np.diff(values_of(array.offsets, np.int32)).astype(np.int64)
    return values_of(array.flatten(), np.int32), lengths


class Joined:
    """Read-only concatenation of one-dimensional arrays, which may be views of mapped files.

    Indexing returns plain arrays: by numbers a copy, by a slice within one unshifted part a view. NumPy's functions
    copy the whole array to memory; for large ones, use `pieces_of`. Operators, slices with a step and boolean indices
    are not supported.
    """

    def __init__(
        self, parts: Sequence[npt.NDArray[Any]], dtype: type[np.generic], shifts: Sequence[int] = ()
    ):
        """Join arrays into one of `dtype`, adding a shift, 0 by default, to the numbers of each part."""
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
            place = range(len(self))[index]  # handles negative indices and checks bounds
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
    """Return the concatenation of arrays: a single array of this type as it is, otherwise a `Joined`.

    Both can be read in the same way, so both are annotated as an array.
    """
    if len(parts) == 1 and parts[0].dtype == dtype and not any(shifts):
        return parts[0]
    return Joined(parts, dtype, shifts)  # type: ignore[return-value]


def pieces_of(numbers: npt.NDArray[Any] | Joined) -> Iterator[npt.NDArray[Any]]:
    """Yield a whole array in order, in pieces of at most `PIECE` numbers."""
    for begin in range(0, len(numbers), PIECE):
        yield numbers[begin : begin + PIECE]
