"""SIGKILL while files are written: no file is left half written, and only time is lost.

Commands are killed at random moments and before calls that change files; with `--at-length` before every such call.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from faults.harness.kill import Once
from faults.harness.killpoints import Killer
from faults.harness.scene import jobs, names
from sritool.config.settings import RunConfig
from sritool.data.staged_folder import recover, staged
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.files import write_text
from sritool.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sritool.runs.folder import CONFIG, LOCK, METRICS, new_run
from sritool.runs.metrics_log import MetricsLog, read_metrics

JOBS = {job.name: job for job in jobs()}
RANDOM = ("preprocess --force", "train sri", "train vae-fb", "evaluate")
CALLS = {  # some of each command's calls; in training those around the end of an epoch
    "preprocess": (3, 25, 45),
    "train lm": (5, 106, 111, 119, 121),
    "tune-step --write": (2, 4),
    "evaluate": (7, 8),
    "encode": (3, 8),
}


def jobs_but(short: Iterable[str]) -> list[Any]:
    """The names of all jobs; those missing in the short list run only with `--at-length`."""
    marks = {name: () if name in short else (pytest.mark.at_length,) for name in JOBS}
    return [pytest.param(name, marks=marks[name]) for name in JOBS]


@pytest.mark.parametrize("name", jobs_but(RANDOM))
def test_commands_killed_at_random_moments(name: str, lab: Any, at_length: bool) -> None:
    Once(lab, JOBS[name]).at_random(random.Random(name), 8 if at_length else 2)


@pytest.mark.parametrize("name", jobs_but(CALLS))
def test_commands_killed_before_file_changes(name: str, lab: Any, at_length: bool) -> None:
    numbers = itertools.count(1) if at_length else iter(CALLS[name])
    assert Once(lab, JOBS[name]).at_every_call(numbers) >= len(CALLS.get(name, "x"))


def killed_at(number: int, work: Callable[[], Any]) -> bool:
    """Whether a process was killed before its n-th call; otherwise it finished this work."""
    child = os.fork()
    if not child:
        sys.setprofile(Killer(number))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def at_every_call(work: Callable[[], Any], check: Callable[[], None]) -> None:
    """Kill before each call that changes files in turn, and check the files each time."""
    for number in itertools.count(1):
        if not killed_at(number, work):
            break
        check()
    assert number > 4


@pytest.mark.parametrize("link", [False, True])
def test_file_is_old_or_new_at_every_call(link: bool, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    if link:
        (tmp_path / "real").mkdir()
        target.symlink_to("real/page.html")
    texts = itertools.cycle("ab")

    def check() -> None:
        assert target.read_text() in ("a" * 9999, "b" * 9999)
        write_text(target, next(texts) * 9999)
        there = names(tmp_path / "real") if link else names(tmp_path)
        assert there == {"page.html"}

    write_text(target, "a" * 9999)
    at_every_call(lambda: write_text(target, "b" * 9999), check)


def test_checkpoint_is_old_or_new_at_every_call(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"

    def save(step: int) -> None:
        weights = {"w": torch.full((300,), float(step))}
        progress = {"epoch": 0, "step": step, "seconds": 0.0}
        corpus = dict.fromkeys(("name", "path", "content_hash"), "mine")
        corpus |= {"max_length": 9, "lowercase": False, "split_punctuation": False}
        save_checkpoint(Checkpoint(RunConfig(), WordTokenizer(SPECIALS), weights, corpus, progress), path)

    def check() -> None:
        found = load_checkpoint(path)
        assert float(found.weights["w"].mean()) == found.progress.step
        save(found.progress.step + 1)
        assert names(tmp_path) == {"last.pt"}

    save(1)
    at_every_call(lambda: save(99), check)


def test_folder_is_old_or_new_at_every_call(tmp_path: Path) -> None:
    target = tmp_path / "corpus"

    def write(text: str) -> None:
        with staged(target) as new:
            for name in "ab":
                (new / name).write_text(text)

    def check() -> None:
        recover(target)
        texts = {(target / name).read_text() for name in "ab"}
        assert texts in ({"old"}, {"new"})
        write("old")
        assert names(tmp_path) == {"corpus"}

    write("old")
    at_every_call(lambda: write("new"), check)


def test_log_has_whole_lines_at_every_call(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    first = {"kind": "step", "step": 1, "epoch": 1}

    def work() -> None:
        log = MetricsLog(path, steps=1)
        for step in (2, 3):
            log.add({**first, "step": step})

    def check() -> None:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [record["step"] for record in records] == list(range(1, len(records) + 1))
        MetricsLog(path, steps=1)
        assert read_metrics(path) == [first]
        assert names(tmp_path) == {METRICS}

    MetricsLog(path).add(first)
    at_every_call(work, check)


def test_run_starts_in_its_folder_after_every_call(tmp_path: Path) -> None:
    wanted = tmp_path / "runs" / "mine-sri"

    def work() -> None:
        folder, _ = new_run(wanted)
        write_text(folder / CONFIG, "settings")
        MetricsLog(folder / METRICS)

    def check() -> None:
        folder, lock = new_run(wanted)
        assert folder == wanted
        assert names(folder) == {LOCK}
        lock.release()
        assert not names(folder)

    at_every_call(work, check)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_step_sizes_are_written_if_the_table_is_not(lab: Any, tmp_path: Path) -> None:
    tuned = tmp_path / "tuned.pt"
    tune = ("tune-step", lab.folder / "base" / "runs" / "mine-sri", "--limit", 1, "--chains", 4)
    with Path("/dev/full").open("wb") as full:
        done = lab.zygote.run(
            (*tune, "--write", tuned, "--threads", 1), cwd=lab.folder / "base", stdout=full.fileno()
        )
    assert done.code == 1
    assert load_checkpoint(tuned).config.method == "sri"
