"""Words per second of `sritool preprocess`, of pyarrow's kernels alone, of a plain loop, and of reading the file.

The text is generated: words by rank, with frequencies proportional to one over the rank. sritool reads, checks,
splits, counts, encodes, hashes and stores; the kernels and the plain loop read, count and encode into one array.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from array import array
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.options import Context, add_common, add_timing
from benchmarks.report import Report
from benchmarks.timing import Run, alternate, ratio, spread
from sritool.cli.formats import Table
from sritool.data.preprocess import preprocess_corpus
from sritool.data.sources import FileOptions, file_source

_AT_ONCE = 100_000  # lines generated at a time


def write_text(path: Path, lines: int, words: int, vocabulary: int, seed: int = 0) -> int:
    """Write a file of `lines` lines with about `words` words each; returns the number of words."""
    random = np.random.default_rng(seed)
    shares = np.cumsum(1.0 / np.arange(1, vocabulary + 1))
    names = np.array([f"word{rank}" for rank in range(vocabulary)], dtype=object)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, lines, _AT_ONCE):
            count = min(_AT_ONCE, lines - begin)
            ends = np.cumsum(random.integers(max(1, words // 2), words + words // 2 + 1, count))
            ranks = np.searchsorted(shares, random.random(ends[-1]) * shares[-1])
            for line in np.split(names[ranks], ends[:-1]):
                file.write(" ".join(line) + "\n")
            written += len(ranks)
    return written


def plain_loop(path: Path) -> array[int]:
    """Return the ids of all words, numbered by falling frequency, with an end id after each line."""
    counts: Counter[str] = Counter()
    with path.open(encoding="utf-8") as file:
        lines = [line.split() for line in file]
    for line in lines:
        counts.update(line)
    ids = {word: number for number, (word, _) in enumerate(counts.most_common(), start=4)}
    encoded = array("i")
    for line in lines:
        encoded.extend([ids[word] for word in line])
        encoded.append(2)
    return encoded


def kernels(path: Path) -> Any:
    """Return the ids of all words, numbered by falling frequency, with kernels of pyarrow."""
    lines = pc.split_pattern(pa.array([path.read_text(encoding="utf-8")]), "\n").flatten()
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines)).flatten()
    counts = pc.value_counts(words)
    order = pc.sort_indices(counts.field("counts"), sort_keys=[("", "descending")])
    return pc.index_in(words, value_set=counts.field("values").take(order))


def runs_on(path: Path, folder: Path) -> dict[str, Run]:
    """Build the four variants on one file; each call of sritool's stores a new corpus."""
    numbers = itertools.count()

    def ours() -> object:
        source = file_source({"train": path}, FileOptions())
        return preprocess_corpus(f"made{next(numbers)}", source, data_dir=folder)

    return {
        "sritool preprocess": ours,
        "three kernels of pyarrow": lambda: kernels(path),
        "plain split and dictionary": lambda: plain_loop(path),
        "reading the file": lambda: path.read_text(encoding="utf-8"),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    add_timing(parser)
    parser.add_argument("--lines", type=int, default=40_000)
    parser.add_argument("--words", type=int, default=21, help="average words per line")
    parser.add_argument("--vocabulary", type=int, default=10_000)


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all variants on one generated file, on one core."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    sizes = {name: getattr(arguments, name) for name in ("lines", "words", "vocabulary")}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "text.txt"
        words = write_text(path, **sizes)
        size = path.stat().st_size
        runs = runs_on(path, Path(name) / "data")
        seconds = alternate(runs, context.rounds, torch.device("cpu"), context.most_seconds)
    ours = seconds["sritool preprocess"]
    records, rows = [], []
    for variant, times in seconds.items():
        took, over = spread(times), ratio(ours, times)
        figures = {"words a second": words / took.median, "seconds": took._asdict()}
        records.append({"variant": variant, **figures, "sritool / this": over._asdict()})
        rows.append((variant, round(words / took.median), took.median, over.text()))
    settings = {"rounds": context.rounds, **sizes, "words in all": words, "bytes": size}
    note = f"{words:,} words in {arguments.lines:,} lines, {size:,} bytes; median of {len(ours)} rounds"
    table = Table("preprocessing", ("variant", "words/s", "s", "sritool ÷ this"), rows, note)
    return Report("preprocess", settings, {"variants": records}, [table])
