"""Files of noisy sentences: round trips, partial reading, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sritool.analysis.noisy_text import make_noisy, read_noisy, write_noisy
from sritool.data.noise import versions
from sritool.errors import DataError, SritoolError, UsageError

TEXTS = ["one heron", "the mason  lifts a lantern", "kettle", "an otter trades upstairs"]
TABLE = "k\tindex\tnoisy\tclean\n0\t3\ta b\ta b\n1\t3\tb a\ta b\n0\t5\tc d\tc d\n1\t5\td c\tc d\n"


def test_versions_depend_on_the_sentence_index() -> None:
    found = make_noisy(TEXTS, np.array([1, 2, 3]), "swap", (0, 1, 3), seed=4)
    assert found.clean == ["the mason lifts a lantern", "kettle", "an otter trades upstairs"]
    first = versions(TEXTS[1].split(), 3, "swap", "4 1")
    last = versions(TEXTS[3].split(), 3, "swap", "4 3")
    assert found.noisy == {k: [" ".join(first[k]), "kettle", " ".join(last[k])] for k in (1, 3)}
    assert found.short == {1: 1, 3: 1}
    alone = make_noisy(TEXTS, np.array([3]), "swap", (1,), seed=4)
    assert alone.noisy[1] == found.noisy[1][2:]


def test_replacements_come_from_all_sentences() -> None:
    found = make_noisy(["a", "b", "c"], np.array([0]), "replace", (1,), seed=0)
    assert found.noisy[1][0] in ("b", "c")


def test_round_trip(tmp_path: Path) -> None:
    made = make_noisy(TEXTS, np.array([0, 1, 3]), "drop", (0, 1, 2), seed=1)
    write_noisy(made, tmp_path / "drop.tsv")
    read = read_noisy(tmp_path / "drop.tsv")
    assert read.indices.tolist() == [0, 1, 3]
    assert (read.kind, read.clean, read.noisy, read.short) == ("drop.tsv", made.clean, made.noisy, None)
    assert [path.name for path in tmp_path.iterdir()] == ["drop.tsv"]


def test_reading_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "given.tsv"
    path.write_text(TABLE, encoding="utf-8")
    whole = read_noisy(path)
    assert (whole.clean, whole.noisy) == (["a b", "c d"], {1: ["b a", "d c"]})
    assert [whole.changed(k) for k in (0, 1)] == [0.0, 1.0]
    assert read_noisy(path, counts=(0,)).noisy == {}
    assert read_noisy(path, limit=1).noisy == {1: ["b a"]}
    path.write_text("1\t0\tb a\ta  b\n", encoding="utf-8")  # no header, no k = 0
    assert read_noisy(path) == whole._replace(
        indices=read_noisy(path).indices, clean=["a b"], noisy={1: ["b a"]}
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\t0\tb a\n", "line 1 is not k<TAB>index<TAB>noisy<TAB>clean"),
        ("-1\t0\tb a\ta b\n", "line 1 is not k<TAB>index<TAB>noisy<TAB>clean"),
        ("one\t0\tb a\ta b\n", "line 1 is not k<TAB>index<TAB>noisy<TAB>clean"),
        (TABLE + "2\t3\tb a\tc\n", "line 6: sentence 3 has another clean text"),
        (TABLE + "1\t3\tb a\ta b\n", "line 6: k = 1 of sentence 3 appears twice"),
        (TABLE + "2\t3\tb a\ta b\n", "has no k = 2 of sentence 5"),
        ("k\tindex\tnoisy\tclean\n", "has no sentence"),
        ("", "is empty"),
    ],
)
def test_invalid_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "given.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_noisy(path)


@pytest.mark.parametrize(("name", "error"), [("none.tsv", DataError), (".", UsageError)])
def test_missing_files(tmp_path: Path, name: str, error: type[SritoolError]) -> None:
    with pytest.raises(error):
        read_noisy(tmp_path / name)
    made = make_noisy(TEXTS, np.array([0]), "swap", (1,), seed=1)
    with pytest.raises(SritoolError, match="cannot write"):
        write_noisy(made, tmp_path / "no folder" / "file.tsv")


def test_missing_number_of_changes(tmp_path: Path) -> None:
    path = tmp_path / "given.tsv"
    path.write_text(TABLE, encoding="utf-8")
    with pytest.raises(UsageError, match="has no k = 7; it has 0, 1"):
        read_noisy(path, counts=(1, 7))
