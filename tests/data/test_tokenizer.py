"""Tokenizers and vocabularies against plain Python: ids, counts, round trips, and text imitating special tokens."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.data.tokenizer import (
    BOS,
    EOS,
    FIRST_PREDICTED,
    LONGEST_WORD,
    PAD,
    SPECIALS,
    UNK,
    Tokenizer,
    WordTokenizer,
    tokenizer_from_state,
)
from sritool.data.vocabulary import ranked_words, train_pieces
from sritool.errors import CheckpointError, DataError


def train_words(lines: Sequence[str], vocab_size: int | None = None, min_count: int = 1) -> WordTokenizer:
    counts = Counter(word for line in lines for word in line.split())
    return ranked_words(counts.items(), vocab_size, min_count)


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda word: word.split() == [word] and word not in SPECIALS
)


@pytest.fixture(scope="module", params=["word", "unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest, sentences: list[str]) -> Tokenizer:
    if request.param == "word":
        return train_words(sentences)
    return train_pieces(sentences, request.param, 60)


def test_special_ids_are_fixed() -> None:
    assert (PAD, BOS, EOS, UNK, FIRST_PREDICTED) == (0, 1, 2, 3, 2)


@given(st.lists(st.lists(words, max_size=6), min_size=1, max_size=6).filter(any))
def test_words_round_trip(text: list[list[str]]) -> None:
    lines = [" ".join(line) for line in text]
    tokenizer = train_words(lines)
    assert len(tokenizer) == len({word for line in text for word in line}) + len(SPECIALS)
    for line, expected in zip(lines, text, strict=True):
        ids = tokenizer.encode(line)
        assert UNK not in ids
        assert [tokenizer.words[index] for index in ids] == expected
        assert tokenizer.decode(ids) == " ".join(expected)


def test_text_cannot_forge_special_ids() -> None:
    tokenizer = train_words(["<s> a </s> <pad> <unk> a"])
    assert tokenizer.words == (*SPECIALS, "a")
    assert tokenizer.encode("<pad> <s> </s> <unk> a z") == [UNK, UNK, UNK, UNK, 4, UNK]
    flat = tokenizer.numbers_of(["</s>", "<unk>", "z"], missing=-1)
    assert flat.tolist() == [-1, UNK, -1]  # a literal <unk> is not out of vocabulary


def test_encode_many_matches_encode(tokenizer: Tokenizer, sentences: list[str]) -> None:
    lines = ["", *sentences, "never seen   words", " "] * 30  # more than one chunk
    flat, offsets = tokenizer.encode_many(lines)
    assert flat.dtype == np.int32
    assert offsets.dtype == np.int64
    expected = [tokenizer.encode(line) for line in lines]
    assert [flat[a:b].tolist() for a, b in pairwise(offsets)] == expected


def test_encode_many_of_nothing(tokenizer: Tokenizer) -> None:
    flat, offsets = tokenizer.encode_many([])
    assert (flat.tolist(), offsets.tolist()) == ([], [0])


def test_decoding_stops_at_eos_and_skips_specials(tokenizer: Tokenizer, sentences: list[str]) -> None:
    ids = tokenizer.encode(sentences[0])
    assert tokenizer.decode([BOS, *ids, EOS, *ids, PAD]) == sentences[0]
    assert tokenizer.decode(np.array(ids, dtype=np.int32)) == sentences[0]
    assert tokenizer.decode([]) == ""


def test_state_round_trip(tokenizer: Tokenizer, sentences: list[str]) -> None:
    state = pickle.loads(pickle.dumps(tokenizer.state()))
    assert all(isinstance(value, str | bytes | list) for value in state.values())
    again = tokenizer_from_state(state)
    assert (again.kind, len(again), again.state()) == (tokenizer.kind, len(tokenizer), tokenizer.state())
    assert again.encode(sentences[7]) == tokenizer.encode(sentences[7])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"kind": "word"},
        {"kind": "word", "words": 3},
        {"kind": "word", "words": ["a", "b"]},
        {"kind": "word", "words": [*SPECIALS, "a", "a"]},
        {"kind": "word", "words": [*SPECIALS, "a b"]},
        {"kind": "word", "words": [*SPECIALS, ""]},
        {"kind": "word", "words": [*SPECIALS, 7]},
        {"kind": "bpe", "model": "text"},
        {"kind": "bpe", "model": b"no model"},
        {"kind": "letters", "model": b""},
    ],
)
def test_damaged_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="tokenizer is damaged"):
        tokenizer_from_state(state)


def test_vocabulary_is_ordered_by_frequency_then_alphabet() -> None:
    tokenizer = train_words(["b a c", "c a", "c d"])
    assert tokenizer.words == (*SPECIALS, "c", "a", "b", "d")


def test_min_count_and_vocab_size_match_a_plain_count(sentences: list[str]) -> None:
    counts = Counter(word for line in sentences for word in line.split())
    assert set(train_words(sentences, min_count=20).words[4:]) == {w for w, n in counts.items() if n >= 20}
    most = train_words(sentences, vocab_size=5)
    assert set(most.words[4:]) == {word for word, _ in counts.most_common(4)}  # <unk> is the fifth
    with pytest.raises(DataError, match="lower --min-count"):
        train_words(sentences, min_count=1000)


def test_overlong_words_are_left_out() -> None:
    assert train_words(["a " + "x" * (LONGEST_WORD + 1)]).words == (*SPECIALS, "a")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_spell_any_text_of_known_letters(kind: str, sentences: list[str]) -> None:
    tokenizer = train_pieces(sentences, kind, 60)
    assert len(tokenizer) <= 60
    unseen = "the reader plants violets"
    assert tokenizer.decode(tokenizer.encode(unseen)) == unseen
    assert tokenizer.decode(tokenizer.encode("the kite Ω")).endswith("<unk>")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_pieces_are_learnt_from_long_lines_too(kind: str, sentences: list[str]) -> None:
    long = " ".join(sentences * 100)[:10_000]  # SentencePiece's own bound is 4,192 bytes
    assert len(long) == 10_000
    tokenizer = train_pieces([*sentences, long.upper()], kind, 80)
    assert tokenizer.decode(tokenizer.encode("THE KITE")) == "THE KITE"


def test_limits_of_piece_vocabularies(sentences: list[str]) -> None:
    with pytest.raises(DataError, match="--vocab-size 25"):
        train_pieces(sentences, "bpe", 8)
    assert len(train_pieces(sentences, "unigram", 8000)) < 200


def test_training_pieces_is_deterministic(sentences: list[str]) -> None:
    assert train_pieces(sentences, "unigram", 50).model == train_pieces(sentences, "unigram", 50).model
