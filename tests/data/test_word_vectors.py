"""Word vectors: every text format is read exactly, and damage is reported with its line."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sritool.data.word_vectors import read_vectors, vector_width
from sritool.errors import DataError

WORDS = {"kite": 7, "sea": 4, "ünder": 5, "lacking": 9}
ROWS = {
    "sea": [0.25, -1.5, 3e-2],
    ". . .": [1, 1, 1],
    "other": [9, 9, 9],
    "ünder": [1, 2, 3],
    "kite": [0, 0.5, 7],
}


def lines(separator: str = " ", end: str = "\n") -> str:
    return "".join(separator.join([word, *map(str, row)]) + end for word, row in ROWS.items())


FILES = {
    "glove.txt": lines().encode(),
    "word2vec.txt": f"{len(ROWS)} 3\n{lines(end=' ' + chr(10))}".encode(),
    "fasttext.vec.gz": gzip.compress(f"{len(ROWS)} 3\n{lines()}".encode()),
    "glove.bz2": bz2.compress(lines().encode()),
    "tabs.tsv": lines("\t").encode(),
    "windows.txt": lines(end="\r\n").encode(),
    "byte order mark.txt": b"\xef\xbb\xbf" + lines().encode(),
    "duplicate word.txt": (lines() + "sea 8 8 8\n").encode(),
    "no final newline.txt": lines().encode().rstrip(),
}


@pytest.mark.parametrize("name", FILES)
def test_vectors_of_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    assert vector_width(path) == 3
    found = read_vectors(path, WORDS)
    assert sorted(found.ids.tolist()) == [4, 5, 7]
    for index, vector in zip(found.ids.tolist(), found.vectors, strict=True):
        word = next(word for word, number in WORDS.items() if number == index)
        np.testing.assert_array_equal(vector, np.array(ROWS[word], np.float32))


def test_no_vector_found(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(FILES["glove.txt"])
    found = read_vectors(path, {"nothing": 4})
    assert found.ids.shape == (0,)
    assert found.vectors.shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"sea 1 2\nkite 1\n", "line 2 has 1 numbers, not 2"),
        (b"2 2\nsea 1 2\nkite 1 x\n", "line 3 has something other than numbers"),
        (b"sea 1 2\n\nkite 1 nan\n", "line 3 has a number that is not finite"),
        (b"sea 1 2\nki\xe9te 1 2\n", "line 2, byte 3"),
        (b"5 2\nsea 1 2\nkite 1 2\n", "2 of the 5 vectors"),
        (b"5 2\nsea \x01\xff\x00\x9a\n", "binary form"),
        (b"a sentence without numbers\n", "something other than numbers"),
        (b"words\n", "no word vectors"),
        (b"", "empty"),
        (gzip.compress(lines().encode(), mtime=0)[:-9], "damaged"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_vectors(path, {**WORDS, "a": 8})
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        vector_width(tmp_path / "none.txt")


def test_memory_is_bounded_by_the_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    numbers = " 0.125" * 100
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"w{k}{numbers}\n" for k in range(40_000))  # 24 MB
    read_vectors(path, {"w5": 4})  # warm-up: one-time allocations
    tracemalloc.start()
    found = read_vectors(path, {"w39999": 4})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.vectors.sum() == 12.5
    assert peak < 12 << 20
