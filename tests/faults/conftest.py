"""What the tests of this folder count, told at the end of a run: damage that was done, and met as it should be.

`python -m faults.harness` does the same at length.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COUNTS = pytest.StashKey[Counter[str]]()
SECONDS = pytest.StashKey[list[float]]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Callable[..., None]:
    """tally("kills survived") or tally("inputs fuzzed", 200), after the check has passed."""
    counts = pytestconfig.stash.setdefault(COUNTS, Counter())

    def add(what: str, times: int = 1) -> None:
        counts[what] += times

    return add


@pytest.fixture(scope="session")
def zygote() -> Iterator[Any]:
    """Starts processes of the program in milliseconds: `faults.harness.zygote`."""
    from faults.harness.zygote import Zygote

    with Zygote() as one:
        yield one


@pytest.fixture(scope="session")
def lab(zygote: Any) -> Iterator[Any]:
    """A folder `base` with a corpus `mine` and a run `mine-sri`, to be copied: `faults.harness.kill`."""
    from faults.harness.kill import laboratory

    with laboratory(zygote) as place:
        yield place


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an honest run, its corpus data/mine, and good.pt: `faults.harness.hostile`."""
    from faults.harness.hostile import make_run

    folder = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_run()
    return folder


@pytest.fixture(autouse=True)
def _timed(pytestconfig: pytest.Config) -> Iterator[None]:
    began = time.perf_counter()
    yield
    pytestconfig.stash.setdefault(SECONDS, []).append(time.perf_counter() - began)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line of counts."""
    counts = config.stash.get(COUNTS, Counter())
    if counts:
        told = ", ".join(f"{times:,} {what}" for what, times in counts.items())
        seconds = sum(config.stash.get(SECONDS, []))
        terminalreporter.write_line(f"faults: {told}, in {seconds:.0f} s")
