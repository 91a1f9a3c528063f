"""`sritool compare`: a table of several runs, their best values and differences, against `evaluate`."""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sritool.analysis.comparison import DEFAULT_COLUMNS, Comparison, Row
from sritool.analysis.training_cost import Training
from sritool.cli import render
from sritool.cli.formats import Best
from sritool.cli.tables import comparison as tables
from sritool.evaluation.evaluate import Evaluation
from sritool.evaluation.metric_table import METRICS
from sritool.evaluation.metrics import Estimate, Reliability
from support.tables import Run, options, rows

FEW = ["--samples", 6, "--limit", 4, "-q"]
SHOWN = DEFAULT_COLUMNS[:8]
WITHOUT_Z = ["ppl", "recon", "nll"]
"""Columns that a language model has too, and that therefore have differences to it."""


def test_one_row_per_run_with_the_figures_of_evaluate(run: Run) -> None:
    compared = run("compare", "mine-sri", "mine-lm", *FEW)
    found = rows(compared)
    assert [(row["run"], row["method"]) for row in found] == [("mine-sri", "sri"), ("mine-lm", "lm")]
    shown = list(found[0])
    assert shown[:5] == ["run", "method", "corpus", "ppl", "ppl se"]
    assert [name for name in shown if name in METRICS] == list(SHOWN)
    assert shown[-5:] == ["parameters", "tokens/s", "seconds", "epochs", "planned epochs"]
    assert "*" not in compared.stdout  # the best values are marked only for people
    evaluated = run("evaluate", "mine-sri", "mine-lm", "--metrics", ",".join(SHOWN), *FEW)
    assert "measured before" in evaluated.stderr
    for mine, theirs in zip(found, rows(evaluated), strict=True):
        shared = mine.keys() & theirs.keys()
        assert shared > {"ppl", "ppl se", "estimator", "sentences", "of", "ess", "half"}
        assert {name: mine[name] for name in shared} == {name: theirs[name] for name in shared}
        assert (mine["sentences"], mine["of"], mine["training sentences"]) == ("4", "16", "128")
        assert mine["epochs"] == "2"
        assert math.isfinite(float(mine["seconds"]))


def test_recorded_figures_are_not_measured_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from sritool.evaluation.stages import Stages

    given = ["compare", "mine-sri", "mine-lm", "--metrics", "ppl,au", *FEW]
    first, original, measured = run(*given), Stages.run, []
    monkeypatch.setattr(Stages, "run", lambda stages: measured.append(stages) or original(stages))
    second = run(*given)
    assert (second.stdout, measured) == (first.stdout, [])
    more = run(*given[:4], "ppl,recon", *FEW)
    assert [stages.settings.metrics for stages in measured] == [("recon",)] * 2
    assert [row["ppl"] for row in rows(more)] == [row["ppl"] for row in rows(first)]
    assert run(*given, "--again").stdout == first.stdout
    assert len(measured) == 4


def test_default_runs_are_those_on_the_newest_corpus(run: Run) -> None:
    small = ("--config", "small.toml", "--threads", 1, "--no-summary", "--method", "lm", "--epochs", 1, "-q")
    assert run("train", "other", *small).exit_code == 0
    # Two saves within one tick of the clock have no order.
    later = max(path.stat().st_mtime for path in Path("runs").glob("*/*.pt")) + 1
    for name in ("best.pt", "last.pt"):
        os.utime(Path("runs/mine-lm", name), (later, later))
    found = run("compare", "--metrics", "nll", *FEW)
    assert [row["run"] for row in rows(found)] == ["mine-lm", "mine-sri"]
    assert "without 1 on other corpora: mine-lm, mine-sri\n" in found.stderr
    given = ["compare", "mine-lm", "other-lm", "--metrics", "nll", *FEW]
    refused = run(*given)
    assert (refused.exit_code, refused.stdout, "--mixed" in refused.stderr) == (3, "", True)
    mixed = rows(run(*given, "--mixed"))
    assert [(row["corpus"], row["data"]) for row in mixed] == [("mine", "mine test"), ("other", "other test")]
    shown = run(*given, "--mixed", "-f", "table").stdout
    assert shown.startswith("On test of each run's own corpus\n")
    assert "*" not in shown  # none is marked as the best


def test_columns_and_order(run: Run) -> None:
    def shown(*args: object) -> tuple[list[str], list[str]]:
        table = run("compare", "mine-sri", "mine-lm", *FEW, "-f", "csv", *args)
        found = list(csv.DictReader(io.StringIO(table.stdout)))
        return [row["run"] for row in found], [name for name in found[0] if name in METRICS]

    assert shown("--metrics", "recon,ppl,epochs") == (["mine-sri", "mine-lm"], ["recon", "ppl"])
    assert set(shown("--metrics", "all")[1]) == set(METRICS)
    assert shown("--metrics", "time,parameters") == (["mine-sri", "mine-lm"], [])
    assert shown("--metrics", "nll", "--sort", "run")[0] == ["mine-lm", "mine-sri"]
    figures = {row["run"]: row for row in rows(run("compare", "mine-sri", "mine-lm", *FEW))}
    for column, sign in (("nll", 1), ("kl", 1), ("mi", -1), ("parameters", 1)):
        wanted = sorted(("mine-sri", "mine-lm"), key=lambda name: sign * float(figures[name][column]))
        assert shown("--sort", column)[0] == wanted, column


