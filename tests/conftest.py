"""Fixtures that all tests share: a clean environment, the command line here and as a process, corpora."""

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

os.environ["OMP_NUM_THREADS"] = "1"  # torch reads it when it is imported; pytest-xdist runs a worker a core
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # the hub's client does likewise

pytest_plugins = [f"support.{name}" for name in ("batches", "hub", "methods", "runs", "targets")]

hypothesis.settings.register_profile("sritool", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("sritool")

KEPT_VARIABLES = {"SRITOOL_TEST_CORPORA"}
DISPLAY_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
for _name in DISPLAY_VARIABLES:  # for processes that outlive a test too; a worker of xdist is given a width
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the caller's shell reaches a test, and no test reaches a hub."""
    for name in [*os.environ]:
        if (name.startswith("SRITOOL_") and name not in KEPT_VARIABLES) or name in DISPLAY_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """For the tests marked `faults`, and for slow ones that start many processes."""
    parser.addoption("--at-length", action="store_true", help="all that there is, in place of a sample")


@pytest.fixture(scope="session")
def at_length(pytestconfig: pytest.Config) -> bool:
    """Whether all damage was asked for, in place of a sample."""
    return bool(pytestconfig.getoption("--at-length"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers where files or folders are named: to start them takes longer than they save there."""
    return 0 if config.args_source is pytest.Config.ArgsSource.ARGS else None


def pytest_configure() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and the processes of the tests would be too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none; torch is imported only if a test asks for one."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; the test is skipped where there is none."""
    folder = os.environ.get("SRITOOL_TEST_CORPORA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SRITOOL_TEST_CORPORA names no folder of corpora")
    return Path(folder).resolve()


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `sritool ARGS` in this process and an empty folder: a result with stdout, stderr and exit_code."""
    from sritool.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*args: object, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="sritool")

    return run


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGS` (as `-m sritool …`) as a process in an empty folder."""

    def run(*args: object, env: dict[str, str] | None = None, **settings: Any) -> Any:
        root = str(Path(sritool.__file__).parents[1])
        return subprocess.run(
            [sys.executable, *(str(arg) for arg in args)],
            env=os.environ | {"PYTHONPATH": root} | (env or {}),
            check=False,
            **({"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120} | settings),
        )

    return run
