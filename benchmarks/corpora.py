"""How time and memory grow with the lines of a corpus: preparing it, opening it, and batches of it.

The text is generated: words by rank with frequencies as one over the rank, in a temporary folder that is removed.
Every stage of every size runs in a process of its own. Time is that of the processor, workers included, and of the
clock. Memory is the peak of what the process alone holds (RssAnon of /proc/self/status, looked at a hundred times a
second) above what it held before; pages of mapped files, which the system takes back when memory is short, are none
of it. Workers' own memory is left out.
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
from pathlib import Path
from typing import Any

import numpy as np

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
    """The training split, digests checked and every id looked at, as each command opens it."""
    return load_corpus(folder / "made").split("train")


def first_batch(folder: Path, share: float = 0.0) -> None:
    """Begin an epoch at a share of its batches, as a new or a resumed run does."""
    split = opened(folder)
    batches = training_batches(split.lengths, BATCH, 0, 1)
    collate(split, batches[int(share * len(batches))])


def all_batches(folder: Path) -> None:
    """Every batch of an epoch of training."""
    split = opened(folder)
    for batch in training_batches(split.lengths, BATCH, 0, 1):
        collate(split, batch)


def all_of_evaluation(folder: Path) -> None:
    """Every batch of an evaluation of the same sentences."""
    split = opened(folder)
    for batch in evaluation_batches(split.lengths, BATCH):
        collate(split, batch)


STAGES: dict[str, Callable[[Path], object]] = {
    "open": opened,
    "first batch": first_batch,
    "resume in the middle": lambda folder: first_batch(folder, 0.5),
    "epoch": all_batches,
    "evaluation": all_of_evaluation,
}


def prepare(folder: Path, workers: int) -> None:
    """`sritool preprocess` of the text in the folder."""
    source = file_source({"train": folder / "text.txt"}, FileOptions())
    preprocess_corpus("made", source, data_dir=folder, force=True, workers=workers)


class Watch:
    """While entered, the time and the peak of memory of this process."""

    def __enter__(self) -> Watch:
        self._before = self.peak = _anonymous()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        self._clock, self._used = time.perf_counter(), _processor()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._clock
        self.processor = _processor() - self._used
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, _anonymous())

    def figures(self) -> dict[str, float]:
        """For the report."""
        return {"processor s": self.processor, "s": self.seconds, "peak MiB": self.peak - self._before}


def _anonymous() -> float:
    """MiB; nothing where there is no /proc."""
    path = Path("/proc/self/status")
    lines = path.read_text(encoding="ascii").splitlines() if path.is_file() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _processor() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ask(stage: str, folder: Path, workers: int) -> dict[str, float]:
    """The figures of one stage in a process of its own."""
    # Not with -m: worker processes would import all that this module does.
    program = "from benchmarks.corpora import main; main()"
    words = [sys.executable, "-c", program, stage, str(folder), str(workers)]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def answer(stage: str, folder: Path, workers: int) -> dict[str, float]:
    """What `ask` returns, measured in this very process."""
    with Watch() as watch:
        prepare(folder, workers) if stage == PREPROCESS else STAGES[stage](folder)
    return watch.figures()


def main() -> None:
    """Print what `answer` returns of the stage, folder and number of workers on the command line."""
    print(json.dumps(answer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    add_common(parser)
    parser.add_argument("--rounds", type=int, default=3, help="of all but preprocess; the least counts")
    parser.add_argument("--lines", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--words", type=int, default=10, help="a line, on average")
    parser.add_argument("--vocabulary", type=int, default=50_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="of preprocess, one run each")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")


def run(context: Context, arguments: argparse.Namespace) -> Report:
    """All sizes."""
    sizes = sorted(arguments.lines)
    counts = {
        f"{PREPROCESS}, {workers} worker{'s' if workers > 1 else ''}": workers
        for workers in arguments.workers
    }
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
    records = [
        {"stage": stage, "lines": sizes, **_columns(figures), "slopes": _slopes(sizes, figures)}
        for stage, figures in found.items()
    ]
    report = Report("corpora", settings, {"stages": records})
    report.tables.append(table_of(sizes, records, f"lines of about {arguments.words} words; {_SLOPES}"))
    return report


def _columns(figures: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [each[name] for each in figures] for name in figures[0]}


def _slopes(sizes: Sequence[int], figures: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of log time and log memory on log lines; what is below a hundredth of a second or a MiB counts as that."""
    least = {"processor s": 0.01, "peak MiB": 1.0}
    if len(sizes) < 2:
        return {}
    return {
        name: slope_of(sizes, np.maximum([each[name] for each in figures], floor).tolist())
        for name, floor in least.items()
    }


def _both(slope: dict[str, float] | None) -> str | None:
    return None if slope is None else f"{slope['exponent']:.2f}, {slope['last_doubling']:.2f}"


def table_of(sizes: Sequence[int], records: Sequence[dict[str, Any]], note: str) -> Table:
    """For people."""
    rows = [
        (
            record["stage"],
            *(round(value, 2) for value in record["processor s"]),
            round(record["s"][-1], 1),
            _both(record["slopes"].get("processor s")),
            *(round(value) for value in record["peak MiB"]),
            _both(record["slopes"].get("peak MiB")),
        )
        for record in records
    ]
    columns = (
        "stage",
        *(f"processor s, {size:,}" for size in sizes),
        f"s by the clock, {sizes[-1]:,}",
        "slope",
        *(f"MiB, {size:,}" for size in sizes),
        "slope of memory",
    )
    return Table("growth with the lines of a corpus", columns, rows, note)
