"""Labelled sentences: files of every format, matching labels, and overlap with test."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sritool.analysis.classification_data import (
    Sentences,
    aligned,
    in_other,
    prepared_sentences,
    read_sentences,
)
from sritool.data.fields import FieldNames
from sritool.data.options import PrepareOptions
from sritool.data.prepare import prepare
from sritool.data.sentences import CorpusText
from sritool.data.sentences import Sentences as Raw
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.errors import DataError

PLAIN = FieldNames()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Sentences]:
    def make(name: str, content: str, columns: FieldNames = PLAIN, needs_labels: bool = True) -> Sentences:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return read_sentences(tmp_path / name, columns, needs_labels)

    return make


def sentences(name: str, labels: str, texts: list[str] | None = None) -> Sentences:
    """Sentences with these labels, separated by spaces."""
    each = tuple(labels.split())
    return Sentences(name, each, tuple(texts or [f"{name} {number}" for number in range(len(each))]))


class Labelled(Corpus):
    """A prepared corpus with labels, in memory."""

    def __init__(self, path: Path, labels: bool = True) -> None:
        def part(texts: list[str], names: list[str]) -> Raw:
            return Raw(texts, names if labels else None)

        splits = {
            "train": part(
                ["a kind otter", "a rude pedlar", "a kind pedlar", "a rude otter"] * 2, ["good", "bad"] * 4
            ),
            "valid": part(["a kind otter", "a rude heron"], ["good", "bad"]),
            "test": part(["a rude otter", "a rude zebra"], ["bad", "bad"]),
        }
        self.prepared = prepare("toy", CorpusText("a test", splits), PrepareOptions(min_count=1))
        super().__init__(path, self.prepared.info, self.prepared.tokenizer)

    def split(self, name: str) -> Split:
        return self.prepared.splits[name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "1\tan otter\n0\ta kettle , cold\n"),
        ("a.tsv", "1\tan otter\r\n\n0\ta kettle , cold\r\n \n"),
        ("a", "1\tan otter\n0\ta kettle , cold"),
        ("a.txt", "1\tan otter\n0\ta kettle , cold\n"),
        ("a.csv", '1,an otter\n0,"a kettle , cold"\n'),
        ("a.csv", 'sentence,label\nan otter,1\n"a kettle , cold",0\n'),
        ("a.jsonl", '{"label": 1, "text": "an otter"}\n{"label": 0, "text": "a kettle , cold"}\n'),
    ],
)
def test_files_of_every_format(read: Callable[..., Sentences], name: str, content: str) -> None:
    found = read(name, content)
    assert found.texts == ("an otter", "a kettle , cold")
    assert found.labels == ("1", "0")
    assert len(found) == 2


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.csv"])
def test_line_breaks_of_html_become_spaces(read: Callable[..., Sentences], name: str) -> None:
    content = "1\tan otter<br />sleeps\n0\ta kettle\n"
    found = read(name, content.replace("\t", ",") if name == "a.csv" else content)
    assert found.texts == ("an otter sleeps", "a kettle")


def test_columns_can_be_named(read: Callable[..., Sentences]) -> None:
    found = read("a.tsv", "stars\twords\n5\tan otter\n", FieldNames("words", "stars"))
    assert (found.labels, found.texts) == (("5",), ("an otter",))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"1\tan otter\n")))
    found = read_sentences(Path("-"), PLAIN)
    assert (found.name, found.labels) == ("standard input", ("1",))


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.txt", "an otter\n", "has no labels; a row is label<TAB>text"),
        ("a.tsv", "an otter\n", "has no labels; a row is label<TAB>text"),
        ("a.csv", "text,stars\nan otter,5\n", "has no labels; .*--label-column"),
        ("a.tsv", "1\t \n", "has no sentence"),
        ("a.tsv", "", "is empty"),
    ],
)
def test_files_without_labels(read: Callable[..., Sentences], name: str, content: str, hint: str) -> None:
    with pytest.raises(DataError, match=hint) as caught:
        read(name, content)
    assert "\n" not in str(caught.value)


def test_train_needs_no_labels(read: Callable[..., Sentences]) -> None:
    assert read("a.txt", "an otter\n\na kettle\n", needs_labels=False).texts == ("an otter", "a kettle")


def test_prepared_sentences_keep_their_indices(tmp_path: Path) -> None:
    corpus = Labelled(tmp_path)
    train, test = (prepared_sentences(corpus, name) for name in ("train", "test"))
    assert train.labels == ("good", "bad") * 4
    assert train.text(3) == "a rude otter"
    assert test.text(1) == "a rude <unk>"
    assert train.prepared is corpus.split("train")
    with pytest.raises(DataError, match="corpus toy has no labels in test; give files"):
        prepared_sentences(Labelled(tmp_path, labels=False), "test")
    assert prepared_sentences(Labelled(tmp_path, labels=False), "train", needs_labels=False).labels is None


def test_labels_of_file_and_corpus_are_matched() -> None:
    found = aligned(sentences("test", "negative positive"), None, None, [sentences("file", "1 0 1")])
    assert found.classes == ("negative", "positive")
    assert found.numbers(found.labelled[0]).tolist() == [1, 0, 1]
    assert found.numbers(found.test).tolist() == [0, 1]
    assert found.note == "labels of file: 0 is taken for negative, 1 for positive"


def test_labels_are_printed_as_given() -> None:
    test, file = sentences("test", "1 0 1"), sentences("file", "1 0")
    found = aligned(test, file, None, [file])
    assert (found.classes, found.note) == (("0", "1"), "")
    mixed = aligned(test, None, None, [sentences("file", "1 positive")])
    assert (mixed.classes, mixed.note) == (("0", "1", "positive"), "")


def test_matched_labels_are_those_of_the_corpus() -> None:
    """A corpus with labels 0 and 1, tested on a file of words: 0 is negative, and the names are the corpus' own."""
    corpus: Any = object()
    valid = replace(sentences("valid", "0 1"), prepared=corpus)
    found = aligned(sentences("named.tsv", "positive negative"), valid, None, [valid])
    assert found.classes == ("0", "1")
    assert found.numbers(found.test).tolist() == [1, 0]
    assert found.note == "labels of named.tsv: negative is taken for 0, positive for 1"


