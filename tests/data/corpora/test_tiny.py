"""The bundled corpus tiny: sizes, labels, visible factors, grammatical agreement, and its copy in the repository."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from sritool.data.corpora.tiny import (
    LABELS,
    LONGEST,
    TENSES,
    TINY_SIZES,
    TinySentence,
    readable_files,
    tiny_sentences,
)
from sritool.data.corpora.tiny_words import WORDS

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def splits() -> dict[str, list[TinySentence]]:
    return tiny_sentences()


def test_sizes_and_lengths(splits: dict[str, list[TinySentence]]) -> None:
    assert {name: len(sentences) for name, sentences in splits.items()} == TINY_SIZES
    lengths = [len(sentence.text.split()) for sentences in splits.values() for sentence in sentences]
    assert min(lengths) >= 4
    assert max(lengths) == LONGEST


def test_no_sentence_occurs_twice(splits: dict[str, list[TinySentence]]) -> None:
    texts = [sentence.text for sentences in splits.values() for sentence in sentences]
    assert len(set(texts)) == len(texts)


def test_vocabulary_is_small_and_seen_in_training(
    splits: dict[str, list[TinySentence]],
) -> None:
    counts = Counter(word for sentence in splits["train"] for word in sentence.text.split())
    assert 300 < len(counts) < 700
    assert min(counts.values()) >= 5
    unseen = {word for name in ("valid", "test") for item in splits[name] for word in item.text.split()}
    assert unseen <= counts.keys()


def test_factors_are_balanced_in_every_split(splits: dict[str, list[TinySentence]]) -> None:
    for factor, values in (("sentiment", LABELS), ("tense", TENSES)):
        for sentences in splits.values():
            shares = Counter(sentence.factors[factor] for sentence in sentences)
            assert shares.keys() == set(values)
            for value in values:
                assert shares[value] / len(sentences) == pytest.approx(1 / len(values), abs=0.08)


def test_every_sentence_has_label_and_factors(
    splits: dict[str, list[TinySentence]],
) -> None:
    keys = {"style", "topic", "subject", "number", "action", "place", "sentiment", "tense"}
    assert all(item.label == item.factors["sentiment"] for items in splits.values() for item in items)
    assert all(item.factors.keys() == keys for items in splits.values() for item in items)


def test_words_reveal_the_factors(splits: dict[str, list[TinySentence]]) -> None:
    """Mood words and time phrases appear only with their own sentiment and tense."""
    sentiment_of = {word: label for label, words in WORDS.moods.items() for word in words}
    tense_of = {phrase: tense for tense, phrases in WORDS.times.items() for phrase in phrases}
    for sentence in splits["train"]:
        if sentence.factors["topic"] in WORDS.topics:
            sentiments = {sentiment_of[word] for word in sentence.text.split() if word in sentiment_of}
            assert sentiments <= {sentence.label}
        for phrase, tense in tense_of.items():
            if f" {phrase} " in sentence.text:
                assert sentence.factors["tense"] == tense


def test_subjects_and_verbs_agree(splits: dict[str, list[TinySentence]]) -> None:
    forms = [forms.split() for topic in WORDS.topics.values() for forms, _ in topic.actions]
    third_person = {base: third for base, third, *_ in forms}
    checked = 0
    for sentence in splits["train"]:
        factors = sentence.factors
        if factors["tense"] == "present" and factors["style"] in ("plain", "place first"):
            plural = factors["number"] == "plural"
            verb = factors["action"] if plural else third_person[factors["action"]]
            assert verb in sentence.text.split(), sentence.text
            checked += 1
    assert checked > 1000


def test_articles_fit_the_next_word(splits: dict[str, list[TinySentence]]) -> None:
    for sentence in splits["train"]:
        words = sentence.text.split()
        for article, following in pairwise(words):
            if article in ("a", "an"):
                vowel = following[0] in "aeiou" or following == "hour"
                assert article == ("an" if vowel else "a"), sentence.text


def test_corpus_depends_on_the_seed(splits: dict[str, list[TinySentence]]) -> None:
    other = {sentence.text for sentence in tiny_sentences(1)["train"]}
    assert tiny_sentences(0) == splits  # regenerated: only the last corpus is cached
    assert len(other & {sentence.text for sentence in splits["train"]}) < len(other) / 2


def test_repository_copy_is_current() -> None:
    folder = REPOSITORY / "data" / "tiny"
    if not folder.is_dir():
        pytest.skip("no data/tiny outside a checkout")
    for name, text in readable_files().items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"rewrite data/tiny/{name}"
