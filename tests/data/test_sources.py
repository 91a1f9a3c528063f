"""Which file is which split, and what is cut from train if one is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sritool.data.choose_source import Inputs, choose_source
from sritool.data.fields import FieldNames
from sritool.data.file_names import assign, split_files, split_of
from sritool.data.sampling import split_by_ratio
from sritool.data.sentences import CorpusText, Sentences, in_memory
from sritool.data.sources import (
    STDIN,
    FileOptions,
    file_source,
    folder_source,
)
from sritool.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.txt", "train"),
        ("ptb.valid.txt", "valid"),
        ("snli_1.0_dev.jsonl", "valid"),
        ("my-Validation_set.csv", "valid"),
        ("val.tsv", "valid"),
        ("sentiment.test.0", "test"),
        ("training.txt", "train"),
        ("notes.txt", None),
        ("latest.txt", None),
        ("constrain.txt", None),
        ("train-test.txt", None),
    ],
)
def test_split_of_a_file_name(name: str, split: str | None) -> None:
    assert split_of(Path("test") / name) == split


def test_files_are_assigned_to_splits() -> None:
    paths = [Path("a/test.txt"), Path("train.txt"), Path("dev.txt")]
    assert assign(paths) == {"train": (paths[1],), "valid": (paths[2],), "test": (paths[0],)}
    assert assign([Path("test.txt")]) == {"train": (Path("test.txt"),)}
    with pytest.raises(UsageError, match=r"which split notes.txt is.*--train, --valid or --test"):
        assign([*paths, Path("notes.txt")])
    with pytest.raises(UsageError, match=r"train.txt and train.tsv are both train.*--train FILE"):
        assign([*paths, Path("train.tsv")])
    parts = (Path("train-0.parquet"), Path("train-1.parquet"))
    assert assign([*parts, Path("dev.parquet")]) == {"train": parts, "valid": (Path("dev.parquet"),)}


def test_folder_of_files(tmp_path: Path) -> None:
    for name in ("train.txt", "test.txt", "README.md", "test.py"):
        (tmp_path / name).write_text("a\nb\nc\nd\n")
    (tmp_path / "dev.txt").mkdir()
    assert split_files(tmp_path) == {"train": (tmp_path / "train.txt",), "test": (tmp_path / "test.txt",)}
    (tmp_path / "test.tsv").write_text("")
    with pytest.raises(UsageError, match="are both test"):
        folder_source(tmp_path, FileOptions())
    with pytest.raises(UsageError, match="no such folder"):
        split_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no file of text"):
        split_files(tmp_path / "empty")
    for name in ("dev.txt", "test.txt"):
        (tmp_path / "empty" / name).touch()
    with pytest.raises(DataError, match="has no file with train in its name"):
        split_files(tmp_path / "empty")


def test_folder_without_named_splits_is_train(tmp_path: Path) -> None:
    for name in ("emma.txt", "austen.txt", "README.md", "persuasion.txt"):
        (tmp_path / name).write_text(f"{name} a\n{name} b\n")
    text = folder_source(tmp_path, FileOptions()).read()
    assert in_memory(text.splits["train"].chunks()).texts == [
        f"{name}.txt {word}" for name in ("austen", "emma", "persuasion") for word in "ab"
    ]
    assert text.cut is not None
    assert any("all of its .txt files are train" in note and str(tmp_path) in note for note in text.notes)
    (tmp_path / "letters.tsv").write_text("x\ta b\n")
    with pytest.raises(UsageError, match="different kinds"):
        split_files(tmp_path)


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    for name in ("train.txt", "._train.txt", ".train-copy.txt"):
        (tmp_path / name).write_text("a\nb\nc\nd\n")
    assert split_files(tmp_path) == {"train": (tmp_path / "train.txt",)}
    for name in ("pos", "neg", ".git", ".ipynb_checkpoints"):
        for folder in (tmp_path / "labels", tmp_path / "splits" / "train", tmp_path / "splits" / ".train"):
            (folder / name).mkdir(parents=True)
            (folder / name / "1.txt").write_text("a b\n")
    for folder in ("labels", "splits"):
        splits = folder_source(tmp_path / folder, FileOptions()).read().splits
        assert {split: in_memory(part.chunks()).labels for split, part in splits.items()} == {
            "train": ["neg", "pos"]
        }


def test_several_files_of_a_split_are_listed(tmp_path: Path) -> None:
    for name in ("train-0.txt", "train-1.txt", "test.txt"):
        (tmp_path / name).write_text("a\nb\nc\nd\n")
    notes = folder_source(tmp_path, FileOptions()).read().notes
    assert "train: train-0.txt, train-1.txt" in notes
    assert "test.txt" not in " ".join(notes)


def test_repeated_files_are_found_with_few_stat_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(50)]
    for path in paths:
        path.write_text("a\nb\nc\nd\n")
    calls, stat = [], Path.stat

    def counted(path: Path, **options: bool) -> os.stat_result:
        calls.append(path)
        return stat(path, **options)

    source = file_source({"train": [*paths, paths[3]], "test": paths[4]}, FileOptions())
    monkeypatch.setattr(Path, "stat", counted)
    notes = source.read().notes
    assert f"{paths[3]} is twice in train" in notes
    assert any("train and test are the same file" in note for note in notes)
    assert len(calls) <= 3 * (len(paths) + 2)


def test_unused_files_of_a_folder_are_listed(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for name in ("train.txt", "test.txt", "extra.txt", "more.tsv", "README.md", "COPYING", "letters/1.txt"):
        (tmp_path / name).write_text("a\nb\nc\nd\n")
    notes = folder_source(tmp_path, FileOptions()).read().notes
    assert any("tell no split: extra.txt, more.tsv" in note for note in notes)
    assert any("COPYING, README.md, letters/ (1 file)" in note for note in notes)


def test_unused_files_beside_folders_of_labels_are_listed(tmp_path: Path) -> None:
    for name in ("train/pos/1.txt", "train/neg/1.txt", "extra/1.txt", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a b\n")
    notes = folder_source(tmp_path, FileOptions()).read().notes
    assert any("README.md, extra/ (1 file)" in note for note in notes)


def test_only_file_is_train_despite_its_name(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("a\nb\nc\nd\n")
    inputs = Inputs([str(tmp_path / "test.txt")], name="x"), Inputs([str(tmp_path)], name="x")
    for given in inputs:
        notes = choose_source(given)[1].read().notes
        assert any("test.txt is taken as train" in note for note in notes)


def cut(raw: CorpusText) -> dict[str, Sentences]:
    """The splits in memory, cut like in `prepare`."""
    splits = {name: in_memory(part.chunks()) for name, part in raw.splits.items()}
    if raw.cut is not None:
        splits |= split_by_ratio(splits["train"], raw.cut.shares, raw.cut.seed, raw.source)
    return {name: splits[name] for name in ("train", "valid", "test")}


def test_missing_splits_are_cut_from_train_and_noted(tmp_path: Path, sentences: list[str]) -> None:
    train, valid = tmp_path / "all.txt", tmp_path / "valid.txt"
    train.write_text("\n".join(sentences))
    valid.write_text("the tuba hums\n")
    raw = file_source({"train": train}, FileOptions(valid_share=0.1, test_share=0.2)).read()
    assert {name: len(part.texts) for name, part in cut(raw).items()} == {
        "train": 42,
        "valid": 6,
        "test": 12,
    }
    assert raw.notes == ("valid (10%) and test (20%) cut from train with seed 0",)
    assert raw.source == "all.txt"
    other = file_source({"train": train}, FileOptions(valid_share=0.1, test_share=0.2, seed=1)).read()
    assert cut(other)["test"] != cut(raw)["test"]
    raw = file_source({"train": train, "valid": valid}, FileOptions()).read()
    assert [list(cut(raw)), len(cut(raw)["test"].texts)] == [["train", "valid", "test"], 3]
    assert cut(raw)["valid"].texts == ["the tuba hums"]
    assert raw.notes == ("test (5%) cut from train with seed 0",)


def test_options_without_effect_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("a\nb\nc\nd\n")
    with pytest.raises(UsageError, match="--valid-share is for cutting valid from train"):
        file_source({"train": path, "valid": path}, FileOptions(valid_share=0.1)).read()
    for name in ("train/pos", "train/neg", "test/pos", "test/neg"):
        (tmp_path / "labels" / name).mkdir(parents=True)
        (tmp_path / "labels" / name / "1.txt").write_text("a b\n")
    with pytest.raises(UsageError, match="--test-share is for cutting test from train"):
        folder_source(tmp_path / "labels", FileOptions(test_share=0.1)).read()
    with pytest.raises(UsageError, match="--text-column is for tables"):
        folder_source(tmp_path / "labels", FileOptions(names=FieldNames(text="a")))
    with pytest.raises(UsageError, match="leave one of them out"):
        FileOptions(names=FieldNames(label="a", labels=False))
    with pytest.raises(UsageError, match="plain text has no columns"):
        file_source({"train": path}, FileOptions(names=FieldNames(text="a"))).read()


def test_invalid_sources() -> None:
    with pytest.raises(UsageError, match="standard input can be one split only"):
        file_source({"train": STDIN, "test": STDIN}, FileOptions())
    for shares in ((0.0, 0.1), (0.5, 0.5), (-1, 0.1)):
        with pytest.raises(UsageError, match="--valid-share and --test-share"):
            FileOptions(valid_share=shares[0], test_share=shares[1])