def test_labels_other_than_sentiment_stay() -> None:
    test = sentences("test", "0 1 2")
    found = aligned(test, sentences("valid", "2 1"), None, [sentences("file", "1 0")])
    assert found.classes == ("0", "1", "2")
    with pytest.raises(DataError, match=r"the labels of file \(0, 1\) are none of test's \(a, b\)"):
        aligned(sentences("test", "a b"), None, None, [sentences("file", "1 0")])
    with pytest.raises(DataError, match=r"the labels of valid \(a, b, c, d, …\) are none of test's"):
        aligned(test, sentences("valid", "d a b c e"), None, [])


def test_too_few_and_too_many_labels() -> None:
    with pytest.raises(DataError, match=r"has one label only \(a\)"):
        aligned(sentences("test", "a a"), None, None, [sentences("file", "a")])
    many = sentences("test", " ".join(map(str, range(1001))))
    with pytest.raises(DataError, match="has 1,001 different labels"):
        aligned(many, None, None, [many])


def test_overlap_by_text(tmp_path: Path) -> None:
    model: Any = None  # texts are compared without one
    test = sentences("test", "a b a", ["An otter", "a kettle", "a kettle"])
    valid = sentences("valid", "a b a b", ["an  OTTER ", "a mill", "a kettle", "a kettle"])
    assert in_other(valid, test, model).tolist() == [True, False, True, True]
    assert in_other(test, valid, model).tolist() == [True, True, True]


def test_overlap_by_the_models_words(tmp_path: Path) -> None:
    corpus = Labelled(tmp_path)
    train, valid, test = (prepared_sentences(corpus, name) for name in ("train", "valid", "test"))
    model: Any = None  # nor are the ids of a prepared corpus
    assert in_other(train, test, model).tolist() == [False, False, False, True] * 2
    assert in_other(valid, test, model).tolist() == [False, True]  # both read: a rude <unk>
    from sritool.data.split import encode_split

    reader: Any = SimpleNamespace(split=lambda texts: encode_split(corpus.tokenizer, list(texts), 10))
    file = sentences("file", "bad bad good", ["a rude otter", "a rude kettle", "a kind otter"])
    assert in_other(file, test, reader).tolist() == [True, True, False]
