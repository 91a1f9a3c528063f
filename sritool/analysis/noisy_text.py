"""Makes, writes and reads noisy versions of sentences as text, so that every model and system sees the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.data.noise import Unigram, versions
from sritool.data.readers import read_text
from sritool.data.sampling import Indices
from sritool.errors import DataError, UsageError
from sritool.files import write_output

HEADER = ("k", "index", "noisy", "clean")


class NoisyText(NamedTuple):
    """Clean sentences and their noisy versions, words joined by one space."""

    kind: str  # kind of noise, or the name of the file that it came from
    indices: Indices  # of the sentences in their source: the keys of a chain's noise
    clean: list[str]
    noisy: dict[int, list[str]]  # number of changes k ≥ 1 -> noisy sentences
    short: dict[int, int] | None  # k -> sentences too short for k changes; None: unknown

    def changed(self, k: int) -> float:
        """Return the share of sentences that differ from the clean ones."""
        pairs = zip(self.noisy[k], self.clean, strict=True) if k else ()
        return sum(noisy != clean for noisy, clean in pairs) / len(self.clean)


def make_noisy(
    texts: Sequence[str], chosen: Indices, kind: str, counts: Sequence[int], seed: int
) -> NoisyText:
    """Make noisy versions of the chosen sentences [n], for each number of changes.

    The noise depends on the seed and on a sentence's words and index. Kind `replace` draws words from all texts.
    """
    unigram = Unigram(texts) if kind == "replace" else None
    clean = [texts[index].split() for index in chosen]
    largest = max(counts, default=0)
    all_versions = [
        versions(words, largest, kind, f"{seed} {index}", unigram)
        for index, words in zip(chosen, clean, strict=True)
    ]
    wanted = [k for k in counts if k]
    noisy = {k: [" ".join(of[min(k, len(of) - 1)]) for of in all_versions] for k in wanted}
    short = {k: sum(len(of) <= k for of in all_versions) for k in wanted}
    return NoisyText(kind, chosen, [" ".join(words) for words in clean], noisy, short)


def write_noisy(text: NoisyText, path: Path) -> None:
    """Write a TSV of k, index, noisy and clean sentence, ordered by k, atomically. Raises: SritoolError."""
    rows: list[tuple[object, ...]] = [HEADER]
    for k, noisy in {0: text.clean, **text.noisy}.items():
        rows += ((k, *row) for row in zip(text.indices.tolist(), noisy, text.clean, strict=True))
    write_output(path, ("\t".join(map(str, row)).encode() + b"\n" for row in rows))


def read_noisy(path: Path, counts: Sequence[int] | None = None, limit: int | None = None) -> NoisyText:
    """Read a file in the format of `write_noisy`; the header and the rows of k = 0 may be missing.

    Only the numbers of changes in `counts`, if given, and the first `limit` sentences are taken.

    Raises:
        DataError: A row cannot be read, or the sentences are not the same for every k.
        UsageError: The file lacks a k of `counts`.
    """
    clean: dict[int, str] = {}
    noisy: dict[int, dict[int, str]] = {}
    for number, k, index, noisy_text, clean_text in _parsed(path):
        where = f"{path} line {number}"
        if clean.setdefault(index, clean_text) != clean_text:
            raise DataError(f"{where}: sentence {index} has another clean text than above; fix it")
        if index in noisy.setdefault(k, {}):
            raise DataError(f"{where}: k = {k} of sentence {index} appears twice; remove one")
        noisy[k][index] = noisy_text
    if not clean:
        raise DataError(f"{path} has no sentence; write one with --write-noisy")
    for k, of in noisy.items():
        missing = next((index for index in clean if index not in of), None)
        if k and missing is not None:
            raise DataError(f"{path} has no k = {k} of sentence {missing}; give every sentence each k")
    wanted = sorted({*noisy} if counts is None else {*counts} - {0})
    unknown = next((k for k in wanted if k not in noisy), None)
    if unknown is not None:
        present = ", ".join(map(str, sorted(noisy)))
        raise UsageError(f"{path} has no k = {unknown}; it has {present}")
    chosen = list(clean)[:limit]
    by_k = {k: [noisy[k][index] for index in chosen] for k in wanted if k}
    indices = np.array(chosen, dtype=np.int64)
    return NoisyText(path.name, indices, [clean[index] for index in chosen], by_k, None)


def _parsed(path: Path) -> Iterator[tuple[int, int, int, str, str]]:
    """Yield (line, k, index, noisy, clean) of every row."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        cells = line.rstrip("\r").split("\t")
        if tuple(cells) == HEADER or not line.strip():
            continue
        if len(cells) != len(HEADER) or not all(cell.isdecimal() and len(cell) < 19 for cell in cells[:2]):
            raise DataError(f"{path} line {number} is not k<TAB>index<TAB>noisy<TAB>clean; mend or remove it")
        yield number, int(cells[0]), int(cells[1]), " ".join(cells[2].split()), " ".join(cells[3].split())
