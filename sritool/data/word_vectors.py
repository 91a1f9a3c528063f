"""Pretrained word vectors in the text formats of word2vec, GloVe and fastText (.vec), compressed or not.

Each line has a word and its numbers. word2vec and fastText begin with a line that gives the numbers of words and
dimensions. The file is streamed; memory holds only the vectors of wanted words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.blocks import lines_of, name_of, read_blocks, text_blocks
from sritool.errors import DataError, quoted

_BLANK = " \t\r\v\f"  # stripped from line ends; other white space may be a word


class WordVectors(NamedTuple):
    """Vectors of the wanted words that were found."""

    ids: npt.NDArray[np.int64]  # ids of the words  [found]
    vectors: npt.NDArray[np.float32]  # [found, width]


def vector_width(path: Path) -> int:
    """Return the dimension of the vectors in a file, from its first lines.

    Raises:
        DataError: The file cannot be read, or has no word vectors.
    """
    return _Lines(path).width


def read_vectors(path: Path, wanted: Mapping[str, int]) -> WordVectors:
    """Read the vectors of the words in `wanted`, which maps them to ids; of a repeated word, the first vector.

    Raises:
        DataError: The file cannot be read, or a line is damaged; the message names the line.
    """
    lines = _Lines(path)
    found: dict[int, npt.NDArray[np.float32]] = {}
    for number, line in lines:
        index = wanted.get(line.partition(lines.separator)[0])
        if index is None or index in found:
            continue
        word, *numbers = line.rsplit(lines.separator, lines.width)
        if word in wanted:  # else a word that contains a space, as in GloVe
            found[index] = _numbers(numbers, path, number)
    vectors = np.array([*found.values()], np.float32).reshape(len(found), lines.width)
    return WordVectors(np.array([*found], np.int64), vectors)


class _Lines:
    """Numbered lines of a file that have a vector: a word and at least `width` numbers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = lines_of(text_blocks(read_blocks(path), name_of(path)))
        stripped = ((number, line.rstrip(_BLANK)) for number, line in enumerate(lines, 1))
        self._lines = ((number, line) for number, line in stripped if line)
        number, first = next(self._lines)
        self.separator = "\t" if "\t" in first else " "
        fields = first.split(self.separator)
        self.promised: int | None = None
        if len(fields) == 2 and all(field.isdecimal() for field in fields):
            self.promised, self.width = map(int, fields)
            self._first = None
        else:
            self._first, self.width = (number, first), len(fields) - 1
        if self.width < 1:
            raise DataError(
                f"{path} has no word vectors: line 1 is {quoted(first)}; give a text file of word2vec, "
                "GloVe or fastText"
            )

    def __iter__(self) -> Iterator[tuple[int, str]]:
        if self._first is not None:
            yield self._first
        met = 0
        try:
            for number, line in self._lines:
                found = line.count(self.separator)
                if found < self.width:
                    raise DataError(
                        f"{self._path} line {number} has {found} numbers, not {self.width} like the others; "
                        "get the whole file"
                    )
                met += 1
                yield number, line
        except DataError as error:
            if self.promised is None or met or "UTF-8" not in str(error):
                raise
            raise DataError(
                f"{self._path} has vectors in word2vec's binary form; save it as text, for example with gensim: "
                "save_word2vec_format(FILE, binary=False)"
            ) from error
        if self.promised is not None and met < self.promised:
            raise DataError(
                f"{self._path} has {met:,} of the {self.promised:,} vectors that its first line promises; "
                "get the whole file"
            )


def _numbers(texts: list[str], path: Path, line: int) -> npt.NDArray[np.float32]:
    try:
        vector = np.array([*map(float, texts)], np.float32)
    except ValueError as error:
        raise DataError(f"{path} line {line} has something other than numbers; get the whole file") from error
    if not np.isfinite(vector).all():
        raise DataError(f"{path} line {line} has a number that is not finite; leave that line out")
    return vector
