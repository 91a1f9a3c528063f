"""Tokenizers against plain Python: ids, counts, round trips, and what no text may forge."""

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
    PAD,
    SPECIALS,
    UNK,
    SentencePieceTokenizer,
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


def test_special_ids_are_the_contract_of_checkpoints() -> None:
    assert (PAD, BOS, EOS, UNK, FIRST_PREDICTED) == (0, 1, 2, 3, 2)


@given(st.lists(st.lists(words, max_size=6), min_size=1, max_size=6).filter(any))
def test_words_come_back_from_their_ids(text: list[list[str]]) -> None:
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
    assert flat.tolist() == [-1, UNK, -1]  # only a literal <unk> is no word that the vocabulary lacks


def test_encode_many_is_encode_line_by_line(tokenizer: Tokenizer, sentences: list[str]) -> None:
    lines = ["", *sentences, "never seen   words", " "] * 30  # more than one chunk
    flat, offsets = tokenizer.encode_many(lines)
    assert flat.dtype == np.int32
    assert offsets.dtype == np.int64
    expected = [tokenizer.encode(line) for line in lines]
    assert [flat[a:b].tolist() for a, b in pairwise(offsets)] == expected


def test_encode_many_of_nothing(tokenizer: Tokenizer) -> None:
    flat, offsets = tokenizer.encode_many([])
    assert (flat.tolist(), offsets.tolist()) == ([], [0])


def test_decoding_ends_at_the_end_and_leaves_structure_out(
    tokenizer: Tokenizer, sentences: list[str]
) -> None:
    ids = tokenizer.encode(sentences[0])
    assert tokenizer.decode([BOS, *ids, EOS, *ids, PAD]) == sentences[0]
    assert tokenizer.decode(np.array(ids, dtype=np.int32)) == sentences[0]
    assert tokenizer.decode([]) == ""


def test_state_makes_the_same_tokenizer(tokenizer: Tokenizer, sentences: list[str]) -> None:
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


def test_a_foreign_sentencepiece_model_is_refused(sentences: list[str]) -> None:
    import io

    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences), model_writer=model, vocab_size=30, minloglevel=2
    )
    with pytest.raises(DataError, match="other special ids"):
        SentencePieceTokenizer("unigram", model.getvalue())
