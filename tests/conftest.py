"""Fixtures shared by all tests: a clean environment, the command line in process and as a subprocess, corpora."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from typer.testing import CliRunner, Result

import sritool

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported; pytest-xdist runs one worker per core
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when the hub client is imported

pytest_plugins = [f"support.{name}" for name in ("batches", "hub", "methods", "runs", "targets")]

hypothesis.settings.register_profile("sritool", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("sritool")

KEPT_VARIABLES = {"SRITOOL_TEST_CORPORA"}
DISPLAY_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
for _name in DISPLAY_VARIABLES:  # also for processes that outlive a test; xdist gives its workers a width
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's shell settings out of the tests, and the tests off the hub."""
    for name in [*os.environ]:
        if (name.startswith("SRITOOL_") and name not in KEPT_VARIABLES) or name in DISPLAY_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --at-length, for tests marked `faults` and slow ones that start many processes."""
    parser.addoption("--at-length", action="store_true", help="run every case instead of a sample")


@pytest.fixture(scope="session")
def at_length(pytestconfig: pytest.Config) -> bool:
    """Whether to run every case instead of a sample."""
    return bool(pytestconfig.getoption("--at-length"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use no workers when files or folders are named: starting them takes longer than they save."""
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else None


def pytest_configure() -> None:
    """Restore Ctrl-C: shells start background jobs with SIGINT ignored, which the tests' processes would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need a CUDA device if there is none; torch is imported only if there are such tests."""
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; skips the test if there is none."""
    folder = os.environ.get("SRITOOL_TEST_CORPORA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SRITOOL_TEST_CORPORA names no folder of corpora")
    return Path(folder).resolve()


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `sritool ARGS` in this process, in an empty folder; the result has stdout, stderr and exit_code."""
    from sritool.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="sritool")

    return run


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGS` (such as `-m sritool …`) as a subprocess in an empty folder."""

    def run(*args: object, env: dict[str, str] | None = None, **settings: Any) -> Any:
        root = str(Path(sritool.__file__).parents[1])
        return subprocess.run(
            [sys.executable, *(str(arg) for arg in args)],
            env=os.environ | {"PYTHONPATH": root} | (env or {}),
            check=False,
            **({"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 600} | settings),
        )

    return run
