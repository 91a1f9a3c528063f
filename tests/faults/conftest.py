"""Fixtures for real damage. Every test here is marked `faults`; `pytest -m faults --at-length` runs more of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(tryfirst=True)  # before pytest's own hook, which deselects by mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and deselect those that need `--at-length`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults")
    if not config.getoption("--at-length"):
        skipped = [item for item in items if item.get_closest_marker("at_length")]
        items[:] = [item for item in items if item not in skipped]
        config.hook.pytest_deselected(items=skipped)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Any]:
    """Starts processes of the program in milliseconds: `faults.harness.zygote`."""
    from faults.harness.zygote import Zygote

    with Zygote() as one:
        yield one


@pytest.fixture(scope="session")
def lab(zygote: Any) -> Iterator[Any]:
    """A folder `base` to copy, with a corpus `mine` and a run `mine-sri`: `faults.harness.kill`."""
    from faults.harness.kill import laboratory

    with laboratory(zygote) as place:
        yield place


@pytest.fixture(scope="session")
def desk(zygote: Any, lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder in which every command works: `faults.harness.commands`."""
    from faults.harness.commands import Desk, furnish

    folder = tmp_path_factory.mktemp("desk")
    furnish(lab, folder)
    return Desk(zygote, folder)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an honest run, its corpus data/mine, and good.pt: `faults.harness.hostile`."""
    from faults.harness.hostile import make_run

    folder = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_run()
    return folder