def test_measurement_options_change_the_figures(run: Run) -> None:
    def nll(*args: object) -> str:
        given = options({"--limit": 4}, *args)
        return rows(run("compare", "mine-sri", "--metrics", "nll", "-q", *given))[0]["nll"]

    usual = nll("--samples", 6)
    assert nll("--samples", 6, "--batch-size", 3, "--memory", "1G", "--threads", 1) == usual
    others = [["--samples", 7], ["--samples", 6, "--seed", 1], ["--samples", 6, "--split", "valid"]]
    others += [["--samples", 6, "--limit", 5], ["--samples", 6, "--estimator", "sri"]]
    assert usual not in [nll(*args) for args in others]
    own = run("compare", "mine-sri", "mine-lm", "--estimator", "own", "--metrics", "nll", "--limit", 2, "-q")
    assert [(row["estimator"], row["draws"]) for row in rows(own)] == [("sri", "10"), ("exact", "0")]


def test_duplicate_runs_and_no_runs(run: Run) -> None:
    twice = run("compare", "mine-lm", "runs/mine-lm", "runs/mine-lm/best.pt", "--metrics", "nll", *FEW)
    assert [row["run"] for row in rows(twice)] == ["mine-lm"]
    shutil.rmtree("runs")
    assert run("compare", *FEW).exit_code == 3


