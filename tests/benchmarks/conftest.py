"""Runs benchmarks in their quick forms."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest


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
