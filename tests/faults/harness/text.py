"""Text of ten million lines, and text damaged in every way we know: memory, speed, one line for each refusal.

A file of invented words is made by a seeded script and prepared in a process of its own, whose largest memory is
measured: as lines, as labelled rows, and through a pipe.
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

BASE = 250 << 20  # bytes that Python, NumPy, Arrow and one batch of text take
PER_LINE = 40  # bytes: lengths in 64 bits, offsets and room that comes and goes
PER_TOKEN = (
    4.5  # bytes: an id in a page of the stored file, which the system takes back where memory is short
)
PER_WORD = 400  # bytes of a different word: a string, its number, its place in the sorted vocabulary


class Peak(NamedTuple):
    """What preparing took."""

    memory: int  # bytes, the largest resident set
    seconds: float  # of the processor


def invented_words(count: int) -> list[str]:
    """So many different words of open syllables."""
    syllables = [head + vowel for head in "bdfgklmnprstvz" for vowel in "aeiou"]

    def word(number: int) -> str:
        rest, last = divmod(number, len(syllables))
        return (word(rest - 1) if rest else "") + syllables[last]

    return [word(number) for number in range(count)]


def lines(count: int, words: int = 10, vocabulary: int = 200_000, seed: int = 0) -> Iterator[str]:
    """Lines of about so many words, whose frequency falls as one over the rank; each with its end."""
    random = np.random.default_rng(seed)
    names = np.array(invented_words(vocabulary), dtype=object)
    odds = np.cumsum(1.0 / np.arange(1, vocabulary + 1))
    for begin in range(0, count, 50_000):
        lengths = random.integers(words // 2, words + words // 2 + 1, min(50_000, count - begin))
        ranks = np.searchsorted(odds, random.random(int(lengths.sum())) * odds[-1])
        drawn = names[np.minimum(ranks, vocabulary - 1)].tolist()
        at = 0
        for length in lengths.tolist():
            yield " ".join(drawn[at : at + length]) + "\n"
            at += length


def write_lines(path: Path, count: int, labelled: bool = False, vocabulary: int = 200_000) -> None:
    """A file of `lines`, with one of five labels before each where it is to be labelled."""
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
    status = Path("/proc/self/status")  # whose figure leaves out the process that this one was forked from
    lines = status.read_text().splitlines() if status.exists() else []
    found = [1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = found[0] if found else usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(peak, usage.ru_utime + usage.ru_stime, file=sys.stderr)
"""


def prepare(path: Path, folder: Path, *options: str, piped: bool = False) -> Peak:
    """Prepare a file in a process of its own. Raises: Broken if that fails."""
    words = [
        "preprocess",
        "-" if piped else str(path),
        "--name",
        "many",
        "--data-dir",
        str(folder),
        "--force",
    ]
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words, *options],
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
    """The most memory that preparing may take, in bytes: of ids and a few numbers a line, and not of the text."""
    return BASE + int(PER_LINE * count + PER_TOKEN * tokens + PER_WORD * vocabulary)