@pytest.mark.parametrize("width", [60, 120, 210])
def test_wide_table_is_split_into_parts(run: Run, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = render.data_console

    def console() -> Console:
        made = original()
        made.width = width
        return made

    monkeypatch.setattr(render, "data_console", console)
    result = run("compare", "mine-sri", "mine-lm", *FEW, "-f", "table")
    both, _, _ = result.stdout.partition("\nWeights\n")
    table, _, below = (part.splitlines() for part in both.partition("\nDifferences to mine-lm"))
    assert [name for line in below if line.startswith("run ") for name in line.split()[1:]] == list(WITHOUT_Z)
    assert max(map(len, below)) <= width
    table = table[1:]
    assert max(map(len, table)) <= width
    headers = [line.split() for line in table if line.startswith("run ")]
    wanted = ["method", *SHOWN, "estimator", "parameters", "tokens/s", "time", "epochs"]
    assert [name for names in headers for name in names if name != "run"] == wanted
    assert len(headers) == sum(line.startswith("mine-sri ") for line in table)
    assert (len(headers) == 1) == (width == 210)


def estimate(metric: str, value: float, error: float, estimator: str = "adaptive") -> Estimate:
    return Estimate(metric, value, error, "nats/sentence", 9, 10, estimator)


def comparison(*runs: list[Estimate], one_corpus: bool = True, one_estimator: bool = True) -> Comparison:
    training = Training(10, 5.0, 60.0, 2, 2, 9, 9, "")
    made = []
    for number, estimates in enumerate(runs):
        terms = {e.metric: e.value + np.array([-0.1, 0.0, 0.1]) * number for e in estimates}
        evaluation = Evaluation(str(number), "m", "c test", 9, estimates, [], [], [], terms)
        made.append(Row(str(number), "c", "hash", evaluation, training))
    return Comparison(made, [], one_corpus, one_estimator, "0" if len(runs) > 1 else "")


@pytest.mark.parametrize(
    ("metric", "figures", "best"),
    [
        ("nll", [(31.2, 0.4), (30.1, 0.4), (33.0, 0.4)], "1"),
        ("nll", [(30.141, 0.4), (30.138, 0.4), (33.0, 0.4)], "01"),  # both are shown as 30.14
        ("nll", [(30.141, 0.04), (30.138, 0.04)], "1"),
        ("nll", [(30.138, 0.4), (30.141, 0.4)], ""),  # all are shown alike
        ("nll", [(math.inf, math.nan), (30.0, 0.4), (31.0, 0.4)], "1"),
        ("nll", [(30.0, 0.4)], ""),
        ("mi", [(3.0, 0.1), (4.0, 0.1)], "1"),
        ("permuted", [(0.01, 0.1), (0.15, 0.1), (0.0, 0.0)], ""),  # none uses z
        ("posterior-kl", [(3.0, 0.1), (4.0, 0.1)], ""),
        ("kl", [(3.0, 0.1), (4.0, 0.1)], ""),
        ("au", [(3.0, 0.0), (4.0, 0.0)], ""),
    ],
)
def test_best_value_is_marked(metric: str, figures: list[tuple[float, float]], best: str) -> None:
    found = comparison(*([estimate(metric, *pair)] for pair in figures))
    assert tables.best_of(found, metric) == set(best)
    cells = tables.for_people(found, [metric])
    assert {str(row["run"]) for row in cells if isinstance(row[metric], Best)} == set(best)


def test_no_best_value_among_incomparable_runs() -> None:
    runs = [[estimate("nll", value, 0.1), estimate("recon", value, 0.1)] for value in (1.0, 2.0)]
    assert tables.best_of(comparison(*runs), "nll") == {"0"}
    assert tables.best_of(comparison(*runs, one_corpus=False), "nll") == set()
    different = comparison(*runs, one_estimator=False)
    assert (tables.best_of(different, "nll"), tables.best_of(different, "recon")) == (set(), {"0"})


def test_differences_to_the_language_model_or_given_run(run: Run) -> None:
    def figures(*args: object) -> dict[str, dict[str, str]]:
        result = run("compare", "mine-sri", "mine-lm", "--metrics", "nll,ppl,recon,au", *FEW, *args)
        return {row["run"]: row for row in rows(result)}

    def nll(name: str) -> np.ndarray:
        found = rows(run("evaluate", name, "--per-sentence", "--metrics", "nll", *FEW))
        return np.array([float(row["nll"]) for row in found])

    usual, other = figures(), figures("--against", "mine-sri")
    assert {row["against"] for row in usual.values()} == {"mine-lm"}
    assert {row["against"] for row in other.values()} == {"mine-sri"}
    assert (usual["mine-lm"]["nll diff"], other["mine-sri"]["nll diff"]) == ("", "")
    assert "au diff" not in usual["mine-lm"]
    between = nll("mine-sri") - nll("mine-lm")
    for found, sign in ((usual["mine-sri"], 1), (other["mine-lm"], -1)):
        assert float(found["nll diff"]) == pytest.approx(sign * between.mean(), abs=1e-6)
        assert float(found["nll diff se"]) == pytest.approx(between.std(ddof=1) / 2, abs=1e-6)
    for metric in ("ppl", "recon"):
        row, reference = usual["mine-sri"], usual["mine-lm"]
        wanted = float(row[metric]) - float(reference[metric])
        assert float(row[f"{metric} diff"]) == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    alone = rows(run("compare", "mine-sri", "--metrics", "nll", *FEW))[0]
    assert "against" not in alone
    added = rows(run("compare", "mine-sri", "--against", "runs/mine-lm", "--metrics", "nll", *FEW))
    assert [row["run"] for row in added] == ["mine-lm", "mine-sri"]
    assert run("compare", "mine-sri", "--against", "nothing", *FEW).exit_code == 3


def test_star_marks_differences_beyond_two_errors() -> None:
    found = comparison(
        [estimate("nll", 30.0, 0.4)], [estimate("nll", 30.05, 0.4)], [estimate("nll", 29.0, 0.4)]
    )
    table = tables.differences_table(found, ["nll"])
    assert table is not None
    assert [list(row) for row in table.rows] == [["1", "+0.050 ± 0.058"], ["2", "−1.00 ± 0.12 *"]]
    assert tables.differences_table(comparison([estimate("nll", 30.0, 0.4)]), ["nll"]) is None
    different = comparison(*([estimate("nll", value, 0.1)] for value in (1.0, 2.0)), one_estimator=False)
    assert tables.differences_table(different, ["nll"]) is None


def test_poor_weights_show_the_estimate_at_half_the_draws() -> None:
    good = Reliability(80.0, 70.0, 0.2, 0.4, ((50, 30.1), (100, 30.0)))
    for poor, shown in (
        (good._replace(pareto_k_decile=0.9), "+0.100"),
        (good._replace(effective_decile=5.0), "+0.100"),
        (good, None),
    ):
        nll = estimate("nll", 30.0, 0.4)._replace(draws=100, reliability=poor)
        (row,) = tables.for_people(comparison([nll]), ["nll"])
        assert row.get("half the draws") == shown
        assert ("half the draws" in row) == (shown is not None)


def test_unmeasured_figure_is_a_gap() -> None:
    found = comparison([estimate("nll", 3.0, 0.1)], [estimate("nll", 2.0, 0.1), estimate("kl", 1.0, 0.1)])
    assert tables.for_people(found, ["nll", "kl"])[0]["kl"] is None
    assert tables.for_programs(found, ["nll", "kl"])[0]["kl"] is None
    assert [row.name for row in tables.in_order(found.rows, "kl")] == ["1", "0"]  # gaps last
    assert [row.name for row in tables.in_order(found.rows, None)] == ["0", "1"]
