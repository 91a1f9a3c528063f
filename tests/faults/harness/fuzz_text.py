"""Fuzzing of the readers of text: bytes at random, and good files with something changed in them.

What must hold of every input: it is read, with as many labels as sentences, or refused in one line that ends in what
to do; and in blocks of any size it is read, or refused, as it is whole.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from faults.harness import Broken
from faults.harness.text_files import CELLS, RECORDS, REFUSED, ROWS, TAKEN
from sritool.data.fields import FieldNames
from sritool.data.file_names import FORMATS
from sritool.data.readers import parse
from sritool.data.sentences import Sentences, in_memory
from sritool.errors import DataError, UsageError

PARSED = FORMATS[:-1]  # but for Parquet, which is read by its library
HEADED = {"tsv": "label\ttext\n" + ROWS, "csv": "label,text\n" + CELLS}
SEEDS = [text.encode() for text in (*HEADED.values(), ROWS, CELLS, RECORDS)] + [
    item.data for item in (*REFUSED, *TAKEN) if len(item.data) < 20_000
]
BITS = (
    b"\n", b"\r", b"\t", b",", b'"', b'""', b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xe2\x80\xa8", b"\x85",
    b" ", b"{", b"}", b"[", b"\\ud800", b'"text"', b'"label"', b"null", b"NaN", b"1e999", b"<unk>", b"label\ttext\n",
)  # fmt: skip
Outcome = Sentences | str


def outcome(blocks: Sequence[bytes], form: str) -> Outcome:
    """What is read, or the one line of its refusal. Raises: Broken where it is neither."""
    try:
        found = in_memory(parse(blocks, "the file", form, FieldNames()))
    except (DataError, UsageError) as error:
        line = str(error)
        if not line or "\n" in line or "the file" not in line or ";" not in line or not line.isprintable():
            raise Broken(f"{form}: not one line that names the file and what to do: {line!r}") from error
        return line
    except Exception as error:
        raise Broken(f"{form}: {type(error).__name__} ({error}) for {b''.join(blocks)[:200]!r}") from error
    if found.labels is not None and len(found.labels) != len(found.texts):
        raise Broken(f"{form}: {len(found.labels)} labels for {len(found.texts)} sentences")
    return found


def check(data: bytes, form: str, sizes: Sequence[int]) -> Outcome:
    """Read whole and in blocks of these sizes, the last one again and again. Raises: Broken."""
    blocks, at = [], 0
    for number in range(len(data)):
        if at >= len(data):
            break
        size = max(1, sizes[min(number, len(sizes) - 1)])
        blocks.append(data[at : at + size])
        at += size
    whole, parts = outcome([data], form), outcome(blocks, form)
    if whole != parts:
        raise Broken(f"{form}: in blocks of {list(sizes)[:5]} another outcome than whole, for {data[:200]!r}")
    if isinstance(whole, Sentences) and form == "text":
        ends = data.count(b"\n") + (not data.endswith(b"\n"))
        if len(whole.texts) != ends:
            raise Broken(f"{len(whole.texts)} sentences of {ends} lines")
    return whole


def mutated(source: random.Random) -> bytes:
    """A good or a damaged file with some changes, or bytes at random."""
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


def fuzz(inputs: int, seed: int = 0) -> int:
    """So many inputs, each in a form at random; returns their number. Raises: Broken."""
    source = random.Random(seed)
    for _ in range(inputs):
        sizes = [source.choice((1, 2, 3, 7, 64, 1_000)) for _ in range(source.randrange(1, 6))]
        check(mutated(source), source.choice(PARSED), sizes)
    return inputs
