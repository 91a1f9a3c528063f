"""`sritool preprocess`: the table against a plain count, sources, every option, warnings and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sritool.data.store import load_corpus
from support.tables import Run, json_rows, output

ROUNDS = [(noun, verb, n) for noun in ("cart", "mule") for verb in ("waits", "turns") for n in range(9)]
TEXT = "".join(f"the {noun} {verb} number {n}\n" for noun, verb, n in ROUNDS)


def test_piped_table_of_tiny(invoke: Run) -> None:
    result = invoke("preprocess", "tiny")
    header, *table = [line.split("\t") for line in output(result).splitlines()]
    assert ",".join(header) == "split,sentences,words,predictions,OOV share,empty,dropped,truncated,longest"
    assert [row[:2] for row in table] == [["train", "12000"], ["valid", "1000"], ["test", "1000"]]
    assert all(int(row[3]) == int(row[1]) + int(row[2]) for row in table)
    for part in ("data/tiny written in ", " words; labels negative, positive; ", "sritool train tiny\n"):
        assert part in result.stderr
    assert "data/tiny was up to date" in invoke("preprocess", "tiny").stderr


def test_counts_agree_with_a_plain_count(invoke: Run) -> None:
    lines = ["a b c", "", "a b", "c " * 9, "a once", "  ", "a c", "b", "b a", "c b a", "zz\x1b zz"]
    Path("train.txt").write_text("\n".join(lines))
    Path("valid.txt").write_text("a new word\n")
    Path("test.txt").write_text("b\n\n")
    five = ["--max-length", 5, "-f", "json"]
    result = invoke("preprocess", "train.txt", "valid.txt", "test.txt", "--name", "m", *five)
    train, valid, test = json_rows(result)
    assert train == {
        "split": "train", "sentences": 9, "words": 22, "predictions": 30, "OOV share": pytest.approx(1 / 22),
        "empty": 2, "dropped": 0, "truncated": 1, "longest": 9,
    }  # fmt: skip
    assert (valid["OOV share"], test["empty"]) == (pytest.approx(2 / 3), 1)
    assert "warning: 4 of 30 words left out, in 1 line of more than 5; --chunk N" in result.stderr
    assert "lines whose control characters became spaces: 1" in result.stderr
    result = invoke("preprocess", "train.txt", "--name", "d", "--drop", "--min-count", 1, *five)
    assert sum(row["dropped"] for row in json_rows(result)) == 1
    assert "warning: 9 of 26 words left out" in result.stderr


def test_text_from_stdin(invoke: Run) -> None:
    result = invoke("preprocess", "-", "--name", "piped", stdin=TEXT)
    assert result.exit_code == 0
    info = load_corpus(Path("data/piped")).info
    assert (info.source, sum(split.sentences for split in info.splits.values())) == ("standard input", 36)
    Path("v.txt").write_text(TEXT)
    result = invoke("preprocess", "--train", "-", "--valid", "v.txt", "--name", "p2", stdin=TEXT)
    assert load_corpus(Path("data/p2")).info.splits["valid"].sentences == 36


@pytest.mark.parametrize(("form", "words"), [("jsonl", 5), ("text", 6)])
def test_format_of_stdin_is_given(invoke: Run, form: str, words: int) -> None:
    records = "".join(json.dumps({"text": line}) + "\n" for line in TEXT.splitlines())
    given = ["--name", "m", "--input-format", form, "-f", "json"]
    train = json_rows(invoke("preprocess", "-", *given, stdin=records))[0]
    assert train["words"] == words * train["sentences"]


def test_files_of_a_repeated_option_are_joined(invoke: Run) -> None:
    for name in ("a", "b", "v", "w"):
        Path(f"{name}.txt").write_text(TEXT)
    files = "--train a.txt --train b.txt --valid v.txt --valid w.txt --test v.txt --test=w.txt"
    output(invoke("preprocess", *files.split(), "--name", "joined"))
    splits = load_corpus(Path("data/joined")).info.splits
    assert {split.sentences for split in splits.values()} == {72}


def test_frequent_words_and_a_sentence_are_shown(invoke: Run) -> None:
    Path("t.txt").write_text(TEXT)
    shown = invoke("preprocess", "t.txt", "--name", "shown", "--lowercase").stderr
    frequent = next(line for line in shown.splitlines() if line.startswith("most frequent: ")).split()[2:]
    assert (len(frequent), set(frequent[:2])) == (10, {"the", "number"})
    assert shown.splitlines()[-1].strip() in TEXT
    again = invoke("preprocess", "t.txt", "--name", "shown", "--lowercase")
    assert "most frequent" in again.stderr


def clauses(count: int) -> str:
    """Return clauses of Chinese characters without a space, no two alike."""
    signs = "天地玄黃宇宙洪荒日月盈昃辰宿列張"
    return "".join(f"{''.join(signs[(n * k + k) % 16] for k in range(1, 14))}{n}。\n" for n in range(count))


def test_text_without_spaces_suggests_subwords(invoke: Run) -> None:
    Path("zh.txt").write_text(clauses(200), encoding="utf-8")
    refused = invoke("preprocess", "zh.txt", "--name", "zh")
    assert refused.exit_code == 3
    assert "without spaces between words; cut it into pieces: --tokenizer unigram" in refused.stderr
    warned = invoke("preprocess", "zh.txt", "--name", "zh", "--min-count", 1).stderr
    assert "without spaces between words" in warned
    assert "unknown to the vocabulary: 100% of valid, 100% of test" in warned
    pieces = invoke("preprocess", "zh.txt", "--name", "zhp", "--tokenizer", "unigram", "--vocab-size", 60)
    assert (pieces.exit_code, "warning" in pieces.stderr) == (0, False)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_too_small_vocabulary_names_the_least_size(invoke: Run, kind: str) -> None:
    Path("zh.txt").write_text(clauses(200), encoding="utf-8")
    few = ("preprocess", "zh.txt", "--name", "zh", "--tokenizer", kind, "--vocab-size")
    refused = invoke(*few, 10)
    assert refused.exit_code == 3
    assert "character_coverage" not in refused.stderr
    least = refused.stderr.partition("--vocab-size ")[2].split()[0]
    assert invoke(*few, least).exit_code == 0


def test_every_option_reaches_the_corpus(invoke: Run) -> None:
    lines = [{"body": line.title() + ".", "kind": n % 2} for n, line in enumerate(TEXT.splitlines())]
    Path("t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = (
        "--train t.jsonl --test t.jsonl --valid-share 0.2 --name m --text-key body --label-key kind "
        "--input-format jsonl --lowercase --split-punctuation --vocab-size 8 --min-count 3 --max-length 5 "
        "--truncate --seed 4 --data-dir elsewhere --tokenizer word"
    )
    output(invoke("preprocess", *words.split()))
    corpus = load_corpus(Path("elsewhere/m"))
    info = corpus.info
    assert (info.vocabulary, info.vocab_size, info.min_count, info.max_length) == (8, 8, 3, 5)
    assert (info.lowercase, info.split_punctuation, info.drop_long) == (True, True, False)
    assert info.labels == ("0", "1")
    assert [split.sentences for split in info.splits.values()] == [29, 7, 36]
    assert {split.truncated for split in info.splits.values()} == {29, 7, 36}
    assert "with seed 4" in info.notes[0]
    assert corpus.tokenizer.encode("the cart waits number")[:2] != [3, 3]
