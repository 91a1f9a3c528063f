"""The SLURM script, with stand-ins for `srun` and `scontrol`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sritool

ROOT = Path(sritool.__file__).parents[1]
SCRIPT = ROOT / "examples" / "train.slurm"
SMALL = ("--method", "lm", "--hidden", "8", "--embedding", "8", "--no-summary", "--threads", "1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a job: `srun` runs its command here, `scontrol` records its arguments."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "srun").write_text('#!/bin/bash\nexec "$@"\n')
    (commands / "scontrol").write_text(f'#!/bin/bash\necho "$@" >> {tmp_path / "scontrol.log"}\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": "4711"}


@pytest.fixture
def job(tmp_path: Path, cluster: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A job that would train forever."""
    command = ["bash", str(SCRIPT), "tiny", *SMALL, "--epochs", "1000000", "--patience", "0"]
    process = subprocess.Popen(
        command, env=cluster, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    yield process
    process.kill()
    process.wait()


def wait_for(job: subprocess.Popen[str], word: str) -> None:
    assert job.stdout is not None
    assert any(word in line for line in job.stdout), f"the job never printed {word!r}"


def test_job_near_its_time_limit_is_saved_and_requeued(job: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_for(job, "steps")
    job.send_signal(signal.SIGUSR1)
    printed, _ = job.communicate(timeout=60)
    assert job.returncode == 0, printed
    assert (tmp_path / "scontrol.log").read_text() == "requeue 4711\n"
    assert "saved in runs/tiny-lm/last.pt" in printed
    assert (tmp_path / "runs/tiny-lm/last.pt").is_file()


@pytest.mark.at_length
def test_cancelled_job_is_saved_and_not_requeued(job: subprocess.Popen[str], tmp_path: Path) -> None:
    wait_for(job, "steps")
    job.send_signal(signal.SIGTERM)
    printed, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "saved in runs/tiny-lm/last.pt" in printed
    assert not (tmp_path / "scontrol.log").exists()


@pytest.mark.at_length
def test_finished_job_is_not_requeued(tmp_path: Path, cluster: dict[str, str]) -> None:
    command = ["bash", str(SCRIPT), "tiny", *SMALL, "--max-steps", "3"]
    done = subprocess.run(command, env=cluster, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "scontrol.log").exists()
