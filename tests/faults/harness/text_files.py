"""Odd and damaged text of every known kind: what is accepted, and what each refusal must name.

All sentences are invented.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from typing import NamedTuple

GOOD = "".join(
    f"the {noun} {verb} lantern {number}\n"
    for noun in ("heron", "otter")
    for verb in ("lifts", "mends")
    for number in range(10)
)
PLAIN = GOOD.encode()
ROWS = "".join(f"{'good' if n % 2 else 'bad'}\tkettle {n} sings\n" for n in range(40))
CELLS = "".join(f"{'good' if n % 2 else 'bad'},kettle {n} sings\n" for n in range(40))
RECORDS = "".join(json.dumps({"text": f"kettle {n} sings", "label": n % 2}) + "\n" for n in range(40))
LONG = 10_000_000  # bytes per line


class Refused(NamedTuple):
    """A file that is refused, and parts of the one-line error beside its name."""

    name: str
    data: bytes
    parts: tuple[str, ...]


class Accepted(NamedTuple):
    """An odd file that is accepted, and its number of sentences."""

    name: str
    data: bytes
    sentences: int
    note: str = ""  # part of the note on it


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text.txt", GOOD)
    return buffer.getvalue()


def _broken_rows(form: str, row: str, *parts: str) -> Refused:
    start = {"tsv": ROWS, "csv": CELLS, "jsonl": RECORDS}[form]
    return Refused(f"broken.{form}", (start + row + "\n").encode("utf-8", "surrogatepass"), parts)


REFUSED = (
    Refused(
        "latin1.txt", PLAIN + "a caf\xe9\n".encode("latin-1"), ("not UTF-8: line 41, byte 6 (0xe9)", "iconv")
    ),
    Refused("sjis.txt", "猫が走る\n".encode("shift_jis") * 30, ("not UTF-8: line 1, byte 1", "iconv")),
    Refused("utf16.txt", GOOD.encode("utf-16"), ("UTF-16", "iconv -f UTF-16 ")),
    Refused("utf16le.txt", GOOD.encode("utf-16-le"), ("UTF-16", "iconv -f UTF-16LE ")),
    Refused("utf16be.txt", GOOD.encode("utf-16-be"), ("UTF-16", "iconv -f UTF-16BE ")),
    Refused("utf32.txt", GOOD.encode("utf-32"), ("UTF-32", "iconv -f UTF-32 ")),
    Refused("cut.txt", (GOOD + "a café").encode()[:-1], ("line 41 ends in the middle of a character",)),
    Refused("nul.txt", PLAIN + b"a \0 b\n", ("line 41 has a NUL byte",)),
    Refused("old-mac.txt", PLAIN.replace(b"\n", b"\r"), ("carriage returns alone", r"tr '\r' '\n'")),
    Refused("empty.txt", b"", ("is empty",)),
    Refused("blank.txt", b"\n\n \r\n\t\n", ("is empty",)),
    Refused("mark.txt", b"\xef\xbb\xbf", ("is empty",)),
    Refused("one.txt", b"one sentence\n", ("one sentence only",)),
    Refused("cut.gz", gzip.compress(PLAIN)[:-9], ("damaged and cannot be unpacked",)),
    Refused("cut.bz2", bz2.compress(PLAIN)[:-9], ("damaged and cannot be unpacked",)),
    Refused("mixed.gz", gzip.compress(PLAIN) + b"more", ("damaged and cannot be unpacked",)),
    Refused("latin1.gz", gzip.compress(PLAIN + b"a caf\xe9\n"), ("not UTF-8: line 41, byte 6 (0xe9)",)),
    Refused("text.docx", _zipped(), ("is a zip archive", "unzip ")),
    Refused("paper.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", ("is a PDF", "pdftotext ")),
    Refused("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ("is a PNG picture",)),
    Refused("rows.parquet", b"PAR1\x15\x04\x15\x10", ("is not a whole Parquet file",)),
    Refused("zeros.bin", bytes(1_000_000), ("line 1 has a NUL byte",)),
    _broken_rows("tsv", "no label here", "line 41 has no label"),
    _broken_rows("tsv", "\tan empty label", "line 41 has no label"),
    _broken_rows("tsv", "x" * 201 + "\ttext", "line 41 has a label of 201 characters"),
    Refused(
        "numbered.tsv",
        "".join(f"line{n}\tkettle {n % 7} sings\n" for n in range(50)).encode(),
        ("cannot be told", "--text-column N", "--no-labels"),
    ),
    Refused(
        "lines.tsv",
        ("label\ttext\n" + "".join(f"line{n}\tkettle {n % 7} sings\n" for n in range(1_500))).encode(),
        ("more than 1,000 different labels", "--no-labels leaves it out"),
    ),
    _broken_rows("csv", "alone", "row 41 has no label"),
    _broken_rows("csv", 'good,"never closed\n' + CELLS, "not CSV: the row that begins in line 41"),
    _broken_rows("csv", "good,a \0 b", "line 41 has a NUL byte"),
    Refused("wide.csv", b"label,text\ngood,a b\nbad,c,d\n", ("row 3 has 3 columns, its header 2",)),
    _broken_rows("jsonl", "[1, 2]", "line 41 is not a JSON object"),
    _broken_rows("jsonl", "[" * 100_000, "line 41 is not JSON (nested too deeply)"),
    _broken_rows("jsonl", '{"text": "a", "label": ' + "9" * 5_000 + "}", "line 41 is not JSON (Exceeds"),
    _broken_rows("jsonl", '{"text": "half \\ud800", "label": 1}', "line 41 has half a character"),
    _broken_rows("jsonl", '{"text": "a", "label": "\\udfff"}', "line 41 has half a character"),
    _broken_rows("jsonl", '{"label": 1}', "line 41 has no string under 'text'"),
    _broken_rows("jsonl", '{"text": 3, "label": 1}', "line 41 has no string under 'text'"),
    _broken_rows("jsonl", '{"text": "a"}', "line 41 has no label"),
    Refused("keys.jsonl", b'{"a\\nb\\u001b[31m": 1}\n', ("line 1 has no text among its keys (a?b?[31m)",)),
    Refused(
        "pretty.json", json.dumps({"text": "a b"}, indent=1).encode(), ("line 1 is not JSON", "{...} a line")
    ),
)

CLEANED = "control characters became spaces: 1"
ACCEPTED = (
    Accepted("mark.txt", b"\xef\xbb\xbf" + PLAIN, 40),
    Accepted("joined.txt", PLAIN + b"\xef\xbb\xbfthe heron lifts lantern 0\n", 41, CLEANED),
    Accepted("text.txt.gz", gzip.compress(PLAIN), 40),
    Accepted("text.txt.bz2", bz2.compress(PLAIN), 40),
    Accepted("rows.tsv.xz", lzma.compress(ROWS.encode()), 40, "labels bad, good"),
    Accepted("array.json", ("[" + ",".join(RECORDS.splitlines()) + "]").encode(), 40),
    Accepted("windows.txt", PLAIN.replace(b"\n", b"\r\n"), 40),
    Accepted("mixed.txt", PLAIN.replace(b"lantern", b"\rlantern").replace(b"9\n", b"9\r\n"), 40),
    Accepted("no-end.txt", PLAIN[:-1], 40),
    Accepted(
        "emoji.txt",
        PLAIN + "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd sing\n".encode(),
        41,
    ),
    Accepted("accents.txt", PLAIN + "cafe\u0301 café\n".encode(), 41),
    Accepted("right-to-left.txt", PLAIN + "\u200fשלום\u202e olleh\n".encode(), 41),
    Accepted("separators.txt", PLAIN + "one\u2028two\u2029three\u200bfour\u00a0five\n".encode(), 41),
    Accepted("next-line.txt", PLAIN + "one\u0085two\n".encode(), 41, CLEANED),
    Accepted("escapes.txt", PLAIN + b"\x1b[31mred\x1b[0m \x07\n", 41, CLEANED),
    Accepted("tabs.txt", PLAIN.replace(b" lantern", b"\tlantern"), 40),
    Accepted("blank-lines.txt", PLAIN.replace(b"\n", b"\n\n \n"), 40),
    Accepted("a-word.txt", PLAIN + b"x" * LONG + b"\n", 41),
    Accepted("many-words.txt", PLAIN + b"ab " * 1_000_000 + b"\n", 41),
    Accepted("cell.csv", (CELLS + 'good,"' + "ab " * 300_000 + '"\n').encode(), 41),
    Accepted("quotes.csv", (CELLS + 'good,"two\n""quoted"" lines, here"\n').encode(), 41),
    Accepted("spaced.tsv", ROWS.replace("good", "very good").encode(), 40, "labels bad, very good"),
    Accepted("one-class.tsv", ROWS.replace("bad", "good").encode(), 40, "every label is good"),
    Accepted(
        "numbers.csv",
        ("label,text\n" + "".join(f"{n / 7},kettle {n}\n" for n in range(40))).encode(),
        40,
        "is that a column",
    ),
    Accepted(
        "steering.jsonl", RECORDS.replace('"label": 1', '"label": "\\u001b[31m\\n1"').encode(), 40, "[31m"
    ),
    Accepted(
        "twice.jsonl", (RECORDS + '{"text": "a", "text": "the last counts", "label": 1}\n').encode(), 41
    ),
)
