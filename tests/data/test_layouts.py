"""Labelled text in the layouts of public corpora and common tools: read correctly, or refused with a reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from sritool.data.choose_source import Inputs, choose_source
from sritool.data.fields import FieldNames
from sritool.data.readers import read_sentences
from sritool.data.sentences import Sentences, in_memory
from sritool.data.sources import FileOptions
from sritool.errors import DataError, UsageError

TEXTS = [
    f"the {noun} was {word}" for noun in ("soup", "lamp", "train", "song") for word in ("good", "bad", "odd")
]
LABELS = ["1", "0", "0"] * 4
NAMES = {"0": "neg", "1": "pos"}
PAIRS = list(zip(LABELS, TEXTS, strict=True))


def lines(make: Callable[[str, str], str]) -> str:
    return "".join(make(label, text) + "\n" for label, text in PAIRS)


def table(rows: Sequence[Sequence[object]], separator: str = ",") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
    return file.getvalue()


READ = {
    "tab in .txt, label first": ("a.txt", lines(lambda label, text: f"{label}\t{text}")),
    "tab, no file extension": ("SMSCollection", lines(lambda label, text: f"{label}\t{text}")),
    "tab in .txt, label last": ("a.txt", lines(lambda label, text: f"{text}\t{label}")),
    "semicolon in .txt": ("a.txt", lines(lambda label, text: f"{text};{label}")),
    "digit first": ("a.txt", lines(lambda label, text: f"{label} {text}")),
    "fastText": ("a.txt", lines(lambda label, text: f"__label__{label} {text}")),
    "tsv, label first": ("a.tsv", lines(lambda label, text: f"{label}\t{text}")),
    "tsv, label last": ("a.tsv", lines(lambda label, text: f"{text}\t{label}")),
    "tsv, header": ("a.tsv", "sentence\tlabel\n" + lines(lambda label, text: f"{text}\t{label}")),
    "csv, label first": ("a.csv", table(PAIRS)),
    "csv, label last": ("a.csv", table([(text, label) for label, text in PAIRS])),
    "csv, header in capitals": ("a.csv", table([("Sentiment", "Text"), *PAIRS])),
    "csv, other names": ("a.csv", table([("v1", "v2"), *PAIRS])),
    "csv, empty columns": ("a.csv", table([("v1", "v2", "", ""), *((*pair, "", "") for pair in PAIRS)])),
    "csv of a data frame": ("a.csv", table([("", "text", "label"), *((n, t, x) for n, (x, t) in enumerate(PAIRS))])),
    "csv, label called stars": ("a.csv", table([("stars", "text"), *PAIRS])),
    "csv, semicolons": ("a.csv", table([("label", "text"), *PAIRS], ";")),
    "csv, blank lines first": ("a.csv", "\n  \n" + table([("label", "text"), *PAIRS])),
    "tsv, blank lines first": ("a.tsv", "\n\n" + table([("label", "text"), *PAIRS], "\t")),
    "csv, column name of two words": (
        "a.csv",
        table([("Unnamed: 0", "text", "label"), *((n, t, x) for n, (x, t) in enumerate(PAIRS))]),
    ),
    "jsonl": ("a.jsonl", lines(lambda label, text: json.dumps({"text": text, "label": int(label)}))),
    "json array": ("a.json", json.dumps([{"text": text, "label": label} for label, text in PAIRS])),
    "json of columns": ("a.json", json.dumps({"text": dict(enumerate(TEXTS)), "label": dict(enumerate(LABELS))})),
    "json of lists": ("a.json", json.dumps({"text": TEXTS, "label": LABELS})),
}  # fmt: skip


def read(*paths: Path, names: FieldNames | None = None, folder: Path | None = None) -> tuple[Sentences, str]:
    inputs = Inputs([str(path) for path in paths], folder=folder, name="mine")
    text = choose_source(inputs, FileOptions(names=names or FieldNames()))[1].read()
    part = text.splits["train"]
    found = in_memory(part.chunks())
    return found, "; ".join(part.notes)


@pytest.mark.parametrize("layout", READ)
def test_label_and_text_are_recognised(tmp_path: Path, layout: str) -> None:
    name, content = READ[layout]
    path = tmp_path / name
    path.write_text(content)
    found, notes = read(path)
    assert (found.texts, found.labels) == (TEXTS, LABELS)
    assert "label" in notes


def test_labels_of_trec_may_have_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(lines(lambda label, text: f"ENTY:x{label} {text}"))
    assert read(path)[0] == Sentences(TEXTS, [f"ENTY:x{label}" for label in LABELS])


@pytest.mark.parametrize("layout", ["tab in .txt, label first", "digit first", "fastText"])
def test_plain_text_labels_can_be_kept_as_text(tmp_path: Path, layout: str) -> None:
    name, content = READ[layout]
    (tmp_path / name).write_text(content)
    found, _ = read(tmp_path / name, names=FieldNames(labels=False))
    assert (found.texts, found.labels) == (content.splitlines(), None)


def test_line_without_the_mark_of_the_others_is_reported(tmp_path: Path) -> None:
    content = READ["fastText"][1].splitlines()
    (tmp_path / "a.txt").write_text("\n".join([*content, "no mark here"]))
    found, notes = read(tmp_path / "a.txt")
    assert found.labels is None
    assert notes.startswith("warning: 12 of 13 lines")
    assert "line 13 does not" in notes
    (tmp_path / "a.txt").write_text("\n".join([*content, *TEXTS]))
    assert "warning" not in read(tmp_path / "a.txt")[1]


def test_title_and_text_after_a_label_are_joined(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(table([(label, "a few words", text) for label, text in PAIRS]))
    found, _ = read(tmp_path / "a.csv")
    assert (found.texts, found.labels) == ([f"a few words {text}" for text in TEXTS], LABELS)


AMBIGUOUS = {
    "two columns of few values": [(source, label, "", text) for label, text in PAIRS for source in ("gj", "ks")],
    "ids and users": [(label, n, "NO_QUERY", "someone", text) for n, (label, text) in enumerate(PAIRS)],
    "an id beside the text": [(n, text, label) for n, (label, text) in enumerate(PAIRS)],
    "translations": [(text, text.upper()) for text in TEXTS],
}  # fmt: skip


@pytest.mark.parametrize("layout", AMBIGUOUS)
def test_ambiguous_table_needs_named_columns(tmp_path: Path, layout: str) -> None:
    rows = AMBIGUOUS[layout]
    path = tmp_path / "a.csv"
    path.write_text(table(rows))
    with pytest.raises(DataError, match=r"--text-column N, and --label-column N or --no-labels"):
        read(path)
    last = str(len(rows[0]))
    found, _ = read(path, names=FieldNames(text=last, label="1"))
    assert found.texts == [str(row[-1]) for row in rows]
    assert found.labels == [str(row[0]) for row in rows]
    assert read(path, names=FieldNames(text=last, labels=False))[0].labels is None


def test_columns_by_name_or_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table([("Stars", "Words", "text"), *((label, text, "x") for label, text in PAIRS)]))
    for names in (FieldNames("Words", "Stars"), FieldNames("words", "stars"), FieldNames("2", "1")):
        assert read(path, names=names)[0] == Sentences(TEXTS, LABELS)
    for missing, message in (("mood", "has no column 'mood'"), ("4", "has 3 columns, no column 4")):
        for names in (FieldNames(label=missing), FieldNames(text=missing)):
            with pytest.raises(DataError, match=message):
                read(path, names=names)


def test_columns_that_are_not_read_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [(n, label, n % 3, text) for n, (label, text) in enumerate(PAIRS)]
    path.write_text(table([("review_id", "stars", "month", "text"), *rows]))
    notes = read(path)[1]
    assert "no labels (stars and month could be: --label-column)" in notes
    assert "not read: review_id, stars, month" in notes


def test_a_first_row_that_may_name_the_only_column_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table([("lyrics",), *((text,) for text in TEXTS)]))
    found, notes = read(path)
    assert found.texts == ["lyrics", *TEXTS]
    assert "first row, lyrics, is read as text (if it names the column: --text-column lyrics)" in notes
    assert read(path, names=FieldNames("lyrics"))[0].texts == TEXTS
    path.write_text(table([("lyrics",), ("yes",), *((text,) for text in TEXTS)]))
    assert "first row" not in read(path)[1]


def test_named_columns_make_the_first_row_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table([("What was it", "how was it?"), *((text, label) for label, text in PAIRS)]))
    assert read(path, names=FieldNames("what was it", "how was it?"))[0] == Sentences(TEXTS, LABELS)


def test_semicolons_separate_cells_with_commas(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.csv", [f"{text}, so they say" for text in TEXTS]
    pairs = zip(LABELS, texts, strict=True)
    path.write_text("label;text\n" + "".join(f"{label};{text}\n" for label, text in pairs))
    assert read(path)[0] == Sentences(texts, LABELS)


def test_semicolons_are_found_although_a_cell_has_a_line_end(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.csv", ["two, or\nmore lines", *TEXTS[1:]]
    path.write_text(table([("label", "text"), *zip(LABELS, texts, strict=True)], ";"))
    found, _ = read(path)
    assert (found.labels, found.texts[1:]) == (LABELS, TEXTS[1:])
    assert found.texts[0].split() == ["two,", "or", "more", "lines"]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_separator_inside_a_text_at_the_end_of_its_row_is_kept(tmp_path: Path, separator: str) -> None:
    path = tmp_path / ("a.csv" if separator == "," else "a.tsv")
    long = f"the film was long{separator} dull and silly"
    path.write_text(f"1{separator}{long}\n" + lines(lambda label, text: f"{label}{separator}{text}"))
    for names in (FieldNames(), FieldNames("2", "1")):
        assert read(path, names=names)[0] == Sentences([long, *TEXTS], ["1", *LABELS])


@pytest.mark.parametrize("separator", [",", "\t"])
def test_separator_inside_a_text_before_its_label_is_refused(tmp_path: Path, separator: str) -> None:
    path = tmp_path / ("a.csv" if separator == "," else "a.tsv")
    rows = lines(lambda label, text: f"{text}{separator}{label}")
    path.write_text(rows + f"a nice{separator} short film{separator}1\n")
    with pytest.raises(DataError, match=r" 13 has 3 columns, the others 2; .*quotes"):
        read(path)


def test_empty_sentence_with_a_mark_keeps_the_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("__label__1 \n" + lines(lambda label, text: f"__label__{label} {text}"))
    assert read(path)[0] == Sentences(["", *TEXTS], ["1", *LABELS])
    path.write_text("__label__1 the soup\n__label__0 the lamp\n")
    assert read(path)[0] == Sentences(["the soup", "the lamp"], ["1", "0"])


def test_name_that_is_not_utf8_is_noted_in_a_form_that_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    try:
        path.write_text("a b\nc d\n")
    except OSError:
        pytest.skip("this file system takes no such names")
    text = choose_source(Inputs([str(path)], folder=None, name="mine"), FileOptions())[1].read()
    assert text.source == "caf\ufffd.txt"


def test_packed_file_beside_its_unpacked_self_is_refused(tmp_path: Path) -> None:
    for name in ("train.txt", "valid.txt"):
        (tmp_path / name).write_text("a b\n")
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"a b\n"))
    with pytest.raises(UsageError, match=r"train\.txt and .*train\.txt\.gz seem to be the same text"):
        choose_source(Inputs([str(tmp_path)], folder=None, name="mine"), FileOptions())


def test_missing_label_does_not_matter_where_labels_are_not_used(tmp_path: Path) -> None:
    unused = FieldNames(by_option=False, needs_labels=False)
    for name, content in (
        ("a.csv", "text,label\na b,1\nc d,\n"),
        ("a.jsonl", '{"text": "a b", "label": 1}\n{"text": "c d"}\n'),
    ):
        (tmp_path / name).write_text(content)
        assert read_sentences(tmp_path / name, names=unused).texts == ["a b", "c d"]
        with pytest.raises(DataError, match="label"):
            read_sentences(tmp_path / name, names=FieldNames())


def test_first_object_without_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rest = [{"text": text, "label": label} for label, text in PAIRS]
    path.write_text("".join(json.dumps(record) + "\n" for record in [{"text": "a b"}, *rest]))
    with pytest.raises(DataError, match=r"a\.jsonl line 1 has no label"):
        read(path)
    assert read(path, names=FieldNames(labels=False))[0].texts == ["a b", *TEXTS]


def test_plain_text_is_not_mistaken_for_labelled(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content in (
        "1 dog\n2 dogs\nno dog\n",
        "a b\tc d\ne f\tg h\ni j\tk l\nm n\to p\n",
        "2 x\n2 y\n2 z\n2 v\n",
        "Q:Is it ?\nA:Yes .\n" * 4,
        "GEN:1 a b\nGEN:2 c d\n" * 4,
        '{"text": "a b"}\n{a c}\n' * 4,
        "a text, a label\n" * 4,
    ):
        path.write_text(content)
        assert read(path)[0] == Sentences(content.splitlines())


@pytest.mark.parametrize(
    "names",
    [
        ("rt-polarity.neg", "rt-polarity.pos"),
        ("sentiment.train.0", "sentiment.train.1"),
        ("train_negative.txt", "train_positive.txt"),
    ],
)
def test_one_file_per_label(tmp_path: Path, names: tuple[str, str]) -> None:
    for path, label in zip(names, "01", strict=True):
        (tmp_path / path).write_text("\n".join(text for own, text in PAIRS if own == label))
    found, notes = read(*(tmp_path / name for name in names))
    assert len(found.texts) == len(TEXTS)
    assert len(set(found.labels or ())) == 2
    assert "label: the file" in notes
    assert read(folder=tmp_path)[0] == found


def test_numbered_parts_are_not_labels(tmp_path: Path) -> None:
    paths = [tmp_path / f"train-{part}.txt" for part in "01"]
    for path in paths:
        path.write_text("a b\n")
    assert read(*paths)[0].labels is None


def folders(root: Path, prefixes: Sequence[str]) -> Mapping[str, int]:
    for prefix in prefixes:
        for number, (label, text) in enumerate(PAIRS):
            folder = root / prefix / NAMES[label]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:02}.txt").write_text(f"{text}<br /><br />Truly\nso.\n")
    return {"neg": 8, "pos": 4}


@pytest.mark.parametrize("prefixes", [("",), ("train", "test")])
def test_folder_per_label_and_file_per_text(tmp_path: Path, prefixes: tuple[str, ...]) -> None:
    counts = folders(tmp_path, prefixes)
    found, notes = read(folder=tmp_path)
    assert {label: (found.labels or []).count(label) for label in counts} == counts
    assert found.texts[0].split() == [*TEXTS[1].split(), "Truly", "so."]
    assert "label: the folder (neg, pos)" in notes
    assert read(folder=tmp_path, names=FieldNames(labels=False))[0].labels is None


def test_folders_of_files_of_lines_are_no_labels(tmp_path: Path) -> None:
    for year in range(2000, 2004):
        (tmp_path / str(year)).mkdir()
        (tmp_path / str(year) / "m.txt").write_text("a b\nc d\ne f\n")
    with pytest.raises(UsageError, match="4 folders of labels with 4 files"):
        read(folder=tmp_path)
    found = read(folder=tmp_path, names=FieldNames(labels=False))[0]
    assert found == Sentences(["a b", "c d", "e f"] * 4)


def test_empty_and_binary_files_in_label_folders(tmp_path: Path) -> None:
    folders(tmp_path, ("train",))
    (tmp_path / "train" / "pos" / "98.txt").write_bytes(b"")
    (tmp_path / "train" / "pos" / "99.txt").write_bytes(b"\xef\xbb\xbf \n")
    found, _ = read(folder=tmp_path)
    assert [text for text in found.texts if not text.split()] == ["", ""]
    assert (found.labels or []).count("pos") == 6
    for content in (b"caf\xe9", b"\0\0\0"):
        (tmp_path / "train" / "pos" / "99.txt").write_bytes(content)
        with pytest.raises(DataError, match=r"99\.txt"):
            read(folder=tmp_path)


def test_label_files_and_split_files_do_not_mix(tmp_path: Path) -> None:
    for name in ("train.pos", "train.neg", "train.txt"):
        (tmp_path / name).write_text("a b\n")
    with pytest.raises(UsageError, match="are both train"):
        read(folder=tmp_path)


def test_escaped_line_ends_and_quotes_are_cleaned(tmp_path: Path) -> None:
    rows = [("label", "text"), *((label, rf"{text}\nand \"so\"<br />on") for label, text in PAIRS)]
    (tmp_path / "a.csv").write_text(table(rows))
    found, notes = read(tmp_path / "a.csv")
    assert found.texts[0].split() == [*TEXTS[0].split(), "and", '"so"', "on"]
    assert f": {len(TEXTS)}" in notes


@pytest.mark.parametrize("form", ["txt", "jsonl", "parquet"])
def test_backslashes_stay_in_other_formats(tmp_path: Path, form: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, text = tmp_path / f"a.{form}", r'where \nabla f \neq "\n"<br>y'
    if form == "parquet":
        pq.write_table(pa.table({"text": [text] * 3}), path)
    else:
        path.write_text((text if form == "txt" else json.dumps({"text": text})) + "\n")
    found, notes = read(path)
    assert found.texts[0].split() == ["where", r"\nabla", "f", r"\neq", r'"\n"', "y"]
    assert "<br /> became a space" in notes
