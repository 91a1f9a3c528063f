"""Built-in corpora from local files in each of their usual formats, on invented sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sritool.data.corpora import named
from sritool.data.corpora.named import NAMED, check_name, named_source
from sritool.data.sentences import CorpusText
from sritool.errors import DataError, UsageError


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def three(
    pattern: str, text: str, words: tuple[str, str, str] = ("train", "valid", "test")
) -> dict[str, str]:
    return {pattern.format(word): text.replace("SPLIT", word) for word in words}


def texts(raw: CorpusText) -> dict[str, list[str]]:
    return {name: list(part.texts) for name, part in raw.splits.items()}


PTB = (" a SPLIT <unk> \n b \n", [" a test <unk> ", " b "], None)
YAHOO = ("3\twhy SPLIT ?\n0\tbecause\n", ["why test ?", "because"], ["3", "0"])
YELP = ("1\tgood SPLIT\n0\tbad\n", ["good test", "bad"], ["positive", "negative"])


@pytest.mark.parametrize(
    ("name", "patterns", "text", "sentences", "labels"),
    [
        ("ptb", ("ptb.{}.txt", "{}.txt", "PTB.{}.TXT"), *PTB),
        ("yahoo", ("yahoo.{}.txt", "{}.txt", "{}.tsv"), *YAHOO),
        ("yahoo", ("{}.txt",), "why SPLIT ?\n", ["why test ?"], None),
        ("yelp", ("short_yelp.{}.txt", "yelp.{}.txt", "{}.tsv", "{}.txt"), *YELP),
    ],
)
def test_usual_files(  # used as they are: nothing is sampled or derived
    tmp_path: Path,
    name: str,
    patterns: tuple[str, ...],
    text: str,
    sentences: list[str],
    labels: list[str] | None,
) -> None:
    for number, pattern in enumerate(patterns):
        (tmp_path / str(number)).mkdir()
        raw = named_source(name, write(tmp_path / str(number), three(pattern, text))).read()
        assert (texts(raw)["test"], raw.splits["test"].labels) == (sentences, labels), pattern
        assert raw.source.startswith("local files ")
        assert raw.notes == ()


def test_files_named_after_the_corpus_come_first(tmp_path: Path) -> None:
    write(tmp_path, three("{}.txt", "other\n") | three("ptb.{}.txt", "right\n"))
    assert texts(named_source("ptb", tmp_path).read())["train"] == ["right"]


@pytest.mark.parametrize("form", ["jsonl", "txt"])
def test_snli_official_pairs(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "PAPER_SIZES", {"train": 3, "valid": 10, "test": 10})
    pairs = [
        ("A SPLIT dog runs.", "It's a SPLIT dog."),
        ("A SPLIT dog runs.", "Shared, in all."),
        ("A third SPLIT.", "4 SPLIT"),
    ]
    if form == "jsonl":
        text = (
            "\n".join(json.dumps({"gold_label": "-", "sentence1": a, "sentence2": b}) for a, b in pairs)
            + "\n"
        )
    else:
        text = "gold_label\tsentence1\tsentence2\n" + "".join(f"-\t{a}\t{b}\n" for a, b in pairs)
    write(tmp_path, three("snli_1.0_{}." + form, text, ("train", "dev", "test")))
    raw = named_source("snli", tmp_path).read()
    assert set(texts(raw)["test"]) == {
        "a test dog runs .",
        "it's a test dog .",
        "shared , in all .",
        "a third test .",
        "4 test",
    }
    assert set(texts(raw)["valid"]) == {"a dev dog runs .", "it's a dev dog .", "a third dev .", "4 dev"}
    assert len(texts(raw)["train"]) == 3
    assert not set(texts(raw)["train"]) & {*texts(raw)["valid"], *texts(raw)["test"]}
    assert raw.notes


def test_prepared_snli_sentences_stay_unchanged(tmp_path: Path) -> None:
    write(tmp_path, three("snli.{}.txt", "a SPLIT dog .\na SPLIT dog .\n"))
    assert texts(named_source("snli", tmp_path).read())["train"] == ["a train dog .", "a train dog ."]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("snli_1.0_{}.jsonl", '{"sentence1": "a"}\n', "line 1 is not an SNLI pair"),
        ("snli_1.0_{}.jsonl", "\n{\n", "line 2 is not an SNLI pair"),
        ("snli_1.0_{}.txt", "a\tb\nc\td\n", "line 2 is not an SNLI pair"),
        ("snli_1.0_{}.txt", "sentence1\tsentence2\na\n", "line 2 is not an SNLI pair"),
    ],
)
def test_damaged_snli(tmp_path: Path, name: str, text: str, message: str) -> None:
    write(tmp_path, three(name, text))
    with pytest.raises(DataError, match=message):
        named_source("snli", tmp_path).read()


def test_yahoo_csv_of_the_full_set(tmp_path: Path) -> None:
    rows = "".join(f'"{1 + n % 2}","Why {n}?","","It ""is""\\n so."\n' for n in range(40))
    write(tmp_path, {"train.csv": rows, "test.csv": '"1","When?","","Now."\n'})
    raw = named_source("yahoo", tmp_path).read()
    assert texts(raw)["test"] == ["When ? Now ."]
    assert sorted(map(len, texts(raw).values())) == [1, 4, 36]
    assert all(text.endswith('? It " is " so .') for text in texts(raw)["train"])


def test_yahoo_csv_with_a_header_is_refused(tmp_path: Path) -> None:
    rows = "".join(f'"{1 + n % 2}","Why {n}?","","So."\n' for n in range(40))
    write(tmp_path, {"train.csv": "topic,title,content,answer\n" + rows, "test.csv": rows})
    with pytest.raises(DataError, match=r"header.*remove its first line"):
        named_source("yahoo", tmp_path).read()


def test_yelp_with_one_file_per_sentiment(tmp_path: Path) -> None:
    files = three("sentiment.{}.1", "good SPLIT\nshared\n", ("train", "dev", "test"))
    files |= three("sentiment.{}.0", "bad SPLIT\n", ("train", "dev", "test"))
    raw = named_source("yelp", write(tmp_path, files)).read()
    assert texts(raw) == {
        "train": ["bad train", "good train"],
        "valid": ["bad dev", "good dev"],
        "test": ["bad test", "good test", "shared"],
    }
    assert raw.splits["train"].labels == ["negative", "positive"]


@pytest.mark.parametrize("name", [name for name in NAMED if name != "tiny"])
def test_missing_split_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"train.txt": "a\n", f"{name}.train.txt": "a\n"})
    with pytest.raises(DataError, match=f"has no valid and no test file of {name}; its usual files are "):
        named_source(name, tmp_path).read()


def test_tiny_takes_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave --from out"):
        named_source("tiny", tmp_path)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("ptbb", "did you mean ptb?"),
        ("Yelp", "did you mean yelp?"),
        ("tinny", "did you mean tiny?"),
        ("wikipedia", "known: tiny, ptb"),
    ],
)
def test_unknown_names_suggest_the_nearest(wrong: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", r"\?")):
        check_name(wrong)


def test_yelp_as_published(corpora: Path) -> None:
    raw = named_source("yelp", corpora / "yelp").read()
    assert [len(part.texts) for part in raw.splits.values()] == [100_000, 10_000, 10_000]
    labels = raw.splits["test"].labels or ()
    assert list(labels).count("positive") / len(labels) == pytest.approx(0.605, abs=0.001)
