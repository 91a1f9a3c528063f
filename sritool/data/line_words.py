"""Turns lines of raw text into word numbers, or into text for pieces: all steps that need no other lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.arrays import array_of, values_of
from sritool.data.normalise import comparison_bytes, control_rows, normal_forms, words_of
from sritool.data.options import PrepareOptions
from sritool.data.sampling import Keys, shuffle_keys
from sritool.data.sentences import Chunk
from sritool.data.tokenizer import LONGEST_WORD


class LineWords(NamedTuple):
    """The content of some lines; only lines with a word are kept."""

    # A pyarrow.ListArray of indices into `words`; for pieces, a pyarrow.StringArray of words joined by one space.
    content: Any
    # A pyarrow.StringArray of distinct words in order of appearance, "" for one that is too long; None for pieces.
    words: Any
    labels: npt.NDArray[np.int32]  # index of each line's label in `label_names`; -1 for none  [lines]
    label_names: Sequence[str] | None  # distinct labels in order of appearance; None without labels
    cleaned: npt.NDArray[np.uint8]  # 1 if control characters of a line became spaces  [lines]
    keys: Keys  # equal for equal sentences; they assign lines to splits that are cut from train  [lines]
    read: int  # number of lines read
    empty: int  # lines without a word
    empty_cleaned: int  # lines without a word that had control characters
    longest: int  # number of words in the longest line


def line_words(chunk: Chunk, options: PrepareOptions, seed: int) -> LineWords:
    """Clean some lines and cut them into words; `seed` is used for the keys."""
    import pyarrow as pa
    import pyarrow.compute as pc

    raw, labels = chunk.texts, chunk.labels
    cleaned = control_rows(raw)
    texts = normal_forms(raw, options.lowercase, options.split_punctuation, plain=not cleaned.any())
    words = words_of(texts)
    read, empty, empty_cleaned = len(raw), words.null_count, 0
    if empty:
        valid = words.is_valid()
        filled = values_of(valid.cast(pa.uint8()), np.uint8).astype(bool)
        empty_cleaned = int(cleaned[~filled].sum())
        texts, words = texts.filter(valid), words.filter(valid)
        cleaned = cleaned[filled]
        labels = None if labels is None else list(compress(labels, filled))
    keys = shuffle_keys(comparison_bytes(texts), seed)
    numbers, names = np.full(len(words), -1, np.int32), None
    if labels is not None:
        places = {name: place for place, name in enumerate(dict.fromkeys(labels))}
        names, numbers[:] = [*places], [places[label] for label in labels]
    longest = pc.max(pc.list_value_length(words)).as_py() or 0
    is_word = options.tokenizer == "word"
    content, different = _by_place(words) if is_word else (pc.binary_join(words, " "), None)
    return LineWords(content, different, numbers, names, cleaned, keys, read, empty, empty_cleaned, longest)


def _by_place(words: Any) -> tuple[Any, Any]:
    """Return lists of words as lists of indices into the distinct words, and the distinct words."""
    import pyarrow as pa
    import pyarrow.compute as pc

    met = words.flatten().dictionary_encode()
    too_long = pc.greater(pc.utf8_length(met.dictionary), LONGEST_WORD)
    places = array_of(values_of(met.indices, np.int32))
    return pa.ListArray.from_arrays(words.offsets, places), pc.if_else(too_long, "", met.dictionary)
