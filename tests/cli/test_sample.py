"""`sritool sample`: sentences from the prior, the same for the same seed, ready for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]


def sentences(run: Run, *args: object) -> list[str]:
    result = run("sample", "mine-sri", *args)
    assert result.exit_code == 0, result.stderr
    return result.stdout.split("\n")[:-1]  # in a pipe sentences alone, without a header


def test_same_seed_same_sentences_and_the_first_of_more_are_the_same(run: Run) -> None:
    drawn = ["--temperature", 1.5]
    ten = sentences(run, *drawn, "--seed", 3)
    assert len(ten) == 10
    assert sentences(run, *drawn, "--seed", 3) == ten
    assert sentences(run, *drawn, "--seed", 3, "-n", 4) == ten[:4]
    assert sentences(run, *drawn, "--seed", 4) != ten


def test_first_of_more_are_the_same_beyond_one_batch(run: Run) -> None:
    many = sentences(run, "--ancestral", "-n", 600, "--max-length", 4)
    assert len(many) == 600
    assert sentences(run, "--ancestral", "-n", 520, "--max-length", 4) == many[:520]


def test_greedy_is_the_default_and_takes_no_options_of_drawing(run: Run) -> None:
    greedy = sentences(run, "--greedy")
    assert sentences(run) == greedy
    assert sentences(run, "--ancestral") != greedy
    assert sentences(run, "--top-k", 1) == greedy  # the likeliest word is the only one left
    assert sentences(run, "--top-p", 1e-9) == greedy
    assert sentences(run, "--top-k", 5) != greedy
    assert sentences(run, "--top-p", 0.5) != greedy
    for option in (["--top-k", 5], ["--top-p", 0.5], ["--temperature", 2]):
        result = run("sample", "mine-sri", "--greedy", *option)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"error: {option[0]} is for ancestral decoding; leave it or --greedy out\n"


def test_max_length_bounds_the_words(run: Run) -> None:
    lengths = {len(text.split()) for text in sentences(run, "--ancestral", "--max-length", 3, "-n", 30)}
    assert max(lengths) == 3


def test_a_language_model_draws_its_words(run: Run) -> None:
    drawn = run("sample", "mine-lm", "-n", 8).stdout
    assert drawn == run("sample", "mine-lm", "-n", 8, "--ancestral").stdout
    assert len(set(drawn.split("\n"))) > 5
    greedy = run("sample", "mine-lm", "-n", 8, "--greedy")
    assert len(set(greedy.stdout.split("\n")[:-1])) == 1
    assert greedy.stderr == "distinct: 1 of 8\n"


def test_newest_run_and_what_is_distinct_are_said_on_stderr(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("sample", "-n", 2, "--ancestral")
    assert result.stderr == "sampling from runs/mine-sri/best.pt\ndistinct: 2 of 2\n"
    monkeypatch.setenv("SRITOOL_CHECKPOINT", "runs/mine-lm")
    monkeypatch.setenv("SRITOOL_FORMAT", "plain")
    result = run("sample", "-n", 2)
    assert len(result.stdout.splitlines()) == 2
    assert result.stdout.splitlines() == run("sample", "mine-lm", "-n", 2).stdout.splitlines()


def test_head_closes_the_pipe_early(run_program: Callable[..., Any], home: Path) -> None:
    shell = (
        f"set -o pipefail; '{sys.executable}' -m sritool sample mine-sri -n 5000 --ancestral -q | head -n 3"
    )
    program = "import subprocess, sys; sys.exit(subprocess.call(['bash', '-c', sys.argv[1]]))"
    done = run_program("-c", program, shell, cwd=home)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert "rror" not in done.stderr
