"""Stored corpora: round trips, the content hash, and detection of damage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sritool.data.options import PrepareOptions
from sritool.data.prepare import Prepared, prepare
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.store import content_hash, find_corpus, load_corpus
from sritool.errors import DataError
from support.corpora import store


def prepared(sentences: list[str], options: PrepareOptions | None = None) -> Prepared:
    labels = ["odd" if number % 2 else "even" for number in range(len(sentences))]
    splits = {
        "train": Sentences(sentences, labels),
        "valid": Sentences(sentences[:7], labels[:7]),
        "test": Sentences([*sentences[3:5], "the tuba hums"]),
    }
    return prepare("mine", CorpusText("a test", splits, ("noted",)), options or PrepareOptions())


@pytest.fixture(params=["word", "bpe"])
def corpus(request: pytest.FixtureRequest, sentences: list[str]) -> Prepared:
    many = sentences * 40  # more rows than one Arrow batch
    return prepared(many, PrepareOptions(tokenizer=request.param, vocab_size=60, max_length=9))


@pytest.fixture
def path(corpus: Prepared, tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    store(folder, corpus)
    return folder


def test_round_trip(corpus: Prepared, path: Path) -> None:
    loaded = load_corpus(path)
    assert loaded.info == corpus.info
    assert loaded.tokenizer.state() == corpus.tokenizer.state()
    for name, split in corpus.splits.items():
        found = loaded.split(name)
        assert loaded.split(name) is found
        for field in ("ids", "offsets", "labels", "words", "lengths"):
            written, read = getattr(split, field), getattr(found, field)
            if written is None:
                assert read is None
            else:
                assert read.dtype == written.dtype
                np.testing.assert_array_equal(read, written)
        assert (len(found), found.predictions) == (len(split), split.predictions)
        np.testing.assert_array_equal(found.targets(1), split.targets(1))
    assert content_hash(
        loaded.tokenizer, {name: loaded.split(name) for name in corpus.splits}, corpus.info.labels
    ) == (corpus.info.content_hash)


def test_folder_is_a_hugging_face_dataset(corpus: Prepared, path: Path) -> None:
    import datasets

    opened = datasets.load_from_disk(str(path))
    assert set(opened) == {"train", "valid", "test"}
    assert opened["train"].features["label"].names == ["even", "odd"]
    row = opened["train"][1201]
    assert row["ids"] == corpus.splits["train"].targets(1201).tolist()
    assert row["label"] == 1
    assert "label" not in opened["test"].features


def test_store_avoids_slow_imports(path: Path, run_program) -> None:  # type: ignore[no-untyped-def]
    program = (
        "import sys; from pathlib import Path; from sritool.data.store import load_corpus, write_corpus\n"
        "from sritool.data.split_files import SplitFiles\n"
        "corpus = load_corpus(Path(sys.argv[1]))\n"
        "splits = {name: corpus.split(name) for name in corpus.info.splits}\n"
        "again = Path(sys.argv[1] + '-again'); again.mkdir()\n"
        "files = {name: SplitFiles(again / name) for name in splits}\n"
        "for name, split in splits.items(): files[name].add(split)\n"
        "write_corpus(again, corpus.tokenizer, corpus.info, files)\n"
        "print([name for name in ('datasets', 'pandas', 'torch') if name in sys.modules])"
    )
    assert run_program("-c", program, path).stdout == "[]\n"


def test_hash_depends_on_the_content_only(sentences: list[str]) -> None:
    base = prepared(sentences).info.content_hash
    assert prepared(list(sentences)).info.content_hash == base
    other = [
        prepared([*sentences[:-1], "the miller follows the kite"]),
        prepared(sentences[::-1]),
        prepared(sentences, PrepareOptions(max_length=3)),
        prepared(sentences, PrepareOptions(vocab_size=6)),
    ]
    assert len({base, *(item.info.content_hash for item in other)}) == 5
    same = prepared(sentences)
    flipped = replace(same.splits["valid"], labels=1 - same.splits["valid"].labels)  # type: ignore[operator]
    assert content_hash(same.tokenizer, {**same.splits, "valid": flipped}, same.info.labels) != base
    assert content_hash(same.tokenizer, same.splits, ("odd", "even")) != base
    assert content_hash(same.tokenizer, dict(reversed(same.splits.items())), same.info.labels) == base


def test_info_holds_shares(path: Path) -> None:
    stored = json.loads((path / "corpus.json").read_text(encoding="utf-8"))
    counts = stored["splits"]["test"]
    assert counts["oov_share"] == pytest.approx(counts["oov"] / counts["tokens"], abs=1e-6)
    assert stored["source"] == "a test"


def test_find_corpus(path: Path) -> None:
    assert find_corpus("mine", path.parent) == path
    assert find_corpus(str(path), Path("elsewhere")) == path
    assert find_corpus("yours", path.parent) is None
    assert find_corpus("mine", path.parent / "nowhere") is None


def test_missing_corpus_and_split_are_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sritool preprocess"):
        load_corpus(tmp_path)
    with pytest.raises(DataError, match=r"no split 'dev'; it has train, valid, test$"):
        load_corpus(path).split("dev")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format_version": 1}', "{"])
def test_damaged_info(path: Path, text: str) -> None:
    (path / "corpus.json").write_text(text)
    with pytest.raises(DataError, match=r"is damaged .*sritool preprocess"):
        load_corpus(path)


def test_damaged_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").write_text('{"kind": "word", "words": ["a"]}')
    (path / "tokenizer.model").unlink(missing_ok=True)
    with pytest.raises(DataError, match="is damaged"):
        load_corpus(path)


def test_damaged_split(path: Path) -> None:
    file = next((path / "train").glob("*.arrow"))
    data = file.read_bytes()
    for wrong in (data[: len(data) // 2], b"", b"x" * 100):
        file.write_bytes(wrong)
        with pytest.raises(DataError, match="is damaged"):
            load_corpus(path).split("train")
    file.unlink()
    with pytest.raises(DataError, match="is damaged"):
        load_corpus(path).split("train")


def test_split_of_another_corpus_is_detected(path: Path) -> None:
    next((path / "train").glob("*.arrow")).write_bytes(next((path / "valid").glob("*.arrow")).read_bytes())
    with pytest.raises(DataError, match=r"train/data-.*arrow is not the one that was written"):
        load_corpus(path).split("train")


def test_arrays_are_read_only(path: Path) -> None:
    split = load_corpus(path).split("train")
    with pytest.raises(ValueError, match="read-only"):
        split.ids[0] = 1


def test_choice_is_a_subset_with_its_attributes(path: Path) -> None:
    whole = load_corpus(path).split("train")
    some = whole.choice(5)
    every = {(tuple(whole.targets(i)), int(whole.words[i])) for i in range(len(whole))}
    assert len(some) == 5
    assert {(tuple(some.targets(i)), int(some.words[i])) for i in range(5)} <= every
    assert [*some.offsets] == [0, *np.cumsum(some.lengths)]
    assert whole.choice(len(whole) + 1) is whole
