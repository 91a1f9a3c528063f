"""Vocabularies against a plain count, and pieces of SentencePiece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from sritool.data.tokenizer import (
    LONGEST_WORD,
    SPECIALS,
    WordTokenizer,
)
from sritool.data.vocabulary import ranked_words, train_pieces
from sritool.errors import DataError


def train_words(lines: Sequence[str], vocab_size: int | None = None, min_count: int = 1) -> WordTokenizer:
    counts = Counter(word for line in lines for word in line.split())
    return ranked_words(counts.items(), vocab_size, min_count)


def test_vocabulary_is_by_frequency_and_then_alphabet() -> None:
    tokenizer = train_words(["b a c", "c a", "c d"])
    assert tokenizer.words == (*SPECIALS, "c", "a", "b", "d")


def test_min_count_and_vocab_size_against_a_plain_count(sentences: list[str]) -> None:
    counts = Counter(word for line in sentences for word in line.split())
    assert set(train_words(sentences, min_count=20).words[4:]) == {w for w, n in counts.items() if n >= 20}
    most = train_words(sentences, vocab_size=5)
    assert set(most.words[4:]) == {word for word, _ in counts.most_common(4)}  # and <unk> is the fifth
    with pytest.raises(DataError, match="lower --min-count"):
        train_words(sentences, min_count=1000)


def test_endless_words_stay_out_of_the_vocabulary() -> None:
    assert train_words(["a " + "x" * (LONGEST_WORD + 1)]).words == (*SPECIALS, "a")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_spell_any_text_of_known_letters(kind: str, sentences: list[str]) -> None:
    tokenizer = train_pieces(sentences, kind, 60)
    assert len(tokenizer) <= 60
    unseen = "the reader plants violets"
    assert tokenizer.decode(tokenizer.encode(unseen)) == unseen
    assert tokenizer.decode(tokenizer.encode("the kite Ω")).endswith("<unk>")


def test_pieces_of_too_few_or_too_many(sentences: list[str]) -> None:
    with pytest.raises(DataError, match=r"give --vocab-size 25 or more"):
        train_pieces(sentences, "bpe", 8)
    assert len(train_pieces(sentences, "unigram", 8000)) < 200


def test_training_pieces_is_deterministic(sentences: list[str]) -> None:
    assert train_pieces(sentences, "unigram", 50).model == train_pieces(sentences, "unigram", 50).model
