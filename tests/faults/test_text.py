"""Text of any kind is read, or refused in one line; memory holds its ids, not the text."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import sritool
from faults.harness import text, text_files
from faults.harness.text_files import ACCEPTED, REFUSED, Accepted, Refused
from sritool.cli.commands.preprocess import corpus_table
from sritool.data import blocks, raw_lines, sentences, split_files, vocabulary
from sritool.data.options import PrepareOptions
from sritool.data.prepare import Prepared, prepare
from sritool.data.preprocess import PreparedCorpus
from sritool.data.readers import read_sentences
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.sources import FileOptions, file_source
from sritool.data.store import load_corpus
from sritool.data.vocabulary import train_pieces
from sritool.errors import DataError
from support.corpora import store

Invoke = Callable[..., Result]

V1 = Path(__file__).parents[1] / "saved" / "v1"
RUN = "runs/pieces-vae-anneal"


def of_file(path: Path, options: PrepareOptions | None = None) -> Prepared:
    """Prepare a corpus of one file without storing it."""
    return prepare(
        "m", file_source({"train": path}, FileOptions()).read(), options or PrepareOptions(min_count=1)
    )


def refused(result: Result, name: str, parts: tuple[str, ...]) -> None:
    """Check for exit code 3, one line with these parts on stderr, and an empty stdout."""
    assert result.exit_code == 3, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.isprintable()
    assert name in line
    assert all(part in line for part in parts), line
    assert result.stdout == ""


@pytest.mark.parametrize("item", REFUSED, ids=[f"{item.name}-{item.parts[0][:30]}" for item in REFUSED])
def test_bad_text_is_refused_in_one_line(invoke: Invoke, item: Refused) -> None:
    Path(item.name).write_bytes(item.data)
    refused(invoke("preprocess", item.name, "--name", "m"), item.name, item.parts)
    assert not Path("data").exists()


@pytest.mark.parametrize("item", ACCEPTED, ids=[item.name for item in ACCEPTED])
def test_odd_text_is_accepted(tmp_path: Path, item: Accepted) -> None:
    path = tmp_path / item.name
    path.write_bytes(item.data)
    prepared = of_file(path)
    assert sum(len(split) for split in prepared.splits.values()) == item.sentences
    note = corpus_table(PreparedCorpus(Path("data/m"), prepared.info, True, 1.0)).note
    assert item.note in note
    assert all(line.isprintable() for line in note.splitlines())


@pytest.fixture
def bench(invoke: Invoke) -> Invoke:
    """`sritool` in a folder with the stored corpora and runs of version 1."""
    for part in ("runs", "data"):
        shutil.copytree(V1 / part, part)
    return invoke


def test_every_command_refuses_bad_text_alike(bench: Invoke) -> None:
    commands = itertools.cycle((("score",), ("encode",), ("evaluate", "--metrics", "nll"), ("noisy-recon",)))
    for item in [item for item in REFUSED if item.name.endswith((".txt", ".gz")) and item.name != "one.txt"]:
        Path(item.name).write_bytes(item.data)
        command, *options = next(commands)
        refused(bench(command, RUN, "--text", item.name, *options), item.name, item.parts)
    refused(bench("score", RUN, stdin=b"a caf\xe9\n"), "standard input", ("not UTF-8: line 1, byte 6",))


def test_labels_of_one_class_are_refused(bench: Invoke) -> None:
    Path("one.tsv").write_bytes(text_files.ROWS.replace("bad", "good").encode())
    Path("two.tsv").write_bytes(text_files.ROWS.encode())
    result = bench("classify", RUN, "--labelled", "one.tsv", "--test", "two.tsv", "--labels", "4")
    refused(result, "one.tsv", ("one label only (good)",))


def test_only_the_given_data_folder_is_used(bench: Invoke) -> None:
    assert bench("evaluate", RUN, "--metrics", "recon", "--limit", "2").exit_code == 0
    Path("empty").mkdir()
    result = bench("evaluate", RUN, "--metrics", "recon", "--limit", "2", "--data-dir", "empty")
    refused(result, "is not in empty/", ("--data-dir",))


@pytest.mark.parametrize("labelled", [False, True])
def test_memory_grows_with_ids_and_not_with_text(tmp_path: Path, labelled: bool) -> None:
    """Three times the lines need more memory only for ids of 4 bytes and what `harness.text` allows per line.

    The string of a line of ten words alone takes 120 bytes, and 700 when it is split into words.
    """
    peaks = []
    for count in (100_000, 300_000):
        path = tmp_path / ("many.tsv" if labelled else "many.txt")
        text.write_lines(path, count, labelled, vocabulary=500)
        peaks.append(text.prepare(path, tmp_path / "data").memory)
    pools = 32 << 20  # that allocators may take at once or not yet return
    assert peaks[1] - peaks[0] < text.PER_LINE * 200_000 + text.PER_TOKEN * 11 * 200_000 + pools


def test_process_of_a_small_corpus_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    text.write_lines(path, 5_000, vocabulary=500)
    peak = text.prepare(path, tmp_path / "data")
    assert peak.memory < text.bound(5_000, 55_000, 500)


def test_reading_in_parts_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.tsv"
    text.write_lines(path, 3_000, labelled=True, vocabulary=300)
    raw = CorpusText("a test", {"train": read_sentences(path)})
    for options in (
        PrepareOptions(),
        PrepareOptions(tokenizer="bpe", vocab_size=120, max_length=9, drop_long=True),
    ):
        whole, in_memory = of_file(path, options), prepare("m", raw, options)
        with monkeypatch.context() as patch:
            patch.setattr(blocks, "BLOCK", 501)
            patch.setattr(sentences, "CHUNK", 70)
            assert of_file(path, options).info == whole.info
            assert prepare("m", raw, options).info == in_memory.info


def test_text_is_buffered_in_an_unnamed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    genuine = train_pieces

    def train(*args: object) -> object:
        seen.append([*tmp_path.iterdir()])
        return genuine(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(vocabulary, "train_pieces", train)
    raw = CorpusText("a test", {"train": Sentences(text_files.GOOD.splitlines())})
    raw = CorpusText("a test", {**raw.splits, "valid": raw.splits["train"], "test": raw.splits["train"]})
    prepare("m", raw, PrepareOptions(tokenizer="bpe", vocab_size=40), tmp_path)
    assert seen == [[]]


def test_pieces_are_learnt_from_a_limited_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[list[str]] = []
    genuine = train_pieces

    def train(lines: Iterator[str], kind: str, size: int) -> object:
        learnt.append([*lines])
        return genuine(learnt[-1], kind, size)

    monkeypatch.setattr(vocabulary, "train_pieces", train)
    monkeypatch.setattr(vocabulary, "MOST_TO_LEARN", 25)
    every = text_files.GOOD.splitlines()
    for _ in range(2):
        raw = CorpusText("a test", {"train": Sentences(["", *every])})
        prepare("m", raw, PrepareOptions(tokenizer="bpe", vocab_size=40))
    assert learnt[0] == learnt[1]
    assert len(learnt[0]) == 25
    assert [line for line in every if line in {*learnt[0]}] == learnt[0]


def test_too_many_different_words_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(raw_lines, "MOST_WORDS", 100)
    path = tmp_path / "hashes.txt"
    path.write_text("".join(f"{number:x} {number * 7919:x}\n" for number in range(200)))
    with pytest.raises(
        DataError, match=r"hashes\.txt has more than 100 different words; .*--tokenizer unigram"
    ):
        of_file(path)


def test_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(blocks, "LONGEST_LINE", 1 << 20)
    for name, data, message in (
        ("endless.txt", b"a b\n" + b"a " * (1 << 20), r"line 2 is longer than 1 MiB"),
        ("blank.txt", b" \n" * (1 << 20), "has no word in its first 1 MiB"),
        ("zeros.txt", b"a b\n" + bytes(1 << 21), "line 2 has a NUL byte"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=message):
            of_file(tmp_path / name)


def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text_files.GOOD)
    parts = blocks.read_blocks(path)
    next(parts)
    with path.open("a") as file:
        file.write("one more\n")
    with pytest.raises(DataError, match=r"log\.txt changed while it was read; run again"):
        list(parts)


def test_named_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(text_files.GOOD,))
    writer.start()
    assert sum(len(split) for split in of_file(path).splits.values()) == 40
    writer.join()


def test_same_file_for_two_splits_is_noted(invoke: Invoke) -> None:
    Path("all.txt").write_text(text_files.GOOD)
    result = invoke("preprocess", "--train", "all.txt", "--test", "./all.txt", "--name", "m")
    assert result.exit_code == 0
    assert "train and test are the same file" in result.stderr


def test_devices_are_refused(invoke: Invoke) -> None:
    refused(invoke("preprocess", "/dev/null", "--name", "m"), "/dev/null", ("is empty",))
    with pytest.raises(DataError, match="NUL byte"):
        read_sentences(Path("/dev/zero"))


def test_ctrl_c_ends_an_endless_stream(tmp_path: Path) -> None:
    root = str(Path(sritool.__file__).parents[1])
    with subprocess.Popen(["yes", "the heron lifts a lantern"], stdout=subprocess.PIPE) as endless:
        process = subprocess.Popen(
            [sys.executable, "-m", "sritool", "preprocess", "-", "--name", "m"],
            stdin=endless.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": root},
        )
        assert endless.stdout is not None
        endless.stdout.close()
        end = time.monotonic() + 60
        while process.poll() is None and not [*tmp_path.glob("data/.m.new-*")] and time.monotonic() < end:
            threading.Event().wait(0.005)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
            endless.kill()
    assert process.returncode == 130, said
    assert len(said.splitlines()) == 1
    assert not [*tmp_path.glob("data/*")]


def test_more_ids_than_one_file_holds(tmp_path: Path) -> None:
    """A 32-bit offset would wrap around to 0; here the files are made small."""
    assert split_files.SHARD < 2**30
    path = tmp_path / "many.tsv"
    path.write_text(text_files.ROWS)
    corpus = of_file(path)
    folder = tmp_path / "stored"
    store(folder, corpus, shard=5)
    assert len([*(folder / "train").glob("*.arrow")]) > 3
    stored = load_corpus(folder).split("train")
    for field in ("ids", "offsets", "labels"):
        np.testing.assert_array_equal(getattr(stored, field), getattr(corpus.splits["train"], field))


@pytest.mark.at_length
@pytest.mark.parametrize("form", ["lines", "rows", "pipe"])
def test_ten_million_lines(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("many.tsv" if form == "rows" else "many.txt")
    text.write_lines(path, 10_000_000, labelled=form == "rows")
    peak = text.prepare(path, tmp_path / "data", piped=form == "pipe")
    print(f"{form}: at most {peak.memory >> 20:,} MiB, {peak.seconds:.0f} s of CPU time")  # noqa: T201 - seen with -s
    assert peak.memory < text.bound(10_000_000, 110_000_000, 200_000)
