"""Long documents cut into several sentences: nothing is lost, and labels and word counts follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.data.options import PrepareOptions
from sritool.data.prepare import Prepared, prepare
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.tokenizer import EOS
from sritool.errors import DataError, UsageError

WORDS = ("the", "pilot", "of", "an", "old", "aeroplane", "paints", "kites", "unnoticed")


def document(words: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


LENGTHS = [1, 4, 5, 6, 10, 11, 23]
DOCUMENTS = [document(words, seed) for seed, words in enumerate(LENGTHS)]


def prepared(texts: list[str], **options: Any) -> Prepared:
    """Prepare this text as every split; the label of a line is its number."""
    lines = Sentences(texts, [str(k) for k in range(len(texts))])
    text = CorpusText("a test", dict.fromkeys(("train", "valid", "test"), lines))
    return prepare("chunks", text, PrepareOptions(**options))


@pytest.mark.parametrize("tokenizer", ["word", "bpe", "unigram"])
def test_parts_concatenate_to_the_document(tokenizer: str) -> None:
    own = {"min_count": 1} if tokenizer == "word" else {"tokenizer": tokenizer, "vocab_size": 30}
    cut, whole = (prepared(DOCUMENTS, **own, **extra) for extra in ({"max_length": 5, "chunk": True}, {}))
    parts, split = cut.splits["train"], whole.splits["train"]
    assert parts.labels is not None
    assert cut.tokenizer.state() == whole.tokenizer.state()
    np.testing.assert_array_equal(parts.ids, split.ids)
    for label in range(len(DOCUMENTS)):
        rows = np.flatnonzero(parts.labels == label)
        of_document = [parts.targets(int(row)) for row in rows]
        np.testing.assert_array_equal(np.concatenate(of_document), split.targets(label))
        assert [len(part) for part in of_document[:-1]] == [5] * (len(rows) - 1)
        assert 1 <= np.count_nonzero(of_document[-1] != EOS) <= 5
        assert [EOS in part for part in of_document] == [False] * (len(rows) - 1) + [True]
        assert parts.words[rows].sum() == split.words[label]
    counts, before = cut.info.splits["train"], whole.info.splits["train"]
    long = np.flatnonzero(split.lengths - 1 > 5)
    assert counts.chunked == len(long) > 0
    assert counts.parts == len(parts) - (len(split) - len(long))
    assert (counts.truncated, counts.dropped) == (0, 0)
    assert (counts.words, counts.tokens, counts.longest) == (before.words, before.tokens, before.longest)


def test_single_document_can_be_a_corpus() -> None:
    found = prepared([document(50, 0)], min_count=1, max_length=20, chunk=True)
    assert [len(found.splits["train"].targets(k)) for k in range(3)] == [20, 20, 11]
    with pytest.raises(DataError, match="one sentence only"):
        prepared([document(5, 0)], min_count=1, max_length=20, chunk=True)
    with pytest.raises(UsageError, match="leave one out"):
        PrepareOptions(chunk=True, drop_long=True)


def test_document_on_one_line_suggests_chunk(invoke: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(document(300, 0) + "\n")
    (tmp_path / "some.txt").write_text("\n".join(DOCUMENTS) + "\n")
    for given in (["one.txt"], ["--train", "one.txt", "--valid", "some.txt", "--test", "some.txt"]):
        result = invoke("preprocess", *given, "--name", "one")
        assert result.exit_code == 3
        assert "one line of 300 words" in result.stderr
        assert "--chunk 50" in result.stderr
        assert result.stderr.count("\n") == 1
    result = invoke("preprocess", "one.txt", "--name", "one", "--chunk", 50)
    assert result.exit_code == 3
    assert "--train, --valid, --test" in result.stderr
    files = ["--train", "one.txt", "--valid", "some.txt", "--test", "some.txt"]
    result = invoke("preprocess", *files, "--name", "one", "--chunk", 50, "-f", "tsv")
    assert result.exit_code == 0, result.stderr
    header, train = (line.split("\t") for line in result.stdout.splitlines()[:2])
    row = dict(zip(header, train, strict=True))
    assert (row["documents cut"], row["parts"], row["sentences"], row["words"]) == ("1", "6", "6", "300")


@pytest.mark.parametrize("other", [("--max-length", "9"), ("--truncate",), ("--drop",)])
def test_options_that_exclude_chunk(invoke: Callable[..., Any], other: tuple[str, ...]) -> None:
    result = invoke("preprocess", "tiny", "--chunk", 5, *other)
    assert result.exit_code == 2
    assert "leave --" in result.stderr
