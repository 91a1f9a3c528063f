"""Size of the text behind ids, in characters and bytes, which do not depend on the tokenizer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sritool.data.normalise import words_are_separated
from sritool.data.split import Split
from sritool.data.tokenizer import UNK, Tokenizer

SAMPLE = 200  # sentences used to decide whether words are separated

Counts = npt.NDArray[np.float64]


class TextSize(NamedTuple):
    """Size of the text of some sentences."""

    characters: Counts  # of each sentence, its line end counted as one  [sentences]
    bytes: Counts  # the same in UTF-8  [sentences]
    unknown: int  # number of <unk> tokens, whose text is not known; each counts as one character
    separated: bool  # whether white space separates its words


def text_size(tokenizer: Tokenizer, split: Split, examples: npt.NDArray[np.int64]) -> TextSize:
    """Return the text size of the sentences of a split with these indices [sentences].

    Each token counts with its space, after a word or before a piece. A sentence therefore has one character more than
    its text: the line end, which ``</s>`` stands for.
    """
    surfaces = [tokenizer.surface(index) for index in range(len(tokenizer))]
    characters = np.array([len(text) for text in surfaces], np.float64)
    encoded = np.array([len(text.encode()) for text in surfaces], np.float64)
    targets = [split.targets(int(index)) for index in examples]
    unknown = sum(int((ids == UNK).sum()) for ids in targets)
    words = [word for ids in targets[:SAMPLE] for word in tokenizer.decode(ids.tolist()).split()]
    return TextSize(
        np.array([characters[ids].sum() for ids in targets]),
        np.array([encoded[ids].sum() for ids in targets]),
        unknown,
        words_are_separated(words),
    )
