"""Files of up to ten million lines of invented words, and the memory of a process that prepares one.

A file is made with a seed and prepared in a process of its own, whose peak memory is measured: from lines, labelled
rows, or a pipe.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from faults.harness import Broken

BASE = 250 << 20  # bytes for Python, NumPy, Arrow and one batch of text
PER_LINE = 40  # bytes: 64-bit lengths, offsets and temporary buffers
PER_TOKEN = 4.5  # bytes: an id in a page of the stored file, which the system can reclaim
PER_WORD = 400  # bytes per distinct word: a string, its number, its place in the sorted vocabulary


class Peak(NamedTuple):
    """What preparing a file takes."""

    memory: int  # bytes, the peak resident set
    seconds: float  # of CPU time


def invented_words(count: int) -> list[str]:
    """This many distinct words of open syllables."""
    syllables = [head + vowel for head in "bdfgklmnprstvz" for vowel in "aeiou"]

    def word(number: int) -> str:
        rest, last = divmod(number, len(syllables))
        return (word(rest - 1) if rest else "") + syllables[last]

    return [word(number) for number in range(count)]


def lines(count: int, words: int = 10, vocabulary: int = 200_000, seed: int = 0) -> Iterator[str]:
    """Lines of about this many words, with a frequency of one over the rank; each ends in a newline."""
    random = np.random.default_rng(seed)
    names = np.array(invented_words(vocabulary), dtype=object)
    odds = np.cumsum(1.0 / np.arange(1, vocabulary + 1))
    for begin in range(0, count, 50_000):
        lengths = random.integers(words // 2, words + words // 2 + 1, min(50_000, count - begin))
        ranks = np.searchsorted(odds, random.random(int(lengths.sum())) * odds[-1])
        drawn = names[np.minimum(ranks, vocabulary - 1)].tolist()
        position = 0
        for length in lengths.tolist():
            yield " ".join(drawn[position : position + length]) + "\n"
            position += length


def write_lines(path: Path, count: int, labelled: bool = False, vocabulary: int = 200_000) -> None:
    """Write a file of `lines`, each with one of five labels if `labelled`."""
    with path.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines(count, vocabulary=vocabulary)):
            file.write(f"class{number % 5}\t{line}" if labelled else line)


PROGRAM = """
import resource, sys
from pathlib import Path
from sritool.cli.app import main
try:
    main()
finally:
    status = Path("/proc/self/status")  # its figure excludes the process that this one was forked from
    lines = status.read_text().splitlines() if status.exists() else []
    found = [1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = found[0] if found else usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(peak, usage.ru_utime + usage.ru_stime, file=sys.stderr)
"""


def prepare(path: Path, folder: Path, piped: bool = False) -> Peak:
    """Prepare a file in a process of its own. Raises: Broken if that fails."""
    source = "-" if piped else str(path)
    words = ["preprocess", source, "--name", "many", "--data-dir", str(folder), "--force"]
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            stdin=file if piped else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    if done.returncode:
        raise Broken(f"preprocess {path.name} ended with {done.returncode}: {done.stderr}")
    memory, seconds = done.stderr.split()[-2:]
    return Peak(int(memory), float(seconds))


def bound(count: int, tokens: int, vocabulary: int) -> int:
    """The most bytes that preparing may take: for ids and a few numbers per line, not for the text."""
    return BASE + int(PER_LINE * count + PER_TOKEN * tokens + PER_WORD * vocabulary)
