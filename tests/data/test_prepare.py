"""Encoding and counting against plain Python, line by line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.data.options import PrepareOptions
from sritool.data.prepare import prepare
from sritool.data.raw_lines import MOST_LABELS, RawLines
from sritool.data.sentences import CorpusText, Cut, Sentences
from sritool.data.split import encode_split
from sritool.data.tokenizer import EOS, UNK
from sritool.data.vocabulary import learn_pieces, ranked_words
from sritool.errors import DataError, UsageError

small_words = st.sampled_from(["red", "kite", "flies", "<unk>", "zzz"])
small_lines = st.lists(st.lists(small_words, max_size=7).map(" ".join), min_size=1, max_size=12)


def raw(
    train: Sequence[str], test: Sequence[str] = ("a b",), labels: dict[str, Sequence[str]] | None = None
) -> CorpusText:
    splits = {"train": train, "valid": ["a b"], "test": test}
    return CorpusText(
        "a test", {name: Sentences(list(texts), (labels or {}).get(name)) for name, texts in splits.items()}
    )


@given(small_lines, st.integers(1, 8))
def test_sentences_end_unless_cut(lines: list[str], max_length: int) -> None:
    tokenizer = ranked_words([("red", 1), ("kite", 1), ("flies", 1)])
    split = encode_split(tokenizer, lines, max_length)
    expected = []
    for line in lines:
        ids = tokenizer.encode(line)
        expected.append(ids[:max_length] if len(ids) > max_length else [*ids, EOS])
    assert [split.targets(row).tolist() for row in range(len(split))] == expected
    assert split.lengths.tolist() == split.words.tolist() == [len(ids) for ids in expected]
    assert split.predictions == sum(map(len, expected))


@given(small_lines, st.integers(1, 8), st.booleans())
def test_counts_match_a_plain_loop(lines: list[str], max_length: int, drop_long: bool) -> None:
    lines = [*lines, "red"]
    splits = {"train": Sentences(["red", "kite", "flies"]), "test": Sentences(lines)}
    options = PrepareOptions(min_count=1, max_length=max_length, drop_long=drop_long)
    info = prepare("t", CorpusText("a test", splits), options).info.splits["test"]
    kept = [line.split() for line in lines if line]
    long = [words for words in kept if len(words) > max_length]
    if drop_long:
        kept = [words for words in kept if len(words) <= max_length]
    kept = [words[:max_length] for words in kept]
    flat = [word for words in kept for word in words]
    assert info.sentences == len(kept)
    assert info.words == info.tokens == len(flat)
    assert info.predictions == len(flat) + len(kept) - (0 if drop_long else len(long))
    assert info.oov == flat.count("zzz")
    assert info.unknown == flat.count("zzz") + flat.count("<unk>")
    assert info.oov_share == pytest.approx(flat.count("zzz") / len(flat))
    assert info.empty == lines.count("")
    assert (info.dropped, info.truncated) == ((len(long), 0) if drop_long else (0, len(long)))
    assert info.left_out == sum(len(line.split()) for line in lines) - len(flat)
    assert info.longest == max(len(line.split()) for line in lines)


@pytest.mark.parametrize(
    ("long", "words", "oov"),
    [
        ({}, "a b", 2),  # a b, b a c, d a a: a 4, b 2, c 1, d 1
        ({"drop_long": True}, "a", 2),  # a b, d a a: a 3, b 1, d 1
        ({"chunk": True}, "a d b c", 0),  # a 4, d 3, b 2, c 2
    ],
)
def test_vocabulary_counts_only_kept_text(long: dict[str, bool], words: str, oov: int) -> None:
    prepared = prepare("t", raw(["a b", "b a c c d d", "d a a"]), PrepareOptions(max_length=3, **long))
    assert prepared.tokenizer.vocabulary()[UNK + 1 :] == words.split()
    assert prepared.info.splits["train"].oov == oov


@pytest.mark.parametrize("drop_long", [False, True])
def test_pieces_are_learnt_from_kept_text(sentences: list[str], drop_long: bool) -> None:
    options = PrepareOptions("bpe", vocab_size=60, max_length=5, drop_long=drop_long)
    long = [f"{sentence} quickly xylophones" for sentence in sentences]
    kept = sentences if drop_long else [*sentences, *sentences]
    states = []
    for train in ([*sentences, *long], kept):
        with RawLines(raw(train), options) as lines:
            states.append(learn_pieces(lines, options).state())
    assert states[0] == states[1]


def test_labels_follow_their_sentences() -> None:
    labels = {"train": ["x", "", "y", "x"], "valid": ["y"], "test": ["z"]}
    prepared = prepare(
        "t", raw(["a b", " ", "a a a", "b b"], labels=labels), PrepareOptions(max_length=2, drop_long=True)
    )
    assert prepared.info.labels == ("x", "y", "z")
    found = prepared.splits["train"].labels
    assert found is not None
    assert found.tolist() == [0, 0]  # the empty line and the long one are gone, with their labels


def test_labels_may_be_missing_from_a_split() -> None:
    text = raw(["a b", "b a"] * 2, labels={"train": ["x", "y"] * 2, "valid": ["x"]})
    prepared = prepare("t", text, PrepareOptions())
    assert prepared.splits["test"].labels is None
    warnings = [note for note in prepared.info.notes if "no labels" in note]
    assert warnings == ["warning: test has no labels: classify will need --test FILE"]


def test_labels_that_train_lacks_are_reported() -> None:
    labels = {"train": ["neg", "pos"] * 2, "valid": ["neg"], "test": ["0", "pos", "1"]}
    text = raw(["a b", "b a"] * 2, ["a", "b", "a b"], labels)
    warnings = [note for note in prepare("t", text, PrepareOptions()).info.notes if "label" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 2 of 3 sentences of test have a label that train lacks (0, 1)")


def test_text_column_as_labels_is_refused() -> None:
    texts = [f"a b {number}" for number in range(MOST_LABELS + 1)]
    with pytest.raises(DataError, match="--no-labels"):
        prepare("t", raw(texts, labels={"train": texts}), PrepareOptions())


def test_default_min_count_depends_on_unknown_marks() -> None:
    assert prepare("t", raw(["a b", "a <unk>"]), PrepareOptions()).info.min_count == 1
    assert prepare("t", raw(["a b", "a b<unk>c"]), PrepareOptions()).info.min_count == 2
    assert prepare("t", raw(["a a a b", "a <unk>"]), PrepareOptions(min_count=3)).info.min_count == 3
    prepared = prepare("t", raw(["a b", "a a b once"]), PrepareOptions())
    assert prepared.info.min_count == 2
    assert prepared.splits["train"].targets(1).tolist()[-2] == UNK


def test_reserved_words_are_reported() -> None:
    text = raw(["<s> a b </s>", "<s> b a </s>"], ["<s> a a"])
    warnings = [note for note in prepare("t", text, PrepareOptions()).info.notes if "warning" in note]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 5 words are <s> or </s>, which sritool reserves")


def test_pieces_are_refused_for_text_with_unk() -> None:
    with pytest.raises(UsageError, match="--tokenizer word"):
        prepare("t", raw(["a <unk> b", "b a"]), PrepareOptions(tokenizer="bpe"))


def test_lowercase_and_punctuation_apply_to_every_split() -> None:
    options = PrepareOptions(lowercase=True, split_punctuation=True, min_count=1)
    prepared = prepare("t", raw(["A b.", "B!"], ["A, b"]), options)
    texts = [prepared.tokenizer.decode(prepared.splits["train"].targets(row)) for row in (0, 1)]
    assert texts == ["a b .", "b !"]
    assert prepared.info.splits["test"].oov == 1  # the comma


def test_control_characters_become_spaces_and_are_counted() -> None:
    prepared = prepare("t", raw(["a\x1b[31m b", "a\x00b", "a b"]), PrepareOptions(min_count=1))
    assert prepared.info.splits["train"].cleaned == 2
    texts = [prepared.tokenizer.decode(prepared.splits["train"].targets(row)) for row in range(3)]
    assert texts == ["a [31m b", "a b", "a b"]


@pytest.mark.parametrize("odd", ["red dog\r", "\tred\u3000dog", "red\u00a0\n dog ", "red \x1b dog"])
def test_whitespace_does_not_change_pieces(sentences: list[str], odd: str) -> None:
    plain = ["red dog", *sentences]
    options = PrepareOptions(tokenizer="unigram", vocab_size=60)
    one, other = (prepare("t", raw(train, train), options) for train in (plain, [odd, *sentences]))
    assert one.info.content_hash == other.info.content_hash
    assert other.info.splits["test"].oov == 0


def test_overlap_with_train_is_reported(sentences: list[str]) -> None:
    test = [" ".join(sentences[0].upper().split()), *sentences[:2], "all new", ""]
    notes = prepare("t", raw(sentences, test), PrepareOptions()).info.notes
    assert [note for note in notes if "train" in note] == [
        "warning: 3 of 4 sentences of test are in train too"
    ]
    many = [f"new {number}" for number in range(40)]
    notes = prepare("t", raw(sentences, [sentences[7], *many]), PrepareOptions(min_count=1)).info.notes
    assert "1 of 41 sentences of test are in train too" in notes


def test_sentences_cut_from_train_are_no_overlap(sentences: list[str]) -> None:
    cut = Cut({"valid": 0.5}, seed=0)
    text = CorpusText("a test", {"train": Sentences(sentences), "test": Sentences(sentences)}, (), cut)
    prepared = prepare("t", text, PrepareOptions())
    left = prepared.info.splits["train"].sentences
    assert 0 < left < 60
    assert f"warning: {left} of 60 sentences of test are in train too" in prepared.info.notes


def test_split_punctuation_keeps_equal_sentences_together(sentences: list[str]) -> None:
    texts = [f"{sentence}{mark}." for sentence in sentences for mark in ("", " ")]
    text = CorpusText("a test", {"train": Sentences(texts)}, (), Cut({"valid": 0.2, "test": 0.3}, seed=0))
    prepared = prepare("t", text, PrepareOptions(split_punctuation=True, min_count=1))
    found = [
        {prepared.tokenizer.decode(split.targets(row)) for row in range(len(split))}
        for split in prepared.splits.values()
    ]
    assert sum(map(len, found)) == len(set.union(*found)) == 60


def test_word_counts_of_pieces(sentences: list[str]) -> None:
    options = PrepareOptions(tokenizer="bpe", vocab_size=40, max_length=12)
    prepared = prepare("t", raw(sentences, [sentences[3], "the kite the kite the kite"]), options)
    split = prepared.splits["test"]
    assert split.words[0] == 6 or split.lengths[0] == 12
    cut = prepared.tokenizer.decode(split.targets(1))
    assert split.lengths[1] == 12
    assert EOS not in split.targets(1)
    assert split.words[1] == len(cut.split())
    assert prepared.splits["train"].words.max() <= 6


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (["", " "], ["a"], "train has no sentence"),
        (["a b"], ["a"], "train has one sentence only"),
        (["a b", "b a"], ["", " "], "test has no sentence"),
    ],
)
def test_too_little_text(train: list[str], test: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepare("t", raw(train, test), PrepareOptions())


@pytest.mark.parametrize("tokenizer", ["word", "unigram"])
def test_all_sentences_too_long(tokenizer: str) -> None:
    with pytest.raises(DataError, match="--max-length 1"):
        prepare("t", raw(["a b", "b a"]), PrepareOptions(tokenizer, max_length=1, drop_long=True))
