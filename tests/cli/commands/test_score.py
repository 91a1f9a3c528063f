"""`sritool score`: one row per line, whatever the line, against `evaluate` and the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sritool.analysis import score as task
from sritool.api import load
from sritool.config.settings import LikelihoodConfig
from sritool.errors import NumericalError
from support.tables import Run, rows

LINES = ["the otter finds the kettle at noon", "", "a mason", "the zebra sings at noon", "  ", "upstairs"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_order_and_number_of_lines_are_kept(run: Run, end: str, last: bool) -> None:
    text = end.join(LINES) + (end if last else "")
    found = rows(run("score", "mine-lm", "-q", stdin=text))
    assert [row["sentence"] for row in found] == LINES
    assert [int(row["predictions"]) for row in found] == [len(line.split()) + 1 for line in LINES]
    assert [int(row["unknown"]) for row in found] == [0, 0, 0, 2, 0, 0]
    assert all(float(row["log_p"]) < 0 for row in found)


@pytest.mark.parametrize("method", ["lm", "sri"])
def test_same_figures_as_evaluate_and_library(run: Run, method: str) -> None:
    Path("lines.txt").write_text("\n".join(LINES))
    found = rows(run("score", f"mine-{method}", "--text", "lines.txt", "--seed", 5, "-q"))
    given = ["--text", "lines.txt", "--seed", 5, "--per-sentence", "--metrics", "nll", "-q"]
    evaluated = rows(run("evaluate", f"mine-{method}", *given))
    assert [float(row["log_p"]) for row in found] == [-float(row["nll"]) for row in evaluated]
    library = load(Path(f"runs/mine-{method}")).log_likelihood(LINES, seed=5)
    assert [float(row["log_p"]) for row in found] == pytest.approx(library.tolist(), rel=1e-6)


def test_seed_and_samples_matter_and_batch_size_does_not(run: Run) -> None:
    def values(*args: object) -> list[float]:
        found = rows(run("score", "mine-sri", "-q", *args, stdin="\n".join(LINES)))
        return [float(row["log_p"]) for row in found]

    usual = values()
    assert values("--batch-size", 2) == pytest.approx(usual, abs=1e-4)
    assert values("--seed", 1) != usual != values("--samples", 7)


def test_progress_is_on_stderr_unless_quiet(run: Run) -> None:
    result = run("score", "mine-sri", stdin="the otter\n")
    assert result.stderr.startswith("inference and likelihood  0/1 sentences")
    assert run("score", "mine-sri", "--quiet", stdin="the otter\n").stderr == ""


@pytest.mark.parametrize("form", ["tsv", "csv", "json", "plain"])
def test_rows_measured_in_parts_equal_the_whole(run: Run, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    whole = run("score", "mine-lm", "-q", "-f", form, stdin="\n".join(LINES)).stdout.splitlines()
    monkeypatch.setattr(task, "PART", 4)
    parts = run("score", "mine-lm", "-q", "-f", form, stdin="\n".join(LINES)).stdout.splitlines()
    assert len(parts) == len(whole) == len(LINES) + (form in ("tsv", "csv"))
    exact = [line for line, other in zip(parts, whole, strict=True) if line == other]
    assert len(exact) >= len(whole) - 2  # another batch size rounds differently


def test_finished_rows_are_printed_before_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    original = task.measure

    def measure(method: object, split: object, rows: Any, *rest: Any) -> Any:
        if rows[0] > 0:
            raise NumericalError("a chain exploded; take smaller steps")
        return original(method, split, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(task, "PART", 4)
    monkeypatch.setattr(task, "measure", measure)
    result = run("score", "mine-lm", "-q", stdin="\n".join(LINES))
    assert result.exit_code == 4
    assert len(result.stdout.splitlines()) == 1 + 4


def test_first_part_is_small(run: Run) -> None:
    model = load(Path("runs/mine-lm"))
    parts = task.score(model, ["a dog"] * 200, 0, LikelihoodConfig(samples=2), 64, lambda *_: None)
    assert len(next(parts)) <= 50


def test_lines_are_cleaned_as_the_corpus_was(run: Run) -> None:
    cleaning = ("--lowercase", "--split-punctuation")
    shares = ("--valid-share", 0.1, "--test-share", 0.1)
    assert run("preprocess", "mine.txt", "--name", "clean", *cleaning, *shares).exit_code == 0
    training = ("--config", "small.toml", "--method", "lm", "--max-steps", 1, "--no-summary", "--threads", 1)
    assert run("train", "clean", *training).exit_code == 0
    raw, clean = rows(run("score", "clean-lm", "-q", stdin="The OTTER finds,\nthe otter finds ,\n"))
    assert (raw["log_p"], raw["predictions"], raw["unknown"]) == (clean["log_p"], "5", "1")


@pytest.mark.parametrize("command", ["score", "evaluate", "noisy-recon"])
def test_what_is_not_read_is_told(run: Run, command: str) -> None:
    longer = " ".join(["otter"] * 201)
    result = run(command, "mine-sri", "--text", "-", stdin=f"the zebra\n{longer}\nthe otter\n")
    assert "1 of 205 words are unknown to the model and read as <unk>: zebra" in result.stderr
    assert "1 sentence is longer than 200 tokens" in result.stderr
