"""`sritool noisy-recon`: its table, against `evaluate` at k = 0, and the noisy text it writes and reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.tables import Run, rows


def test_without_noise_figures_equal_evaluate(run: Run) -> None:
    options = ["mine-sri", "--split", "valid", "--limit", 7, "--seed", 3, "-q"]
    found = rows(run("noisy-recon", *options))
    measured = {row["metric"]: row for row in rows(run("evaluate", "--metrics", "recon,permuted", *options))}
    for name in ("recon", "permuted"):
        for column, theirs in ((name, "value"), (f"{name} se", "se")):
            assert float(found[0][column]) == pytest.approx(float(measured[name][theirs]), rel=1e-5)
    for name in ("sentences", "of", "draws", "estimator", "data"):
        assert found[0][name] == measured["recon"][name]


def test_one_row_per_run_and_k(run: Run) -> None:
    result = run("noisy-recon", "mine-sri", "mine-lm", "--k", "2,4-5", "--noise", "drop", "-q")
    found = rows(result)
    assert [(row["run"], row["noise"], row["k"]) for row in found] == [
        ("mine-sri", "drop", k) for k in ("0", "2", "4", "5")
    ]
    assert found[0]["increase"] == "0"
    for row in found:
        increase = float(row["recon"]) - float(found[0]["recon"])
        assert float(row["increase"]) == pytest.approx(increase, abs=1e-5)
        assert row["short"] == "0"
    assert "mine-lm: left out, as lm has no z" in result.stderr


def test_printed_tables_are_recon_and_its_increase(run: Run) -> None:
    shown = run("noisy-recon", "--format", "markdown", "-q").stdout
    first, second = (block for block in shown.strip().split("\n\n") if block.startswith("|"))
    assert "**" in shown.splitlines()[0]
    assert first.splitlines()[0] == "| run | method | k = 0 | k = 1 | k = 2 | k = 3 | k = 4 |"
    assert second.splitlines()[0] == "| run | k = 1 | k = 2 | k = 3 | k = 4 | permuted |"
    assert first.count("±") == second.count("±") == 5
    long = [json.loads(line) for line in run("noisy-recon", "--format", "json", "-q").stdout.splitlines()]
    assert f"{long[0]['recon']:.1f}" in first


def test_noisy_text_is_written_and_read_back(run: Run) -> None:
    made = rows(run("noisy-recon", "mine-sri", "--limit", 6, "--write-noisy", "noisy.tsv", "-q"))
    lines = Path("noisy.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "k\tindex\tnoisy\tclean"
    assert len(lines) == 1 + 5 * 6
    table = [line.split("\t") for line in lines[1:]]
    assert all(sorted(noisy.split()) == sorted(clean.split()) for _, _, noisy, clean in table)
    given = rows(run("noisy-recon", "mine-sri", "--noisy", "noisy.tsv", "-q"))
    for one, other in zip(made, given, strict=True):
        assert float(one["recon"]) == pytest.approx(float(other["recon"]), rel=1e-5)
    assert {(row["noise"], row["data"], row["short"]) for row in given[1:]} == {
        ("noisy.tsv", "noisy.tsv", "")
    }
    run("noisy-recon", "mine-sri", "--limit", 6, "--chains", 1, "--write-noisy", "again.tsv", "-q")
    assert Path("again.tsv").read_bytes() == Path("noisy.tsv").read_bytes()
    run("noisy-recon", "mine-sri", "--limit", 6, "--seed", 1, "--write-noisy", "other.tsv", "-q")
    assert Path("other.tsv").read_bytes() != Path("noisy.tsv").read_bytes()


def test_sentences_too_short_for_k_swaps(run: Run) -> None:
    result = run("noisy-recon", "--text", "-", "-q", "--k", "1", stdin="heron\n\nan otter\n")
    found = rows(result)
    assert [(row["sentences"], row["of"], row["data"]) for row in found] == [("3", "3", "standard input")] * 2
    assert [row["short"] for row in found] == ["0", "2"]
    assert "too short for k swaps: 2 at k = 1" in result.stderr
    assert float(found[1]["changed"]) == pytest.approx(1 / 3)
