"""Every benchmark that needs no trained run works on a micro shape."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main

QUICK = (
    "chain --shape micro --rounds 1 --steps 2 --no-memory",
    "train --shape micro --rounds 1 --steps 2 --no-memory",
    "evaluate --shape micro --rounds 1 --sentences 3 --authors-sentences 1",
    "sample --shape micro --rounds 1 --sentences 20 --way greedy beam",
    "preprocess --rounds 1 --lines 200 --words 6 --vocabulary 30",
    "growth --shape micro --rounds 1 --steps 2",
    pytest.param(  # trains and evaluates at each length, in separate processes
        "corpora --lines 100 200 --words 6 --vocabulary 30", marks=pytest.mark.at_length
    ),
    "scale --shape micro --rounds 1",
    "processes --shape micro --rounds 1 --steps 1 --kind sri",
    "vocabulary --shape micro --rounds 1 --vocabulary 40 80 --no-memory",
    "equality --shape micro --steps 4",  # exits with 1 if a bound is violated
)


@pytest.mark.slow
@pytest.mark.parametrize("words", QUICK)
def test_quick_run_prints_its_figures(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(document["results"].values())
