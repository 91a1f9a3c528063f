"""Worker processes give the same results in the same order as a single process, and end with their parent."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sritool.data import sentences as sentences_module
from sritool.data import workers
from sritool.data.options import PrepareOptions
from sritool.data.preprocess import preprocess_corpus
from sritool.data.sentences import CorpusText, Cut, Sentences
from sritool.data.sources import Source
from sritool.data.workers import ordered_map
from sritool.errors import DataError, SritoolError


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 1)
    monkeypatch.setattr(sentences_module, "CHUNK", 100)


def test_results_keep_the_order_of_items() -> None:
    slow_first = [f"__import__('time').sleep({0.2 * (k == 1)}) or {k}" for k in range(9)]
    assert [*ordered_map(eval, slow_first, 2)] == [*range(9)]
    assert [*ordered_map(math.sqrt, [], 2)] == []


def test_error_comes_after_earlier_results() -> None:
    def items() -> Iterator[int]:
        yield from (1, 4, 9)
        raise DataError("bad")

    found = ordered_map(math.sqrt, items(), 2)
    assert [next(found) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(DataError, match="bad"):
        next(found)
    with pytest.raises(ValueError, match="domain"):
        [*ordered_map(math.sqrt, [1, 4, -1, 9], 2)]


def test_killed_worker_is_reported() -> None:
    with pytest.raises(SritoolError, match="--workers"):
        [*ordered_map(signal.raise_signal, [signal.SIGCONT, signal.SIGKILL, signal.SIGCONT], 2)]


def test_workers_end_with_a_killed_parent() -> None:
    program = (
        "from sritool.data import workers\n"
        "workers.ALONE = 0\n"
        "pid = \"__import__('os').getpid()\"\n"
        "for found in workers.ordered_map(eval, [pid, *[\"__import__('time').sleep(300)\"] * 8], 1 + 1):\n"
        "    print(found, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = Path("/proc") / process.stdout.readline().strip()
        assert worker.exists() or not Path("/proc").exists()
        process.kill()
        process.stdout.read()  # until the last process that holds the pipe ends


@pytest.mark.parametrize(
    "options", [{}, {"lowercase": True, "split_punctuation": True}, {"tokenizer": "bpe", "vocab_size": 60}]
)
def test_corpus_is_identical_to_the_byte(
    tmp_path: Path, sentences: list[str], options: dict[str, object]
) -> None:
    many = [f"{line} \x07" if number % 7 == 0 else line for number, line in enumerate([*sentences, ""] * 20)]
    labels = ["odd" if number % 2 else "even" for number in range(len(many))]
    text = CorpusText("a test", {"train": Sentences(many, labels)}, (), Cut({"valid": 0.2, "test": 0.1}, 3))
    source = Source(PrepareOptions(**options), lambda: text)  # type: ignore[arg-type]
    trees = []
    for count in (1, 3):
        path = preprocess_corpus("m", source, data_dir=tmp_path / str(count), workers=count).path
        files = [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]
        trees.append({str(file.relative_to(path)): file.read_bytes() for file in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) > 10
