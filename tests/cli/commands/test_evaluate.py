"""`sritool evaluate`: metrics, splits, texts, estimators and the record, against the figures per sentence."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from sritool.data.store import load_corpus
from sritool.evaluation.metric_table import PAIRED
from support.tables import Run, options, rows

DEFAULT = ["ppl", "nll", "posterior-kl", "recon", "permuted", "au"]
FEW = ["--samples", 8, "--pilots", 8, "-q"]


def test_single_run_is_a_table_of_metrics(run: Run) -> None:
    found = rows(run("evaluate", "mine-sri", *FEW))
    assert [row["metric"] for row in found] == DEFAULT
    for row in found:
        assert (row["run"], row["data"], row["sentences"], row["of"]) == ("mine-sri", "mine test", "16", "16")
        assert math.isfinite(float(row["value"]))
        assert float(row["se"]) >= 0
    ppl, recon, au = (found[DEFAULT.index(name)] for name in ("ppl", "recon", "au"))
    assert (ppl["draws"], ppl["estimator"], ppl["unit"]) == ("8", "adaptive", "per token")
    assert (recon["draws"], recon["estimator"]) == ("2", "custom (tempered) chain")
    assert (recon["unit"], au["unit"]) == ("nats/sentence", "dimensions")


@pytest.mark.parametrize("method", ["lm", "sri"])
def test_figures_average_those_of_the_sentences(run: Run, method: str) -> None:
    table = {row["metric"]: float(row["value"]) for row in rows(run("evaluate", f"mine-{method}", *FEW))}
    sentences = rows(run("evaluate", f"mine-{method}", "--per-sentence", *FEW))
    nll = [float(row["nll"]) for row in sentences]
    predictions = [int(row["predictions"]) for row in sentences]
    assert sum(predictions) == load_corpus(Path("data/mine")).split("test").predictions
    assert table["nll"] == pytest.approx(sum(nll) / len(nll), rel=1e-6)
    assert table["ppl"] == pytest.approx(math.exp(sum(nll) / sum(predictions)), rel=1e-6)
    recon = [float(row["recon"]) for row in sentences]
    assert table["recon"] == pytest.approx(sum(recon) / len(recon), rel=1e-6)


def test_several_runs_have_one_row_each(run: Run) -> None:
    few = ["--limit", 5, *FEW]
    found = rows(run("evaluate", "mine-sri", "runs/mine-lm/best.pt", "--metrics", "ppl,au,kl", *few))
    assert [(row["run"], row["method"]) for row in found] == [("mine-sri", "sri"), ("mine-lm", "lm")]
    names = "ppl,ppl se,kl,kl se,au,au se,sentences,of,estimator,predictions,data,half,ess,ess decile"
    names += ",pareto k,pareto k decile"
    assert list(found[0])[2:] == names.split(",")
    assert [(row["sentences"], row["of"]) for row in found] == [("5", "16")] * 2
    alone = rows(run("evaluate", "mine-lm", "--metrics", "ppl", *few))[0]
    assert found[1]["ppl"] == alone["value"]  # on the same sentences as beside another run


def test_every_weighted_metric_reports_its_weights(run: Run) -> None:
    given = ["mine-sri", "mine-lm", "--metrics", "recon,posterior-kl", "--limit", 4, *FEW]
    sri, lm = rows(run("evaluate", *given))
    assert (sri["estimator"], lm["estimator"]) == ("adaptive", "exact")
    assert 1 <= float(sri["ess decile"]) <= float(sri["ess"]) <= 8
    assert float(sri["half"]) != float(sri["posterior-kl"])
    assert [lm[name] for name in ("half", "ess")] == ["", ""]


def test_run_without_a_figure_has_a_row() -> None:
    from sritool.cli.tables.metrics import runs_table, shared_title
    from sritool.evaluation.evaluate import Evaluation
    from sritool.evaluation.metrics import Estimate

    kl = Estimate("kl", 2.0, 0.5, "nats/sentence", 4, 0, "encoder")
    found = [Evaluation(name, "m", "t", 4, of, [], [], [], {}) for name, of in (("a", [kl]), ("b", []))]
    assert [row[2:3] + row[-1:] for row in runs_table(found, "table").rows] == [
        ["2.00 ± 0.50", "encoder"],
        [None, None],
    ]
    assert shared_title(found) == shared_title(found[::-1]) == "On t, 4 of 4 sentences"


def test_kl_reports_its_number_of_sentences(run: Run) -> None:
    given = ["--split", "train", "--metrics", "nll,recon,kl", *FEW]
    by_name = {row["metric"]: row for row in rows(run("evaluate", "mine-sri", *given))}
    assert (by_name["kl"]["sentences"], by_name["nll"]["sentences"]) == ("64", "128")
    assert float(by_name["nll"]["value"]) <= float(by_name["recon"]["value"]) + float(by_name["kl"]["value"])
    assert "mine-sri: kl on 64" in run("evaluate", "mine-sri", "mine-lm", *given).stderr


@pytest.mark.parametrize(
    ("metrics", "estimator", "columns"),
    [
        ("recon,au", "adaptive", "recon"),
        ("ppl,bpc", "adaptive", "nll,ess,pareto k"),
        ("permuted,kl,posterior-kl", "adaptive", "posterior-kl,permuted,kl,ess,pareto k"),
        ("all", "adaptive", ",".join(["nll", *PAIRED[PAIRED.index("posterior-kl") :], "ess", "pareto k"])),
        ("nll", "sri", "nll,nll-signed,ess,pareto k"),
    ],
)
def test_columns_of_sentences_are_those_of_the_metrics(
    run: Run, metrics: str, estimator: str, columns: str
) -> None:
    names = ["index", "predictions", "words", *columns.split(","), "sentence"]
    given = ["--metrics", metrics, "--estimator", estimator, "--limit", 4, "--samples", 8, "-q"]
    alone = {name: rows(run("evaluate", name, *given, "--per-sentence")) for name in ("mine-sri", "mine-lm")}
    both = rows(run("evaluate", "mine-sri", "mine-lm", *given, "--per-sentence"))
    for name, found in alone.items():
        assert list(found[0]) == names
        assert [{"run": name} | row for row in found] == [row for row in both if row["run"] == name]
        table = {row["metric"]: row["value"] for row in rows(run("evaluate", name, *given))}
        for column in {*names} & {"permuted", "posterior-kl", "kl"}:
            mean = np.mean([float(row[column]) for row in found])
            assert float(table[column]) == pytest.approx(mean, rel=1e-6, abs=1e-9)


def test_limit_always_takes_the_same_sentences(run: Run) -> None:
    def sentences(name: str, *args: object) -> list[dict[str, str]]:
        return rows(run("evaluate", name, "--per-sentence", *args, *FEW))

    found, whole = sentences("mine-lm", "--limit", 6), sentences("mine-lm")
    indices = [int(row["index"]) for row in found]
    assert (len(found), indices) == (6, sorted(indices))
    assert [row["index"] for row in sentences("mine-sri", "--limit", 6)] == [row["index"] for row in found]
    assert [whole[index]["sentence"] for index in indices] == [row["sentence"] for row in found]
    for limit, counted in ((6, "6"), (600, "16")):
        assert rows(run("evaluate", "mine-lm", "--limit", limit, *FEW))[0]["sentences"] == counted


def test_whole_split_is_measured(run: Run) -> None:
    corpus = load_corpus(Path("data/mine"))
    figures = {}
    for split in ("train", "valid", "test"):
        row = rows(run("evaluate", "mine-lm", "--split", split, "--metrics", "ppl", *FEW))[0]
        assert (row["data"], int(row["sentences"])) == (f"mine {split}", len(corpus.split(split)))
        figures[split] = row["value"]
    assert len(set(figures.values())) == 3
    assert rows(run("evaluate", "mine-lm", "--metrics", "ppl", *FEW))[0]["value"] == figures["test"]


def test_text_from_file_or_stdin_keeps_its_order(run: Run) -> None:
    lines = ["upstairs a mason", "", "the zebra", "the otter finds the kettle at noon"]
    Path("text.txt").write_text("\r\n".join(lines) + "\r\n")
    found = rows(run("evaluate", "mine-lm", "--text", "text.txt", "--per-sentence", *FEW))
    assert [row["sentence"] for row in found] == lines
    assert [row["index"] for row in found] == ["0", "1", "2", "3"]
    piped = run("evaluate", "mine-lm", "--text", "-", *FEW, stdin="\n".join(lines))
    assert {row["data"] for row in rows(piped)} == {"standard input"}
    from_file = rows(run("evaluate", "mine-lm", "--text", "text.txt", *FEW))
    assert [row["value"] for row in from_file] == [row["value"] for row in rows(piped)]
    first = rows(run("evaluate", "mine-lm", "--text", "text.txt", "--limit", 2, *FEW))[0]
    assert (first["data"], first["sentences"], first["of"]) == ("text.txt", "2", "4")


def test_text_needs_no_corpus(run: Run) -> None:
    shutil.rmtree("data")
    assert len(rows(run("evaluate", "mine-sri", "mine-lm", "--text", "mine.txt", "--limit", 3, *FEW))) == 2


def test_estimator_options_and_seed_change_the_figures(run: Run) -> None:
    def values(*args: object) -> dict[str, float]:
        given = options({"--samples": 8, "--pilots": 8}, *args)
        found = rows(run("evaluate", "mine-sri", "-q", *given))
        return {row["metric"]: float(row["value"]) for row in found}

    usual = values()
    assert values("--batch-size", 3) == pytest.approx(usual, rel=1e-3, abs=1e-3)
    assert values("--samples", 9)["nll"] != usual["nll"]
    assert values("--pilots", 9)["nll"] != usual["nll"]
    assert values("--chains", 4)["recon"] != usual["recon"]
    assert values("--seed", 1)["recon"] != usual["recon"]
    assert values("--threads", 1)["recon"] == pytest.approx(usual["recon"])


@pytest.mark.parametrize("estimator", ["adaptive", "sri", "ais"])
def test_estimators_report_their_weights(run: Run, estimator: str) -> None:
    given = ["mine-sri", "--metrics", "ppl,au", "--limit", 4, "--estimator", estimator, "--samples", 30]
    own = {"adaptive": ("--pilots", 8), "ais": ("--rungs", 5)}.get(estimator, ())
    found = rows(run("evaluate", *given, *own, "-q"))
    ppl, au = found[0], found[-1]
    assert (ppl["estimator"], ppl["draws"]) == (estimator, "30")
    assert 1 <= float(ppl["ess decile"]) <= float(ppl["ess"]) <= 30
    assert float(ppl["half"]) != float(ppl["value"])
    assert math.isfinite(float(ppl["pareto k"]))
    assert [au[name] for name in ("half", "ess", "pareto k")] == ["", "", ""]
    assert [row["metric"] for row in found] == ["ppl", *(["ppl-signed"] if estimator == "sri" else []), "au"]


def test_curve_of_perplexity_by_number_of_draws(run: Run) -> None:
    few = ["--samples", 16, "--limit", 4, "-q"]
    found = rows(run("evaluate", "mine-sri", "mine-lm", "--curve", *few))
    assert [(row["run"], row["draws"]) for row in found] == [
        *(("mine-sri", draws) for draws in ("2", "4", "8", "16")),
        ("mine-lm", "0"),
    ]
    whole = rows(run("evaluate", "mine-sri", *few))[0]
    assert (found[3]["ppl"], found[2]["ppl"]) == (whole["value"], whole["half"])
    drawn = run("evaluate", "mine-sri", "--curve", *few, "-f", "table").stdout
    assert re.search(r"4 of 16 sentences, \d+ predictions \(with </s>\), by draws per sentence", drawn)


def test_certify_prints_lower_and_upper_bounds(run: Run) -> None:
    given = ["evaluate", "mine-sri", "--certify", 4, "--rungs", 10, *FEW]
    result = run(*given)
    found = rows(result)
    assert len(found) == 6
    by_name = {row["quantity"]: float(row["value"]) for row in found}
    lower, adaptive, upper = list(by_name.values())[:3]
    assert by_name["upper − lower"] == pytest.approx(upper - lower, abs=1e-5)
    assert by_name["adaptive − lower"] == pytest.approx(adaptive - lower, abs=1e-5)
    assert "adaptive" in result.stderr
    other = rows(run("evaluate", "mine-sri", "--certify", 4, "--rungs", 3, *FEW))
    assert other[0]["value"] != found[0]["value"]


def test_repeated_measurement_is_read_from_the_record(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from sritool.evaluation.stages import Stages

    given = ["evaluate", "mine-sri", "--metrics", "ppl,au", *FEW]
    first, original, measured = run(*given), Stages.run, []
    monkeypatch.setattr(Stages, "run", lambda stages: measured.append(stages) or original(stages))
    second = run(*given, "--batch-size", 3)  # changes nothing but rounding
    assert (second.stdout, measured) == (first.stdout, [])
    assert "measured before" in second.stderr
    assert "measured before" not in first.stderr
    assert run(*given, "--again").stdout == first.stdout
    for instead in (["--per-sentence"], ["--curve"]):
        assert len(run("evaluate", "mine-sri", *FEW, *instead).stdout.splitlines()) > 2
    assert len(measured) == 3


def test_narrow_table_has_runs_side_by_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ["evaluate", "mine-sri", "mine-lm", "--limit", 4, *FEW, "-f", "table"]
    wide = run(*given).stdout
    monkeypatch.setattr("sritool.cli.commands.evaluate.fits", lambda _: False)
    table = [line.rstrip() for line in run(*given).stdout.splitlines() if "  " in line]
    assert max(map(len, table)) <= 80
    assert table[0].split() == ["mine-sri", "mine-lm"]
    assert [line.split()[0] for line in table[1:]] == ["method", *DEFAULT, "estimator"]
    assert all(line.split()[1] in wide for line in table[2:-1])


def test_predictions_include_the_end_of_sentence(run: Run) -> None:
    Path("text.txt").write_text("the otter finds .\n\n")
    row, empty = rows(run("evaluate", "mine-lm", "--text", "text.txt", "--per-sentence", *FEW))
    assert (row["words"], row["predictions"]) == ("4", "5")
    assert (empty["words"], empty["predictions"]) == ("0", "1")


@pytest.mark.parametrize("given", [["mine-lm"], ["mine-lm", "mine-sri"], ["mine-lm", "--curve"]])
def test_every_perplexity_has_its_predictions(run: Run, given: list[str]) -> None:
    counted = load_corpus(Path("data/mine")).split("test").predictions
    found = rows(run("evaluate", *given, "--metrics", "ppl", *FEW)) if "--curve" not in given else []
    found += rows(run("evaluate", *given, *FEW))
    perplexities = [row for row in found if row.get("metric", "ppl").startswith("ppl")]
    assert {row["predictions"] for row in perplexities} == {str(counted)}
    assert {row["predictions"] for row in found if row not in perplexities} <= {""}
    drawn = run("evaluate", *given, *FEW, "-f", "table").stdout
    assert f"{counted:,} predictions (with </s>)" in drawn


def test_different_tokenizers_list_predictions_per_run() -> None:
    from sritool.cli.tables.metrics import notes_of, shared_title
    from sritool.evaluation.evaluate import Evaluation
    from sritool.evaluation.metrics import Estimate

    found = []
    for name, count in (("words", 5), ("pieces", 9)):
        ppl = Estimate("ppl", 20.0, math.nan, "per token", 1, 0, "exact", predictions=count)
        found.append(Evaluation(name, "lm", "a text", 1, [ppl], [], [], [], {}))
    assert shared_title(found) == "On a text, 1 of 1 sentences"
    assert notes_of(found) == ["words: 5 predictions (with </s>)", "pieces: 9 predictions (with </s>)"]
