"""Measurements that two processes share, from the command line: what one process prints, once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sritool

LINES = "a dog runs .\nthe farmer eats rice .\nshe sings a song .\n"
COMMANDS = (
    "evaluate tiny-sri --limit 12 --samples 20 --metrics nll,recon,permuted,au --again",
    pytest.param("encode tiny-sri --chains 2", marks=pytest.mark.at_length),
)


def run(command: str, *more: str) -> subprocess.CompletedProcess[str]:
    """What a command gives on a CPU, with LINES on stdin."""
    words = [*command.split(), "--format", "tsv", "--device", "cpu", "--threads", "1", *more]
    return subprocess.run(
        [sys.executable, "-m", "sritool", *words],
        input=LINES,
        env=os.environ | {"PYTHONPATH": str(Path(sritool.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_two_processes_print_what_one_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name, number in (("alone", "1"), ("together", "2")):  # each with a cache of its own
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name / "cache"))
        done = run(command, "--processes", number)
        assert done.returncode == 0, done.stderr
        (tmp_path / f"{name}.tsv").write_text(done.stdout)
    assert (tmp_path / "alone.tsv").read_text() == (tmp_path / "together.tsv").read_text()


@pytest.mark.slow
def test_an_error_is_one_line_and_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("evaluate runs/nothere", "--processes", "2")
    assert (done.returncode, done.stdout) == (3, "")
    assert [
        line for line in done.stderr.splitlines() if line.startswith("error:")
    ] == done.stderr.splitlines()
    assert len(done.stderr.splitlines()) == 1
