"""How time and memory grow with the lines of a corpus: preparing it, opening it, and reading batches.

The text is generated in a temporary folder that is removed: words by rank, with frequencies proportional to one
over the rank. Every stage of every size runs in a process of its own. Time is processor time, workers included, and
wall-clock time. Memory is the peak of the private memory of the process (RssAnon of /proc/self/status, sampled a
hundred times a second) above what it held before. It excludes the pages of mapped files, which the system takes
back when memory is short, and the memory of workers.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import memory_of_process
from benchmarks.growth import slope_of
from benchmarks.options import Context, add_common
from benchmarks.preprocess import write_text
from benchmarks.report import Report
from sritool.cli.formats import Table
from sritool.cli.streams import say
from sritool.data.batches import collate, evaluation_batches, training_batches
from sritool.data.preprocess import preprocess_corpus
from sritool.data.sources import FileOptions, file_source
from sritool.data.split import Split
from sritool.data.store import load_corpus

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
BATCH = 128
PREPROCESS = "preprocess"
_SLOPES = "slopes of logarithms, over all sizes and between the two largest"


def opened(folder: Path) -> Split:
    """Open the training split as each command does: digests and every id are checked."""
    return load_corpus(folder / "made").split("train")


def first_batch(folder: Path, share: float = 0.0) -> None:
    """Begin an epoch after a share of its batches, as a new or resumed run does."""
    split = opened(folder)
    batches = training_batches(split.lengths, BATCH, 0, 1)
    collate(split, batches[int(share * len(batches))])


def all_batches(folder: Path, is_training: bool) -> None:
    """Read every batch of a training epoch, or of an evaluation of the same sentences."""
    lengths = (split := opened(folder)).lengths
    for batch in (
        training_batches(lengths, BATCH, 0, 1) if is_training else evaluation_batches(lengths, BATCH)
    ):
        collate(split, batch)


STAGES: dict[str, Callable[[Path], object]] = {
    "open": opened,
    "first batch": first_batch,
    "resume in the middle": lambda folder: first_batch(folder, 0.5),
    "epoch": lambda folder: all_batches(folder, is_training=True),
    "evaluation": lambda folder: all_batches(folder, is_training=False),
}


def prepare(folder: Path, workers: int) -> None:
    """Run `sritool preprocess` on the text in the folder."""
    source = file_source({"train": folder / "text.txt"}, FileOptions())
    preprocess_corpus("made", source, data_dir=folder, force=True, workers=workers)


def watched(task: Callable[[], object]) -> dict[str, float]:
    """Measure the time and peak memory of this process while it runs a task."""
    before, used, clock = memory_of_process("RssAnon"), _processor(), time.perf_counter()
    peak, over = before, threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, memory_of_process("RssAnon"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    task()
    seconds, processor = time.perf_counter() - clock, _processor() - used
    over.set()
    thread.join()
    return {"processor s": processor, "s": seconds, "peak MiB": peak - before}


def _processor() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ask(stage: str, folder: Path, workers: int) -> dict[str, float]:
    """Measure one stage in a process of its own."""
    # Not with -m: worker processes would import all that this module does.
    program = "from benchmarks.corpora import main; main()"
    words = [sys.executable, "-c", program, stage, str(folder), str(workers)]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the figures for `ask`, for the stage, folder and number of workers on the command line."""
    stage, folder, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    task = partial(prepare, folder, workers) if stage == PREPROCESS else partial(STAGES[stage], folder)
    print(json.dumps(watched(task)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_common(parser)
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds of all stages but preprocess; the least counts"
    )
    parser.add_argument("--lines", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--words", type=int, default=10, help="average words per line")
    parser.add_argument("--vocabulary", type=int, default=50_000)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1], help="workers of preprocess; one run for each number"
    )
    parser.add_argument("--folder", type=Path, help="folder to make the temporary folder in")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """Measure all sizes."""
    sizes = sorted(arguments.lines)
    counts = {f"{PREPROCESS}, {n} worker{'s' if n > 1 else ''}": n for n in arguments.workers}
    found: dict[str, list[dict[str, float]]] = {stage: [] for stage in (*counts, *STAGES)}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            write_text(folder / "text.txt", size, arguments.words, arguments.vocabulary)
            for stage, figures in found.items():
                task = PREPROCESS if stage in counts else stage
                rounds = 1 if stage in counts else context.rounds
                several = [ask(task, folder, counts.get(stage, 1)) for _ in range(rounds)]
                figures.append({name: min(each[name] for each in several) for name in several[0]})
                say(f"{size:,} lines, {stage}: {figures[-1]['processor s']:.2f} s")
    settings = {name: getattr(arguments, name) for name in ("lines", "words", "vocabulary", "workers")}
    records = []
    for stage, figures in found.items():
        columns = {name: [each[name] for each in figures] for name in figures[0]}
        records.append({"stage": stage, "lines": sizes, **columns, "slopes": _slopes(sizes, columns)})
    note = f"lines of about {arguments.words} words; {_SLOPES}"
    return Report("corpora", settings, {"stages": records}, [table_of(sizes, records, note)])


def _slopes(sizes: Sequence[int], columns: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Slopes of log time and log memory on log lines; values below 0.01 s or 1 MiB count as that much."""
    least = {"processor s": 0.01, "peak MiB": 1.0} if len(sizes) > 1 else {}
    return {name: slope_of(sizes, np.maximum(columns[name], low).tolist()) for name, low in least.items()}


def table_of(sizes: Sequence[int], records: Sequence[dict[str, Any]], note: str) -> Table:
    """Make a table for people."""
    rows = []
    for record in records:
        slopes = {
            name: f"{slope['exponent']:.2f}, {slope['last_doubling']:.2f}"
            for name, slope in record["slopes"].items()
        }
        seconds = [*(round(value, 2) for value in record["processor s"]), round(record["s"][-1], 1)]
        memory = [round(value) for value in record["peak MiB"]]
        rows.append((record["stage"], *seconds, slopes.get("processor s"), *memory, slopes.get("peak MiB")))
    of_time = (*(f"processor s, {size:,}" for size in sizes), f"s by the clock, {sizes[-1]:,}", "slope")
    columns = ("stage", *of_time, *(f"MiB, {size:,}" for size in sizes), "slope of memory")
    return Table("growth with the lines of a corpus", columns, rows, note)
