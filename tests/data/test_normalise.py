"""Vectorised text kernels against plain Python, sentence by sentence; punctuation and scripts by example."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sritool.data.normalise import (
    comparison_bytes,
    comparison_form,
    control_rows,
    label_name,
    normal_form,
    normal_forms,
    split_punctuation,
    without_control,
    words_are_separated,
    words_of,
)

SENTENCES = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=6)
ODD = [
    "",
    " ",
    "a  b",
    "\ta b\r",
    "A\u2003b\x85c",
    "ΑΣ İ",
    "a\x00b\x1c",
    "\ufeffa",
    "a\u2028b \u00a0",
    "a, b.",
]


@given(texts=SENTENCES)
@example(texts=ODD)
def test_words_match_python_split(texts: list[str]) -> None:
    found = words_of(pa.array(texts, pa.string())).to_pylist()
    assert [words or [] for words in found] == [text.split() for text in texts]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("punctuation", [False, True])
@given(texts=SENTENCES)
@example(texts=ODD)
@example(texts=["A b", "c\x07D\tE"])
def test_normal_forms_match_single_sentences(lowercase: bool, punctuation: bool, texts: list[str]) -> None:
    array = pa.array(texts, pa.string())
    expected = [normal_form(text, lowercase, punctuation) for text in texts]
    found = words_of(normal_forms(array, lowercase, punctuation)).to_pylist()
    assert [" ".join(words or []) for words in found] == expected
    assert control_rows(array).tolist() == [int(without_control(text) != text) for text in texts]


@given(texts=SENTENCES)
@example(texts=ODD)
@example(texts=["A b", " a  B ", "a\tb", ""])
def test_equal_sentences_have_equal_bytes(texts: list[str]) -> None:
    texts = [without_control(text) for text in texts]
    found = comparison_bytes(pa.array(texts, pa.string()))
    assert found == [comparison_form(text).encode() for text in texts]


def test_label_name_is_one_line() -> None:
    assert label_name(" \x1b[31ma\nb\u2028c ") == "[31ma b c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog runs.", "A dog runs ."),
        ("It isn't well-known, is it?", "It isn't well-known , is it ?"),
        ("3.5 of 1,000 (or <unk>)", "3.5 of 1,000 ( or <unk> )"),
        ("end.Start", "end . Start"),
        ("हिन्दी भाषा अच्छी है।", "हिन्दी भाषा अच्छी है ।"),
        ("Cafe\u0301 nai\u0308ve.", "Cafe\u0301 nai\u0308ve ."),
        ("می\u200cروم!", "می\u200cروم !"),
        ("", ""),
    ],
)
def test_split_punctuation(text: str, expected: str) -> None:
    assert split_punctuation(text) == expected


@pytest.mark.parametrize(
    ("text", "separated"),
    [
        ("the kettle sings , internationalisation too", True),
        ("чайник поёт каждый вечер", True),
        ("주전자가 저녁마다 노래한다", True),
        ("茶 壶 每天 晚上 唱歌 。", True),
        ("茶壶每天晚上唱歌给大家听。", False),
        ("やかんは毎晩歌います。", False),
        ("กาน้ำร้องเพลงทุกเย็น", False),
        ("iPhone 茶壶每天晚上唱歌给大家听。", False),
        ("", True),
    ],
)
def test_scripts_with_and_without_spaces(text: str, separated: bool) -> None:
    assert words_are_separated(text.split()) is separated
