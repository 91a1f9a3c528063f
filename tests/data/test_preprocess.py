"""Preparing a corpus: when it is replaced, and what a crash leaves."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sritool.data import preprocess as task
from sritool.data.choose_source import Inputs, choose_source
from sritool.data.options import PrepareOptions
from sritool.data.preprocess import PreparedCorpus, check_corpus_name, preprocess_corpus
from sritool.data.store import load_corpus
from sritool.errors import DataError, SritoolError, UsageError

TEXT = "".join(
    f"the {noun} {verb} number {n}\n"
    for noun in ("cart", "mule")
    for verb in ("waits", "turns")
    for n in range(9)
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def prepare(
    text: str = TEXT, name: str = "mine", force: bool = False, options: PrepareOptions | None = None
) -> PreparedCorpus:
    Path("some.txt").write_text(text)
    _, source = choose_source(Inputs(["some.txt"], name=name))
    return preprocess_corpus(name, source, options, force=force)


def names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_own_corpus(here: Path) -> None:
    done = prepare()
    assert done.fresh
    assert done.path == Path("data/mine")
    corpus = load_corpus(done.path)
    assert corpus.info == done.info
    sentences = [
        corpus.tokenizer.decode(corpus.split(name).targets(row))
        for name in ("train", "valid", "test")
        for row in range(len(corpus.split(name)))
    ]
    assert Counter(sentences) == Counter(TEXT.splitlines())
    assert [path.name for path in Path("data").iterdir()] == ["mine"]


def test_tiny_with_its_readable_text(here: Path) -> None:
    first = preprocess_corpus("tiny")
    assert [counts.sentences for counts in first.info.splits.values()] == [12_000, 1_000, 1_000]
    assert all(counts.oov == 0 for counts in first.info.splits.values())
    shown = snapshot(first.path)["train.tsv"]
    assert shown.decode().splitlines()[0].split("\t")[0] in ("positive", "negative")
    for part in ("corpus.json", "tokenizer.json"):
        (first.path / part).unlink()
    assert preprocess_corpus("tiny").fresh  # as in a checkout, which holds only the text
    assert not preprocess_corpus("tiny").fresh
    (first.path / "corpus.json").unlink()
    (first.path / "train.tsv").write_text("positive\tmy own notes\n")
    with pytest.raises(UsageError, match=r"train.tsv was not written by sritool"):
        preprocess_corpus("tiny")


def test_new_content_needs_force(here: Path) -> None:
    first = prepare()
    before = snapshot(first.path)
    again = prepare(TEXT.replace("\n", "\r\n"))  # other bytes, the same sentences
    assert not again.fresh
    assert again.info == first.info
    assert snapshot(first.path) == before
    with pytest.raises(UsageError, match=r"data/mine .*--force"):
        prepare(TEXT.replace("mule", "goat"))
    assert snapshot(first.path) == before
    forced = prepare(TEXT.replace("mule", "goat"), force=True)
    assert forced.fresh
    assert load_corpus(first.path).info == forced.info != first.info
    assert names("data") == ["mine"]


def test_equal_ids_update_options_and_source(here: Path) -> None:
    first = prepare()
    options = PrepareOptions(lowercase=True, max_length=20)
    second = prepare(options=options)  # the text is already short and lowercase
    assert second.info.content_hash == first.info.content_hash
    stored = load_corpus(second.path).info
    assert (stored.lowercase, stored.max_length) == (True, 20)
    assert not prepare(options=options).fresh
    Path("other.txt").write_text(TEXT)
    preprocess_corpus("mine", choose_source(Inputs(["other.txt"], name="mine"))[1], options)
    assert load_corpus(second.path).info.source == "other.txt"


def test_damaged_corpus_is_rebuilt_without_force(here: Path) -> None:
    path = prepare().path
    next((path / "train").glob("*.arrow")).write_bytes(b"")
    again = prepare()
    assert again.fresh
    assert "replaced a damaged corpus" in again.info.notes
    assert len(load_corpus(path).split("train")) == 32


@pytest.mark.parametrize("part", ["corpus.json", "tokenizer.json", ".arrow"])
def test_temporarily_unreadable_corpus_stays(here: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    path = prepare().path
    before, genuine = snapshot(path), Path.open

    def refuse(self: Path, *args: Any, **settings: Any) -> Any:
        if self.parts[:2] == path.parts and self.name.endswith(part):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return genuine(self, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        patch.setattr(Path, "read_text", lambda self, **settings: self.open(**settings).read())
        with pytest.raises(
            DataError, match=r"cannot read the prepared corpus in data/mine.* does not answer"
        ):
            prepare()
    assert snapshot(path) == before


def test_foreign_files_are_never_replaced(here: Path) -> None:
    Path("data/mine").mkdir(parents=True)
    Path("data/mine/train.txt").write_text(TEXT)
    before = snapshot(Path("data"))
    for force in (False, True):
        with pytest.raises(UsageError, match=r"data/mine/train.txt .*move it away"):
            prepare(force=force)
    assert snapshot(Path("data")) == before
    Path("data/other").write_text("")
    with pytest.raises(UsageError, match="data/other is a file; move it away"):
        prepare(name="other")


@pytest.mark.parametrize("moment", ["write_corpus", "prepare"])
def test_crash_leaves_the_old_corpus(here: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    path = prepare().path
    before = snapshot(path)
    genuine = getattr(task, moment)

    def crash(*args: object) -> None:
        genuine(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(task, moment, crash)
    with pytest.raises(KeyboardInterrupt):
        prepare(TEXT.replace("mule", "goat"), force=True)
    assert snapshot(path) == before
    with pytest.raises(KeyboardInterrupt):
        prepare(name="fresh")
    assert names("data") == ["mine"]


def test_bad_text_leaves_nothing(here: Path) -> None:
    with pytest.raises(DataError, match="one sentence only"):
        prepare("one sentence\n")
    assert not Path("data").exists()


def test_unwritable_folder_fails_before_reading(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "prepare", lambda *args: pytest.fail("it read the text"))
    Path("data").write_text("a file")
    with pytest.raises(SritoolError, match=r"^cannot write data: .*; give another folder with --data-dir$"):
        preprocess_corpus("tiny")


def test_pieces_are_refused_for_ptb(here: Path) -> None:
    with pytest.raises(UsageError, match="--tokenizer word"):
        preprocess_corpus("ptb", options=PrepareOptions(tokenizer="bpe"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "-a", ".a", "a b", "a\n", "é", "a" * 101])
def test_invalid_corpus_names(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a corpus"):
        check_corpus_name(name)


def test_ptb_has_its_published_size(here: Path, corpora: Path) -> None:
    name, source = choose_source(Inputs(["ptb"], folder=corpora / "ptb"))
    done = preprocess_corpus(name, source)
    assert done.info.vocabulary == 9_999
    corpus = load_corpus(done.path)
    assert len(corpus.tokenizer) == 9_999 + 3
    assert corpus.split("test").predictions == 82_430
    counts = [done.info.splits[split] for split in ("train", "valid", "test")]
    assert [one.sentences for one in counts] == [42_068, 3_370, 3_761]
    assert [one.words for one in counts] == [887_521, 70_390, 78_669]
    assert all(one.oov == one.truncated == one.dropped == 0 for one in counts)
    text = (corpora / "ptb" / "test.txt").read_text(encoding="utf-8")
    assert done.info.splits["test"].unknown == text.split().count("<unk>")
    line = text.split("\n")[1234]
    assert corpus.tokenizer.decode(corpus.split("test").targets(1234)) == " ".join(line.split())
