"""Reading text, TSV, CSV, JSONL and Parquet: what is read, and a clear error for what cannot be."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sritool.data import readers
from sritool.data.blocks import text_blocks
from sritool.data.fields import FieldNames
from sritool.data.file_names import form_of
from sritool.data.readers import read_files, read_sentences
from sritool.data.sentences import Sentences, in_memory
from sritool.errors import DataError, UsageError


def parse(data: bytes, where: str, form: str = "text", names: FieldNames | None = None) -> Sentences:
    return in_memory(readers.parse([data], where, form, names or FieldNames()))


def decode(data: bytes, where: str) -> str:
    return b"".join(text_blocks([data], where)).decode()


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\0")), min_size=1))
def test_only_a_newline_ends_a_line(lines: list[str]) -> None:
    lines = ["first", *lines, "last"]
    assert parse("\n".join(lines).encode(), "x").texts == lines
    assert parse(("\n".join(lines) + "\n").encode(), "x").texts == lines


def test_other_separators_split_words_not_lines() -> None:
    texts = parse("one\u2028two\x85three\vfour\r\nnext\r\n".encode(), "x").texts
    assert [text.split() for text in texts] == [["one", "two", "three", "four"], ["next"]]


def test_byte_order_mark_is_removed() -> None:
    assert parse(b"\xef\xbb\xbfa b\n", "x").texts == ["a b"]


def test_tar_archive_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a b\n")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    with pytest.raises(DataError, match="is a tar archive, not text; unpack it: tar xf"):
        read_sentences(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x is empty"),
        (b" \n\r\n \n", "x is empty"),
        (b"good\nbad \xe9 byte\n", r"x is not UTF-8: line 2, byte 5 \(0xe9\); convert it.*iconv"),
        (b"\xef\xbb\xbfgood\n\xff\n", r"line 2, byte 1 \(0xff\)"),
        (b"\xef\xbb\xbf\xff", r"line 1, byte 4 \(0xff\)"),
        ("a b\n".encode("utf-16"), "x is UTF-16.*iconv"),
        (b"one\ntwo \0 three", "x line 2 has a NUL byte"),
    ],
)
def test_invalid_bytes(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(data, "x")


def test_labelled_rows() -> None:
    part = parse(b"good\tnice\tday\r\n\nbad\train\n", "x", "tsv")
    assert part.texts == ["nice\tday", "", "rain"]
    assert part.labels == ["good", "", "bad"]


@pytest.mark.parametrize("form", ["tsv", "csv"])
def test_header_allows_columns_in_any_order(form: str) -> None:
    separator = "\t" if form == "tsv" else ","
    rows = [["id", "sentence", "label"], ["1", "a b", "x"], ["2", "c", "y"]]
    data = "\n".join(separator.join(row) for row in rows).encode()
    part = parse(data, "x", form)
    assert (part.texts, part.labels) == (["a b", "c"], ["x", "y"])
    part = parse(data, "x", form, FieldNames(text="id", label="sentence"))
    assert (part.texts, part.labels) == (["1", "2"], ["a b", "c"])
    with pytest.raises(DataError, match="has no column 'mood'; it has id, sentence, label"):
        parse(data, "x", form, FieldNames(label="mood"))


def test_header_without_label() -> None:
    part = parse(b"id,text\n1,a b\n", "x", "csv")
    assert (part.texts, part.labels) == (["a b"], None)


def test_first_row_that_looks_like_a_header() -> None:
    part = parse(b"text\tI like it\nother\tso do I\n", "x", "tsv")
    assert part.labels == ["text", "other"]


def test_csv_quotes_newlines_and_several_text_columns() -> None:
    part = parse(b'"3","a ""title""","two\nlines, here"\n\n"1","b",""\n', "x", "csv")
    assert part.texts == ['a "title" two\nlines, here', "", "b "]
    assert part.labels == ["3", "", "1"]


def test_csv_cells_of_a_megabyte() -> None:
    assert len(parse(b"x," + b"a " * 500_000, "x", "csv").texts[0]) == 1_000_000


