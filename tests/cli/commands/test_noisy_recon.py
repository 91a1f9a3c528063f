"""`sritool noisy-recon`: the figures of evaluate at k = 0, a row a run, one noisy text for all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from sritool.cli.commands.noisy_recon import parse_counts
from sritool.errors import UsageError

Run = Callable[..., Result]


def rows(result: Result) -> list[dict[str, str]]:
    """Rows of TSV on stdout, where nothing else may be."""
    assert result.exit_code == 0, result.stderr
    text = io.StringIO(result.stdout, newline="")
    return list(csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_without_noise_it_is_what_evaluate_measures(run: Run) -> None:
    options = ["mine-sri", "--split", "valid", "--limit", 7, "--seed", 3, "-q"]
    found = rows(run("noisy-recon", *options))
    measured = {row["metric"]: row for row in rows(run("evaluate", "--metrics", "recon,permuted", *options))}
    for name in ("recon", "permuted"):
        for column, theirs in ((name, "value"), (f"{name} se", "se")):
            assert float(found[0][column]) == pytest.approx(float(measured[name][theirs]), rel=1e-5)
    for name in ("sentences", "of", "draws", "estimator", "data"):
        assert found[0][name] == measured["recon"][name]


def test_a_row_each_run_and_number_of_changes(run: Run) -> None:
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


def test_people_get_the_papers_row_and_the_increase_below(run: Run) -> None:
    first, second = run("noisy-recon", "--format", "markdown", "-q").stdout.strip().split("\n\n")
    assert first.splitlines()[0] == "| run | method | k = 0 | k = 1 | k = 2 | k = 3 | k = 4 |"
    assert second.splitlines()[0] == "| run | k = 1 | k = 2 | k = 3 | k = 4 | permuted |"
    assert first.count("±") == second.count("±") == 5
    long = [json.loads(line) for line in run("noisy-recon", "--format", "json", "-q").stdout.splitlines()]
    assert f"{long[0]['recon']:.1f}" in first


def test_one_noisy_text_for_all(run: Run) -> None:
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


def test_text_from_stdin_that_is_too_short(run: Run) -> None:
    result = run("noisy-recon", "--text", "-", "-q", "--k", "1", stdin="heron\n\nan otter\n")
    found = rows(result)
    assert [(row["sentences"], row["of"], row["data"]) for row in found] == [("3", "3", "standard input")] * 2
    assert [row["short"] for row in found] == ["0", "2"]
    assert "too short for k swaps, 2 at k = 1" in result.stderr
    assert float(found[1]["changed"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["mine-lm"], 2, "method lm has no z"),
        (["--k", "two"], 2, "--k two is no list of whole numbers"),
        (["--k", "4-1"], 2, "--k 4-1 has no range 4-1"),
        (["--noise", "typos"], 2, "no noise 'typos'; choose one of swap, drop, replace"),
        (["--noisy", "none.tsv"], 3, "no such file: none.tsv"),
        (
            ["--noisy", "none.tsv", "--noise", "swap"],
            2,
            "leave --noise, --split, --text and --write-noisy out",
        ),
        (["--text", "mine.txt", "--split", "valid"], 2, "leave it or --text out"),
        (
            ["--write-noisy", "none/noisy.tsv", "none"],
            2,
            "--write-noisy none/noisy.tsv cannot be written; give",
        ),
        (["--split", "dev"], 2, "'dev' is no split"),
        (["mine-sri", "none"], 3, "none"),
    ],
)
def test_bad_input(run: Run, options: list[str], code: int, message: str) -> None:
    result = run("noisy-recon", *options, "-q")
    assert (result.exit_code, result.stdout) == (code, "")
    last = result.stderr.splitlines()[-1]
    assert message in last


@pytest.mark.parametrize(
    ("text", "counts"), [("3", (3,)), ("0,2,5-8", (0, 2, 5, 6, 7, 8)), (" 1 - 2 , 2", (1, 2, 2))]
)
def test_lists_of_numbers(text: str, counts: tuple[int, ...]) -> None:
    assert parse_counts(text) == counts


@pytest.mark.parametrize("text", ["", ",", "1,", "-1", "1.5", "1-", "1-2-3", "9" * 9, "0-99999"])
def test_what_is_no_list_of_numbers(text: str) -> None:
    with pytest.raises(UsageError, match="give one like 0-4"):
        parse_counts(text)
