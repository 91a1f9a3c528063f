"""`sritool train` in two processes: how it begins, how it ends, and what it says of both."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sritool
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import LAST
from support.tables import Run

TRAIN = ["train", "mine", "--config", "small.toml", "--no-summary", "--device", "cpu", "--name", "job"]
ENDLESS = ["--epochs", "1000000", "--patience", "0"]
HERE = [sys.executable, "-P", "-m", "sritool", *TRAIN, "--processes", "2"]
TORCHRUN = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
Starter = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.slow


@pytest.fixture
def start(train_small: Run, tmp_path: Path) -> Iterator[Starter]:
    """Begin a command line in the folder with the small corpus; what it says comes line by line."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(Path(sritool.__file__).parents[1])}
        process = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            for worker in workers(process).values():
                os.kill(worker, signal.SIGKILL)
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [own for child in map(int, found) for own in (child, *children(child))]


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Rank -> number of the process."""
    found = {}
    for child in children(process.pid):
        rank = re.search(rb"\0RANK=(\d+)\0", b"\0" + Path(f"/proc/{child}/environ").read_bytes())
        if rank is not None:
            found[int(rank[1])] = child
    return found


def wait_for_a_step(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if re.search(r"\b[1-9]\d*/\d+ steps", line):
            return said
    raise AssertionError("".join(said))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=240)
    return process.returncode, said


def saved_step() -> int:
    return int(load_checkpoint(Path("runs/job") / LAST).progress["step"])


def wait_for_a_save() -> None:
    """A step is told before it is saved."""
    ends = time.monotonic() + 60
    while saved_step() == 0:
        assert time.monotonic() < ends


@pytest.mark.at_length
def test_a_run_to_its_end_and_what_it_would_cost(start: Starter) -> None:
    code, said = ended(start(*HERE, "--dry-run", "--format", "tsv"))
    assert code == 0, said
    assert re.search(r"^processes\t2\twith 8 sentences of a batch each$", said, re.M), said
    assert re.search(r"^summed in a step\t\d", said, re.M), said
    code, said = ended(start(*HERE, "--max-steps", "7"))
    assert code == 0, said
    assert said.count("by 2 processes") == said.count("stopped by --max-steps after 7 steps") == 1
    assert saved_step() == 7


@pytest.mark.at_length
def test_an_error_ends_all_with_one_line(start: Starter) -> None:
    found, said = ended(
        start(*HERE, "--set", "sampler.step_sizes=[1e30]", "--set", "sampler.exponential=false")
    )
    assert found == 4, said
    assert said.count("error: ") == 1
    assert "the chain explodes" in said


@pytest.mark.parametrize(
    ("number", "to"),
    [
        (signal.SIGUSR1, "the launcher"),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.at_length),
    ],
)
def test_a_signal_saves_and_ends_all(start: Starter, number: signal.Signals, to: str | int) -> None:
    process = start(*HERE, *ENDLESS)
    wait_for_a_step(process)
    os.kill(process.pid if isinstance(to, str) else workers(process)[to], number)
    code, said = ended(process)
    assert code == 128 + number, said
    step = re.search(r"stopped at step (\d+), saved in runs/job/last.pt", said)
    assert step is not None, said
    assert saved_step() == int(step[1])


def test_a_killed_process_ends_the_others_with_one_line(start: Starter) -> None:
    process = start(*HERE, *ENDLESS)
    wait_for_a_step(process)
    os.kill(workers(process)[1], signal.SIGKILL)
    code, said = ended(process)
    assert code == 137, said
    assert said.count("error: ") == 1
    assert "process 1 was ended by SIGKILL" in said
    assert saved_step() > 0


@pytest.mark.at_length
def test_torchrun_starts_a_killed_process_again_from_what_was_saved(start: Starter) -> None:
    """The first one, with which the others meet."""
    plan = [*ENDLESS, "--save-every", "1", "--max-steps", "40"]
    process = start(*TORCHRUN, "--max-restarts", "1", "-m", "sritool", *TRAIN, *plan)
    wait_for_a_step(process)
    wait_for_a_save()
    os.kill(workers(process)[0], signal.SIGKILL)
    code, said = ended(process)
    assert code == 0, said
    again = re.search(r"going on with sri on mine at step (\d+), in runs/job, by 2 processes", said)
    assert again is not None, said
    assert int(again[1]) > 0
    assert saved_step() == 40
