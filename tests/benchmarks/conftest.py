"""The benchmarks stand beside the package and are not installed: the repository's folder goes on the path."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)  # last, so that an installed sritool is the one that is tested


@pytest.fixture(scope="session")
def benchmark() -> Callable[..., tuple[int, Any]]:
    """Run `python -m benchmarks WORDS --format json` here, the same words once: exit code and the document."""
    from benchmarks.__main__ import main

    known: dict[tuple[str, ...], tuple[int, Any]] = {}

    def run(*words: str) -> tuple[int, Any]:
        if words not in known:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = main([*words, "--format", "json"])
            known[words] = code, json.loads(printed.getvalue())
        return known[words]

    return run
