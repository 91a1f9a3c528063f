"""`sritool train` in two processes: dry run, complete run, errors, signals, and restarts by torchrun."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import LAST
from support.tables import Run

TRAIN = ["train", "mine", "--config", "small.toml", "--no-summary", "--device", "cpu", "--name", "job"]
ENDLESS = ["--epochs", "1000000", "--patience", "0"]
TWO_PROCESSES = ["-m", "sritool", *TRAIN, "--processes", "2"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
Starter = Callable[..., subprocess.Popen[str]]
pytestmark = pytest.mark.slow


@pytest.fixture
def start(run: Run, start_program: Starter) -> Iterator[Starter]:
    """Start `python ARGS` in a copy of the home folder, stderr on stdout; its workers are killed in the end."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        processes.append(start_program(*words, stderr=subprocess.STDOUT))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            for worker in workers(process).values():
                os.kill(worker, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid for child in map(int, found) for pid in (child, *descendants(child))]


def workers(process: subprocess.Popen[str]) -> dict[int, int]:
    """Rank -> process id."""
    found = {}
    for child in descendants(process.pid):
        rank = re.search(rb"\0RANK=(\d+)\0", b"\0" + Path(f"/proc/{child}/environ").read_bytes())
        if rank is not None:
            found[int(rank[1])] = child
    return found


def wait_for_a_step(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(r"\b[1-9]\d*/\d+ steps", line):
            return
    raise AssertionError("".join(lines))


def wait_for_end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and the rest of the output."""
    output, _ = process.communicate(timeout=240)
    return process.returncode, output


def saved_step() -> int:
    return load_checkpoint(Path("runs/job") / LAST).progress.step


def wait_for_a_save() -> None:
    """A step is reported before it is saved."""
    deadline = time.monotonic() + 60
    while saved_step() == 0:
        assert time.monotonic() < deadline


@pytest.mark.at_length
def test_dry_run_and_complete_run(start: Starter) -> None:
    code, output = wait_for_end(start(*TWO_PROCESSES, "--dry-run", "--format", "tsv"))
    assert code == 0, output
    assert re.search(r"^processes\t2\twith 8 sentences of a batch each$", output, re.M), output
    assert re.search(r"^summed in a step\t\d", output, re.M), output
    code, output = wait_for_end(start(*TWO_PROCESSES, "--max-steps", "7"))
    assert code == 0, output
    assert output.count("by 2 processes") == output.count("stopped by --max-steps after 7 steps") == 1
    assert saved_step() == 7


@pytest.mark.at_length
def test_error_ends_all_processes_with_one_line(start: Starter) -> None:
    diverging = ["--set", "sampler.step_sizes=[1e30]", "--set", "sampler.exponential=false"]
    code, output = wait_for_end(start(*TWO_PROCESSES, *diverging))
    assert code == 4, output
    assert output.count("error: ") == 1
    assert "the chain explodes" in output


@pytest.mark.parametrize(
    ("number", "target"),
    [
        (signal.SIGUSR1, "launcher"),
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.at_length),
    ],
)
def test_signal_saves_and_ends_all_processes(
    start: Starter,
    number: signal.Signals,
    target: str | int,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    process = start(*TWO_PROCESSES, *ENDLESS)
    wait_for_a_step(process)
    os.kill(process.pid if isinstance(target, str) else workers(process)[target], number)
    code, output = wait_for_end(process)
    assert code == 128 + number, output
    step = re.search(r"stopped at step (\d+), saved in runs/job/last.pt", output)
    assert step is not None, output
    assert saved_step() == int(step[1])
    assert list(temporary.iterdir()) == []


def test_killed_process_ends_the_others_with_one_line(start: Starter) -> None:
    process = start(*TWO_PROCESSES, *ENDLESS)
    wait_for_a_step(process)
    os.kill(workers(process)[1], signal.SIGKILL)
    code, output = wait_for_end(process)
    assert code == 137, output
    assert output.count("error: ") == 1
    assert "process 1 was ended by SIGKILL" in output
    assert saved_step() > 0


@pytest.mark.at_length
def test_torchrun_restarts_from_the_last_save(start: Starter) -> None:
    """Rank 0 is killed, which hosts the rendezvous of the others."""
    plan = [*ENDLESS, "--save-every", "1", "--max-steps", "40"]
    process = start(*TORCHRUN, "--max-restarts", "1", "-m", "sritool", *TRAIN, *plan)
    wait_for_a_step(process)
    wait_for_a_save()
    os.kill(workers(process)[0], signal.SIGKILL)
    code, output = wait_for_end(process)
    assert code == 0, output
    resumed = re.search(r"going on with sri on mine at step (\d+), in runs/job, by 2 processes", output)
    assert resumed is not None, output
    assert int(resumed[1]) > 0
    assert saved_step() == 40
