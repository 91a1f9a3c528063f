"""Measurements shared by two processes, against the output of one process."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

LINES = "a dog runs .\nthe farmer eats rice .\nshe sings a song .\n"
MEASURE = ("--format", "tsv", "--device", "cpu", "--threads", 1, "--processes")
RunProgram = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = (
    "evaluate tiny-sri --limit 12 --samples 20 --metrics nll,recon,permuted,au --again",
    pytest.param("encode tiny-sri --chains 2", marks=pytest.mark.at_length),
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_two_processes_print_the_same_as_one(run_program: RunProgram, tmp_path: Path, command: str) -> None:
    printed = []
    for number in (1, 2):
        folder = tmp_path / str(number)  # with its own cache
        folder.mkdir()
        words = ("-m", "sritool", *command.split(), *MEASURE, number)
        cache = {"XDG_CACHE_HOME": str(folder / "cache")}
        done = run_program(*words, env=cache, cwd=folder, input=LINES, timeout=300)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    assert printed[0] == printed[1]


@pytest.mark.slow
def test_error_of_two_processes_is_one_line(run_program: RunProgram) -> None:
    done = run_program("-m", "sritool", "evaluate", "runs/nothere", *MEASURE, 2)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error:")