@pytest.mark.parametrize(
    ("data", "form", "message"),
    [
        (b"a\tb\nno tab\n", "tsv", "x line 2 has no label; a row is label<TAB>text"),
        (b"a\tb\n\tno label\n", "tsv", "x line 2 has no label"),
        (b"label\ttext\na\tb\n\tc\n", "tsv", "x line 3 has no label"),
        (b"label\ttext\na\n", "tsv", "x line 2 has 1 columns, its header 2; fix it"),
        (b"label\ttext\na\tb\tc\n", "tsv", "x line 2 has 3 columns, its header 2; put quotes around"),
        (b"a,b\nalone\n", "csv", "x row 2 has no label"),
        (
            b"mood,text\n" + b"glad,a b c\nsad,c d e\n" * 6 + b",e f g\n",
            "csv",
            "x row 14 has no label; column 'mood' is empty there",
        ),
        (b'a,"b', "csv", "x is not CSV"),
        (b'{"text": "a"}\n{"text": \n', "jsonl", "x line 2 is not JSON"),
        (b"[" * 100_000, "jsonl", "x line 1 is not JSON"),
        (b'["a"]', "jsonl", "x record 1 is not a JSON object"),
        (b'[{"text": "a"},\n{]', "jsonl", "x line 2 is not JSON"),
        (
            b'{"title": "a"}',
            "jsonl",
            r"x line 1 has no text among its keys \(title\); name it: --text-column",
        ),
        (b'{"text": "a"}\n\n{"txt": "b"}', "jsonl", "x line 3 has no string under 'text'"),
        (b'{"text": 1}', "jsonl", "x line 1 has no string under 'text'"),
        (b'{"text": "\\ud800"}', "jsonl", "x line 1 has half a character"),
        (b'{"text": "a", "label": 1}\n{"text": "b"}', "jsonl", "x line 2 has no label"),
        (b'{"text": "a", "label": null}', "jsonl", "x line 1 has no label"),
    ],
)
def test_invalid_rows_are_named(data: bytes, form: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(data, "x", form)


def test_jsonl_with_default_and_given_keys() -> None:
    data = b'{"label": 1, "sentence": "a\\nb", "id": "c"}\n\n{"label": true, "sentence": "", "id": "d"}\n'
    part = parse(data, "x", "jsonl")
    assert (part.texts, part.labels) == (["a\nb", "", ""], ["1", "", "True"])
    part = parse(data, "x", "jsonl", FieldNames(text="id"))
    assert part.texts == ["c", "", "d"]
    assert parse(b'{"text": "a"}', "x", "jsonl").labels is None


def test_format_follows_the_extension_unless_given() -> None:
    endings = {
        "a.txt": "text",
        "a": "text",
        "a.TSV": "tsv",
        "a.csv": "csv",
        "a.jsonl": "jsonl",
        "a.json": "jsonl",
        "a.parquet": "parquet",
        "a.tsv.gz": "tsv",
        "a.b.gz": "text",
    }
    assert {name: form_of(Path(name)) for name in endings} == endings
    assert form_of(Path("a.tsv"), "text") == "text"


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_sentences(tmp_path / "missing.txt")
    with pytest.raises(UsageError, match="is a folder"):
        read_sentences(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"cannot read .*a\.txt/b .*; a part of the path is a file"):
        read_sentences(tmp_path / "a.txt" / "b")
    with pytest.raises(UsageError, match="no input format 'xml'"):
        read_sentences(tmp_path / "a.txt", "xml")


def test_json_array_reads_like_json_lines() -> None:
    data = b'[{"text": "a b", "label": 1},\n {"text": "c", "label": 2}]'
    assert parse(data, "x", "jsonl") == parse(data[1:-1].replace(b",\n", b"\n"), "x", "jsonl")


LINES = "".join(f"class{n % 3}\tkettle {n} sings, again\n" for n in range(5_000)).encode()


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_compressed_files_are_unpacked(tmp_path: Path, ending: str) -> None:
    import pyarrow as pa

    packed = {
        "gz": gzip.compress(LINES[:999]) + gzip.compress(LINES[999:]),
        "bz2": bz2.compress(LINES),
        "xz": lzma.compress(LINES),
        "zst": pa.compress(LINES, "zstd", asbytes=True),
    }[ending]
    path = tmp_path / f"train.tsv.{ending}"
    path.write_bytes(packed)
    assert read_sentences(path) == parse(LINES, "x", "tsv")
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"train\.tsv.* is damaged and cannot be unpacked"):
        read_sentences(path)


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"id": [1, 2], "text": ["a b", "c"], "label": [0, 1]}), path)
    assert read_sentences(path) == Sentences(["a b", "c"], ["0", "1"])
    assert read_sentences(path, names=FieldNames(label="id")).labels == ["1", "2"]
    for table, message in (
        (pa.table({"body": ["a"]}), r"has no text among its keys \(body\); call the column"),
        (pa.table({"text": [["a"]]}), "has no text under 'text', but list"),
        (pa.table({"text": ["a", None]}), "row 2 has nothing under 'text'"),
        (pa.table({"text": ["a"], "label": ["x" * 201]}), "row 1 has a label of 201 characters"),
        (pa.table({"text": [b"a", b"caf\xe9"]}), "row 2 is not UTF-8 under 'text'"),
        (
            pa.table({"text": pa.array([b"a", b"caf\xe9"]).view(pa.string())}),
            "row 2 is not UTF-8 under 'text'",
        ),
    ):
        pq.write_table(table, path)
        with pytest.raises(DataError, match=message):
            read_sentences(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"train\.parquet is not a whole Parquet file"):
        read_sentences(path)
    with pytest.raises(UsageError, match="from standard input"):
        read_sentences(Path("-"), "parquet")


def test_several_files_are_concatenated(tmp_path: Path) -> None:
    one, two = tmp_path / "one.tsv", tmp_path / "two.jsonl"
    one.write_text("good\ta b\n")
    two.write_text('{"text": "c", "label": "bad"}')
    both = read_files([one, two])
    assert in_memory(both.chunks()) == Sentences(["a b", "c"], ["good", "bad"])
    two.write_text('{"text": "c"}')
    with pytest.raises(DataError, match=r"two\.jsonl has no labels, unlike the files before it"):
        in_memory(both.chunks())
