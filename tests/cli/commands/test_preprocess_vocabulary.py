"""`sritool preprocess` with an existing vocabulary: --like and --vocab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sritool.data.store import load_corpus
from sritool.runs.checkpoint import load_checkpoint
from support.tables import Run, json_rows, output

SPLITS = ["--train", "lines.txt", "--valid", "lines.txt", "--test", "lines.txt"]
LINES = ["the otter finds a kettle", "a zeppelin and the mason", "noon and noon"] * 8


def prepare(run: Run, *args: object, name: str = "alike") -> str:
    Path("lines.txt").write_text("".join(f"{line}\n" for line in LINES))
    return output(run("preprocess", *SPLITS, "--name", name, *args))


@pytest.mark.parametrize("like", ["mine", "data/mine", "mine-sri", "runs/mine-sri/best.pt"])
def test_like_takes_the_vocabulary_of_a_corpus_or_run(run: Run, like: str) -> None:
    prepare(run, "--like", like)
    other, mine = load_corpus(Path("data/alike")), load_corpus(Path("data/mine"))
    assert other.tokenizer.state() == mine.tokenizer.state()
    assert other.tokenizer.state() == load_checkpoint(Path("runs/mine-sri/best.pt")).tokenizer.state()
    assert (other.info.max_length, other.info.lowercase) == (mine.info.max_length, mine.info.lowercase)
    split = other.split("train")
    assert {other.tokenizer.decode(split.targets(i).tolist()) for i in range(len(split))} == {
        mine.tokenizer.decode(mine.tokenizer.encode(line)) for line in LINES
    }
    assert other.info.splits["train"].oov_share > 0


def test_like_finds_a_run_in_the_runs_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs").rename("elsewhere")
    monkeypatch.setenv("SRITOOL_RUNS_DIR", "elsewhere")
    prepare(run, "--like", "mine-sri")
    same = load_checkpoint(Path("elsewhere/mine-sri/best.pt")).tokenizer.state()
    assert load_corpus(Path("data/alike")).tokenizer.state() == same


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["--chunk", 3], ["--drop"]),
        (["--max-length", 3, "--drop"], ["--chunk", 3]),
        (["--chunk", 3], ["--truncate"]),
    ],
)
def test_like_cuts_long_lines_in_the_same_way(run: Run, first: list[object], second: list[object]) -> None:
    def cut(name: str) -> tuple[int, bool, bool]:
        info = load_corpus(Path("data") / name).info
        return info.max_length, info.chunk, info.drop_long

    prepare(run, *first, name="first")
    prepare(run, "--like", "first")
    assert cut("alike") == cut("first") == (3, "--chunk" in first, "--drop" in first)
    prepare(run, "--like", "first", *second, name="another")
    assert cut("another") == (3, "--chunk" in second, "--drop" in second)


def test_like_takes_the_subwords_of_a_corpus(run: Run) -> None:
    prepare(run, "--tokenizer", "bpe", "--vocab-size", 40, name="pieces")
    prepare(run, "--like", "pieces", "--max-length", 9)
    one, other = (load_corpus(Path("data") / name) for name in ("pieces", "alike"))
    assert other.tokenizer.state() == one.tokenizer.state()
    assert (other.info.tokenizer, other.info.max_length) == ("bpe", 9)


def test_vocab_takes_the_words_of_a_file(run: Run) -> None:
    Path("words.txt").write_text("<unk> 9\nnoon 4\n\nthe\t3\n</s>\n")
    prepare(run, "--vocab", "words.txt")
    corpus = load_corpus(Path("data/alike"))
    assert corpus.tokenizer.state()["words"][4:] == ["noon", "the"]
    assert corpus.info.vocabulary == 3  # <unk> too
    assert np.bincount(corpus.split("train").ids)[3] == corpus.info.splits["train"].oov


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("otter\n", "take one from similar text, or none, to learn it from train"),
        ("the\nnoon\nand\nA\nOTTER\nzeppelin\nmason\n", "known in lower case: give --lowercase"),
    ],
)
def test_advice_on_unknown_words_of_a_given_vocabulary(run: Run, words: str, advice: str) -> None:
    Path("lines.txt").write_text("".join(f"{line.upper()}\n" for line in LINES))
    Path("words.txt").write_text(words)
    said = run("preprocess", *SPLITS, "--name", "alike", "--vocab", "words.txt").stderr
    warning = next(line for line in said.splitlines() if "unknown to the vocabulary" in line)
    assert warning.endswith(advice)


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ("--like mine --vocab words.txt", 2, "leave one of them out"),
        ("--like mine --min-count 3", 2, "--like uses a vocabulary as it is; leave --min-count out"),
        ("--vocab words.txt --vocab-size 9", 2, "leave --vocab-size out"),
        ("--like nowhere", 3, "--like nowhere is not a prepared corpus"),
        ("--vocab phrases.txt", 3, "phrases.txt line 3 has more than one word"),
        ("--vocab counts.txt", 3, "counts.txt line 2 has more than one word"),
        ("--vocab words.txt", 3, "has the word 'a' more than once"),
        ("--vocab empty.txt", 3, "empty.txt has no word"),
        ("--vocab long.txt", 3, "long.txt has a word with control characters, or of more than 200"),
        ("--vocab escape.txt", 3, "escape.txt has a word with control characters"),
    ],
)
def test_vocabulary_options_that_are_refused(run: Run, given: str, code: int, message: str) -> None:
    Path("lines.txt").write_text("".join(f"{line}\n" for line in LINES))
    Path("words.txt").write_text("a\na\n")
    Path("phrases.txt").write_text("cat 3\n\nice cream\n")
    Path("counts.txt").write_text("cat\t-3.5e-2\nice 3 4\n")
    Path("empty.txt").write_text("<unk>\n")
    Path("long.txt").write_text("a\n" + "b" * 201 + "\n")
    Path("escape.txt").write_text("a\n\x1b[31m\n")
    result = run("preprocess", *SPLITS, "--name", "alike", *given.split())
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
    assert not Path("data/alike").exists()


def test_text_and_prepared_corpus_count_alike(run: Run) -> None:
    """A text has as many predictions in `evaluate --text` as in a corpus prepared with --like."""
    prepare(run, "--like", "mine-lm")
    corpus = load_corpus(Path("data/alike"))
    measured = json_rows(run("evaluate", "mine-lm", "--text", "lines.txt", "--format", "json", "-q"))
    total = corpus.info.splits["test"].predictions
    assert next(row["predictions"] for row in measured if row["metric"] == "ppl") == total
