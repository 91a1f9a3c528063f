"""Characters and bytes of sentences, the same for every tokenizer."""

from __future__ import annotations

import numpy as np

from sritool.data.split import encode_split
from sritool.data.text_size import text_size
from sritool.data.tokenizer import SPECIALS, UNK, WordTokenizer
from sritool.data.vocabulary import train_pieces


def test_size_does_not_depend_on_the_tokenizer(sentences: list[str]) -> None:
    lines = [*sentences, "the café is naïve"]
    words = WordTokenizer([*SPECIALS, *sorted({word for line in lines for word in line.split()})])
    for tokenizer in (words, train_pieces(lines, "unigram", 40), train_pieces(lines, "bpe", 40)):
        split = encode_split(tokenizer, lines, 200)
        size = text_size(tokenizer, split, np.arange(len(split)))
        assert size.characters.tolist() == [len(line) + 1 for line in lines]
        assert size.bytes.tolist() == [len(line.encode()) + 1 for line in lines]
        assert (size.unknown, size.separated) == (0, True)


def test_unknown_word_counts_as_one_character() -> None:
    tokenizer = WordTokenizer([*SPECIALS, "a"])
    split = encode_split(tokenizer, ["a long word", "a"], 200)
    assert (split.ids == UNK).sum() == 2
    size = text_size(tokenizer, split, np.array([0, 1]))
    assert (size.characters.tolist(), size.unknown) == ([6.0, 2.0], 2)
