"""Fuzzing of the readers of text: random bytes, and good files with random changes.

Every input must be read, with as many labels as sentences, or refused in one line that says what to do; and the
outcome must be the same whether the input is read as a whole or in blocks of any size.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from faults.harness import Broken
from faults.harness.text_files import ACCEPTED, CELLS, RECORDS, REFUSED, ROWS
from sritool.data.fields import FieldNames
from sritool.data.file_names import FORMATS
from sritool.data.readers import parse
from sritool.data.sentences import Sentences, in_memory
from sritool.errors import DataError, UsageError

PARSED = FORMATS[:-1]  # all but Parquet, which its library reads
HEADED = {"tsv": "label\ttext\n" + ROWS, "csv": "label,text\n" + CELLS}
SEEDS = [text.encode() for text in (*HEADED.values(), ROWS, CELLS, RECORDS)] + [
    item.data for item in (*REFUSED, *ACCEPTED) if len(item.data) < 20_000
]
BITS = (
    b"\n", b"\r", b"\t", b",", b'"', b'""', b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xe2\x80\xa8", b"\x85",
    b" ", b"{", b"}", b"[", b"\\ud800", b'"text"', b'"label"', b"null", b"NaN", b"1e999", b"<unk>", b"label\ttext\n",
)  # fmt: skip
Outcome = Sentences | str


def outcome(blocks: Sequence[bytes], form: str) -> Outcome:
    """Return what is read, or the one-line refusal. Raises: Broken if it is neither."""
    try:
        found = in_memory(parse(blocks, "the file", form, FieldNames()))
    except (DataError, UsageError) as error:
        line = str(error)
        if not line or "\n" in line or "the file" not in line or ";" not in line or not line.isprintable():
            raise Broken(f"{form}: not one line with the file and a remedy: {line!r}") from error
        return line
    except Exception as error:
        raise Broken(f"{form}: {type(error).__name__} ({error}) for {b''.join(blocks)[:200]!r}") from error
    if found.labels is not None and len(found.labels) != len(found.texts):
        raise Broken(f"{form}: {len(found.labels)} labels for {len(found.texts)} sentences")
    return found


def check(data: bytes, form: str, sizes: Sequence[int]) -> Outcome:
    """Read data as a whole and in blocks of these sizes, the last one repeated. Raises: Broken."""
    blocks, at = [], 0
    for number in range(len(data)):
        if at >= len(data):
            break
        size = max(1, sizes[min(number, len(sizes) - 1)])
        blocks.append(data[at : at + size])
        at += size
    whole, parts = outcome([data], form), outcome(blocks, form)
    if whole != parts:
        raise Broken(f"{form}: another outcome in blocks of {list(sizes)[:5]}, for {data[:200]!r}")
    if isinstance(whole, Sentences) and form == "text":
        ends = data.count(b"\n") + (not data.endswith(b"\n"))
        if len(whole.texts) != ends:
            raise Broken(f"{len(whole.texts)} sentences of {ends} lines")
    return whole


def mutated(source: random.Random) -> bytes:
    """A file of the test data with some changes, or random bytes."""
    if source.random() < 0.1:
        return source.randbytes(source.randrange(1, 200))
    data = bytearray(source.choice(SEEDS))
    if source.random() < 0.7:
        begin = source.randrange(len(data) + 1)
        data = data[begin : begin + source.randrange(1, 400)]
    for _ in range(source.randrange(4)):
        at = source.randrange(len(data) + 1)
        end = at + source.choice((0, 0, 1, 5))
        data[at:end] = source.choice(BITS) if source.random() < 0.8 else source.randbytes(3)
    return bytes(data)


def fuzz(inputs: int, seed: int) -> None:
    """Check this many random inputs, each in a random format. Raises: Broken."""
    source = random.Random(seed)
    for _ in range(inputs):
        sizes = [source.choice((1, 2, 3, 7, 64, 1_000)) for _ in range(source.randrange(1, 6))]
        check(mutated(source), source.choice(PARSED), sizes)
