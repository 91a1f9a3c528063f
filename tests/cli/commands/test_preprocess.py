"""`sritool preprocess` as a user meets it: the table, stdin, exit codes and one-line errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from sritool.data.store import load_corpus

Invoke = Callable[..., Result]
TEXT = "".join(
    f"the {noun} {verb} number {n}\n"
    for noun in ("cart", "mule")
    for verb in ("waits", "turns")
    for n in range(9)
)


def names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def fails(result: Result, code: int, *parts: str) -> None:
    """One line on stderr with these parts, nothing on stdout, the exit code, and nothing written."""
    lines = result.stderr.splitlines()
    assert result.exit_code == code, result.stderr
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]
    assert result.stdout == ""
    assert not Path("data").exists()


def test_tiny_in_a_pipe_is_tab_separated(invoke: Invoke) -> None:
    result = invoke("preprocess", "tiny")
    assert result.exit_code == 0
    header, *rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert header == [
        "split",
        "sentences",
        "words",
        "predictions",
        "OOV share",
        "empty",
        "dropped",
        "truncated",
        "longest",
    ]
    assert [row[:2] for row in rows] == [["train", "12000"], ["valid", "1000"], ["test", "1000"]]
    assert all(int(row[3]) == int(row[1]) + int(row[2]) for row in rows)
    assert re.fullmatch(
        r"data/tiny written in \d+\.\d s: vocabulary \d{3} words; labels negative, positive; "
        r"train with: sritool train tiny\n",
        result.stderr,
    )
    assert "data/tiny was up to date" in invoke("preprocess", "tiny").stderr


def test_counts_agree_with_a_plain_count(invoke: Invoke) -> None:
    lines = ["a b c", "", "a b", "c " * 9, "a once", "  ", "a c", "b", "b a", "c b a", "zz\x1b zz"]
    Path("train.txt").write_text("\n".join(lines))
    Path("valid.txt").write_text("a new word\n")
    Path("test.txt").write_text("b\n\n")
    result = invoke(
        "preprocess", "train.txt", "valid.txt", "test.txt", "--name", "m", "--max-length", 5, "-f", "json"
    )
    rows = {row["split"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["train"] == {
        "split": "train", "sentences": 9, "words": 22, "predictions": 30, "OOV share": pytest.approx(1 / 22),
        "empty": 2, "dropped": 0, "truncated": 1, "longest": 9,
    }  # fmt: skip
    assert rows["valid"]["OOV share"] == pytest.approx(2 / 3)
    assert rows["test"]["empty"] == 1
    assert "lines whose control characters became spaces: 1" in result.stderr
    result = invoke(
        "preprocess", "train.txt", "--name", "d", "--max-length", 5, "--drop", "--min-count", 1, "-f", "json"
    )
    assert sum(json.loads(line)["dropped"] for line in result.stdout.splitlines()) == 1


def test_text_from_stdin(invoke: Invoke) -> None:
    result = invoke("preprocess", "-", "--name", "piped", stdin=TEXT)
    assert result.exit_code == 0
    info = load_corpus(Path("data/piped")).info
    assert (info.source, sum(split.sentences for split in info.splits.values())) == ("standard input", 36)
    Path("v.txt").write_text(TEXT)
    result = invoke("preprocess", "--train", "-", "--valid", "v.txt", "--name", "p2", stdin=TEXT)
    assert load_corpus(Path("data/p2")).info.splits["valid"].sentences == 36


def test_every_option_reaches_the_corpus(invoke: Invoke) -> None:
    Path("t.jsonl").write_text(
        "".join(
            json.dumps({"body": line.title() + ".", "kind": n % 2}) + "\n"
            for n, line in enumerate(TEXT.splitlines())
        )
    )
    words = "--train t.jsonl --test t.jsonl --valid-share 0.2 --name m --text-key body --label-key kind "
    words += (
        "--input-format jsonl --lowercase --split-punctuation --vocab-size 8 --min-count 3 --max-length 5 "
    )
    words += "--truncate --seed 4 --data-dir elsewhere --tokenizer word"
    result = invoke("preprocess", *words.split())
    assert result.exit_code == 0, result.stderr
    corpus = load_corpus(Path("elsewhere/m"))
    info = corpus.info
    assert (info.vocabulary, info.vocab_size, info.min_count, info.max_length) == (8, 8, 3, 5)
    assert (info.lowercase, info.split_punctuation, info.drop_long, info.labels) == (
        True,
        True,
        False,
        ("0", "1"),
    )
    assert [split.sentences for split in info.splits.values()] == [29, 7, 36]
    assert {split.truncated for split in info.splits.values()} == {29, 7, 36}
    assert "with seed 4" in info.notes[0]
    assert corpus.tokenizer.encode("the cart waits number")[:2] != [3, 3]


def test_ones_own_training_text_in_the_data_folder_survives(invoke: Invoke) -> None:
    Path("data/mine").mkdir(parents=True)
    Path("data/mine/train.txt").write_text(TEXT)
    result = invoke("preprocess", "data/mine/train.txt", "--name", "mine", "--force")
    assert result.exit_code == 2
    assert names("data/mine") == ["train.txt"]


@pytest.mark.slow
def test_a_killed_run_leaves_the_old_corpus_and_the_next_one_clears_up(
    invoke: Invoke, run_program: Callable[..., Any]
) -> None:
    Path("t.txt").write_text(TEXT)
    assert invoke("preprocess", "t.txt", "--name", "m").exit_code == 0
    before = load_corpus(Path("data/m")).info
    Path("t.txt").write_text(TEXT.replace("mule", "goat"))
    killed = run_program(
        "-c",
        "import os, signal, sys; from sritool.data import preprocess as task; write = task.write_corpus\n"
        "def killed(*args): write(*args); os.kill(os.getpid(), signal.SIGKILL)\n"
        "task.write_corpus = killed; sys.argv[1:] = 'preprocess t.txt --name m --force'.split()\n"
        "from sritool.cli.app import main; main()",
    )
    assert killed.returncode == -9
    assert load_corpus(Path("data/m")).info == before
    assert len(names("data")) == 2
    assert invoke("preprocess", "t.txt", "--name", "m", "--force").exit_code == 0
    assert names("data") == ["m"]


def test_ptb_as_published(invoke: Invoke, corpora: Path) -> None:
    result = invoke("preprocess", "ptb", "--from", corpora / "ptb", "-f", "json")
    rows = {row["split"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["test"]["predictions"] == 82_430
    assert "vocabulary 9,999 words" in result.stderr
