"""Joined arrays against a single array, and a corpus in several files against the same corpus in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.data import sentences as sentences_module
from sritool.data import split_files
from sritool.data.arrays import Joined, joined, pieces_of
from sritool.data.batches import collate
from sritool.data.options import PrepareOptions
from sritool.data.preprocess import preprocess_corpus
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.sources import Source
from sritool.data.split import Split
from sritool.data.store import load_corpus
from sritool.errors import DataError
from sritool.evaluation.record import fingerprint


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=5), st.data())
def test_joined_arrays_read_like_one(parts: list[list[int]], data: st.DataObject) -> None:
    shifts = [100 * number for number in range(len(parts))]
    whole = np.array(
        [value + shift for part, shift in zip(parts, shifts, strict=True) for value in part], np.int64
    )
    row = Joined([np.array(part, np.int32) for part in parts], np.int64, shifts)
    assert len(row) == len(whole)
    np.testing.assert_array_equal(np.asarray(row), whole)
    begin, end = (data.draw(st.integers(-9, 30)) for _ in range(2))
    for index in (slice(begin, end), slice(begin, None), slice(None, end)):
        found = row[index]
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, whole[index])
    np.testing.assert_array_equal(np.concatenate([[], *pieces_of(row)]), whole)
    with pytest.raises(IndexError):
        row[len(whole)]
    if len(whole):
        places = np.array(data.draw(st.lists(st.integers(-len(whole), len(whole) - 1), min_size=2)))
        np.testing.assert_array_equal(row[places], whole[places])
        np.testing.assert_array_equal(row[places[:, None]], whole[places[:, None]])
        assert row[int(places[0])] == whole[places[0]]


def test_single_array_is_returned_unchanged() -> None:
    only = np.arange(3)
    assert joined([only], np.int64) is only
    assert fingerprint(joined([only, only], np.int64)) == fingerprint(np.concatenate([only, only]))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences_module, "CHUNK", 200)


def stored(folder: Path, sentences: list[str], **options: Any) -> Path:
    labels = ["odd" if number % 2 else "even" for number in range(len(sentences))]
    text = CorpusText("a test", dict.fromkeys(("train", "valid", "test"), Sentences(sentences, labels)))
    return preprocess_corpus("m", Source(PrepareOptions(**options), lambda: text), data_dir=folder).path


@pytest.mark.parametrize("options", [{}, {"tokenizer": "bpe", "vocab_size": 60}])
def test_several_files_equal_one_file(
    tmp_path: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    many = sentences * 40
    one = load_corpus(stored(tmp_path / "one", many, **options))
    monkeypatch.setattr(split_files, "SHARD", 900)
    path = stored(tmp_path / "several", many, **options)
    several = load_corpus(path)
    assert several.info == one.info
    names = [file.name for file in sorted((path / "train").glob("*.arrow"))]
    assert names == [f"data-{number:05d}-of-{len(names):05d}.arrow" for number in range(len(names))]
    assert len(names) > 2
    whole, parts = one.split("train"), several.split("train")
    assert isinstance(parts.ids, Joined)
    for field in ("ids", "offsets", "labels", "words", "lengths", "ended"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))
    np.testing.assert_array_equal(parts.counts(len(one.tokenizer)), whole.counts(len(one.tokenizer)))
    chosen = np.random.default_rng(0).integers(0, len(whole), 50)
    chosen[:2] = 0, len(whole) - 1
    for found, expected in zip(collate(parts, chosen), collate(whole, chosen), strict=True):
        np.testing.assert_array_equal(found, expected)
    some, same = parts.choice(40), whole.choice(40)
    np.testing.assert_array_equal(some.ids, same.ids)
    assert fingerprint(parts.ids, parts.offsets) == fingerprint(whole.ids, np.asarray(whole.offsets))


def test_several_files_load_as_a_hugging_face_dataset(
    tmp_path: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(split_files, "SHARD", 900)
    path = stored(tmp_path, sentences * 40)
    opened = datasets.load_from_disk(str(path))
    split: Split = load_corpus(path).split("train")
    assert len(opened["train"]) == len(split)
    for row in (0, len(split) // 2, len(split) - 1):
        assert opened["train"][row]["ids"] == split.targets(row).tolist()


def test_missing_shard_is_detected(
    tmp_path: Path, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_files, "SHARD", 900)
    path = stored(tmp_path, sentences * 40)
    sorted((path / "train").glob("*.arrow"))[1].unlink()
    with pytest.raises(DataError, match="is damaged"):
        load_corpus(path).split("train")
