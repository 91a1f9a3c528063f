"""Files of codes: bit-exact round trips in every format, and one-line errors for anything else."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sritool.analysis.codes import code_lines, form_of, npy_bytes, read_codes
from sritool.errors import DataError

Floats = NDArray[np.float32]

EDGES = np.array(
    [
        [0.1, -0.0, 1 / 3],
        [np.finfo(np.float32).max, np.finfo(np.float32).tiny, np.float32(1e-45)],  # the last is subnormal
        [np.nextafter(np.float32(1), np.float32(2)), np.nextafter(np.float32(1), np.float32(0)), -16777216.0],
    ],
    dtype=np.float32,
)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def make(content: str | bytes) -> Path:
        path = tmp_path / "codes"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def same_bits(one: Floats, other: Floats) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def written(codes: Floats, form: str) -> bytes:
    return npy_bytes(codes) if form == "npy" else "".join(code_lines(codes, form)).encode()


@pytest.mark.parametrize("form", ["tsv", "plain", "csv", "json", "npy"])
def test_every_format_is_bit_exact(form: str, file: Callable[..., Path]) -> None:
    assert same_bits(read_codes(file(written(EDGES, form)), 3), EDGES)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_nine_digits_identify_every_float(values: list[float]) -> None:
    codes = np.array(values, dtype=np.float32)[:, None]
    (header, *lines) = code_lines(codes, "tsv")
    assert header == "z1\n"
    assert same_bits(
        np.array([line.strip() for line in lines], dtype=np.float64).astype(np.float32), codes[:, 0]
    )


@pytest.mark.parametrize("form", ["tsv", "csv", "json"])
def test_extra_columns_are_ignored(form: str, file: Callable[..., Path]) -> None:
    lines = list(code_lines(EDGES, form, {"line": [1, 1, 2], "chain": [1, 2, 1]}))
    if form == "json":
        assert [json.loads(line)["chain"] for line in lines] == [1, 2, 1]
    else:
        separator = "\t" if form == "tsv" else ","
        assert lines[0] == separator.join(["line", "chain", "z1", "z2", "z3"]) + "\n"
    assert same_bits(read_codes(file("".join(lines)), 3), EDGES)


@pytest.mark.parametrize(
    "text",
    [
        "1 2\n3 4\n",
        "1\t2\n3\t4",
        "1,2\r\n3,4\r\n",
        "  1   2.0 \n3e0 4\n\n",
        "\ufeff1 2\n3 4\n",
        "z1 z2\n1 2\n3 4\n",
        "sentence\tz2\tz1\nan otter, sleeping\t2\t1\na kettle\t4\t3\n",
        'sentence,z1,z2\n"an otter, sleeping",1,2\na kettle,3,4\n',
        '{"z": [1, 2]}\n{"sentence": "x", "z": [3.0, 4]}\n',
        "z1\tz2\tnote\n1\t2\tx\n3\t4\t\n \n",  # the last cell is empty
    ],
)
def test_handwritten_formats(text: str, file: Callable[..., Path]) -> None:
    assert read_codes(file(text), 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", ["<f8", ">f4", "<i2", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_other_types(kind: str, order: str, file: Callable[..., Path]) -> None:
    content = io.BytesIO()
    np.save(content, np.array([[1, 2], [3, 4], [5, 6]], dtype=kind, order=order))  # type: ignore[call-overload]
    assert read_codes(file(content.getvalue()), 2).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_npy_of_one_code_and_of_chains(file: Callable[..., Path]) -> None:
    assert read_codes(file(npy_bytes(EDGES[0])), 3).shape == (1, 3)
    chains = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    assert read_codes(file(npy_bytes(chains)), 3).tolist() == chains.reshape(4, 3).tolist()


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for form in ("tsv", "json", "npy"):
        given_bytes = io.BytesIO(written(EDGES, form))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=given_bytes))
        assert same_bits(read_codes("-", 3), EDGES)


def header_only(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def objects() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([[{}, 1]], dtype=object), allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("1 2 3\n", r"line 1 has 3 columns .*white space.*, not 2"),
        ("1\t2\n3\n", r"line 2 has 1 column .*tabs.*not 2"),
        ("1 2\n\n3 4\n", "line 2 has 0 columns"),
        ("z1\tz2\n1\t2\n1\t2\t3\n", "line 3 has 3 columns .*, not 2"),
        ("z1\tz2\tz3\n1\t2\t3\n", "has 3 columns of z, and the model's codes have 2"),
        ("z1\tsentence\n1\tx\n", "has 1 column of z"),
        ("z1\tz2\n", "a header and no codes"),
        ("an otter sleeps\n", "neither numbers nor a header with columns z1 … z2"),
        ("1 2\n1 otter\n", "line 2 has 'otter' in place of a number"),
        ("1 2\nnan 2\n", "line 2 has NaN"),
        ("z1\tz2\n1\t2\ninf\t2\n", "line 3 has an infinite"),
        ("1 2\n1 1e39\n", "line 2 has an infinite or too large"),
        ('1,"2\n', "is not CSV"),
        ('note,z1,z2\n"a\nb",1,2\nx,3,oops\n', "line 4 has 'oops' in place of a number"),
        ('note,z1,z2\n"a\nb",1,2\nx,3,nan\n', "line 4 has NaN"),
        ('{"z": [1, 2]}\n{"z": [1]}\n', "line 2 has 1 numbers, and the model's codes have 2"),
        ('{"z": [1, 2]}\n[1, 2]\n', r'line 2 has no list under "z"'),
        ('{"code": [1, 2]}\n', r'line 1 has no list under "z"'),
        ('{"z": [1, "2"]}\n', "a value in its z that is not a number"),
        ('{"z": [1, true]}\n', "a value in its z that is not a number"),
        ('{"z": [1, NaN]}\n', "line 1 has NaN"),
        ('{"z": [1, 1e400]}\n', "line 1 has an infinite"),
        (f'{{"z": [1, 1{"0" * 400}]}}\n', "line 1 has an infinite"),
        ('{"z": [1, 2}\n', "line 1 is not JSON"),
        ('{"z": ' + "[" * 100_000, "line 1 is not JSON"),
        (b"1 2\n\xff\xfe 3\n", "not UTF-8"),
        (b"\x93NUMPY\x01", "damaged .npy"),
        (b"\x93NUMPY\x09\x00" + b" " * 40, "damaged .npy"),
        (b"\x93NUMPY\x01\x00\x40\x00" + b"{" * 64, "damaged .npy"),
        (header_only("(1000000000000, 2)") + b"\0" * 8, "cut short, or its header is wrong"),
        (header_only(f"({10**30}, 2)"), "cut short, or its header is wrong"),
        (header_only("(-1, 2)") + b"\0" * 8, "cut short, or its header is wrong"),
        (header_only("(0, 2)"), "has no codes"),
        (header_only("(2, 3)") + b"\0" * 24, r"has shape \[2, 3\], and the model's codes have 2"),
        (header_only("()") + b"\0" * 4, r"has shape \[\]"),
        (header_only("(1, 2)", "<U1") + b"\0" * 8, "not numbers"),
        (header_only("(1, 2)", "|b1") + b"\0" * 2, "not numbers"),
        (npy_bytes(np.array([[1, 2], [np.inf, 2]], dtype=np.float32)), "row 2 has an infinite"),
        (objects(), "holds object, not numbers"),
    ],
)
def test_invalid_codes(content: str | bytes, hint: str, file: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=hint) as caught:
        read_codes(file(content), 2)
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)  # what to do next


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_codes(tmp_path / "none.npy", 2)


def test_format_follows_the_extension() -> None:
    names = ("a.npy", "a.NPY", "a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a")
    assert [form_of(Path(name)) for name in names] == [
        "npy",
        "npy",
        "json",
        "json",
        "csv",
        "tsv",
        "tsv",
        "tsv",
    ]
