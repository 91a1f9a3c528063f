"""`sritool plot`: figures against those on record, pictures redrawn from their tables, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from sritool.api import load
from sritool.cli.commands.plot import KINDS
from support.tables import Run, json_rows, output, rows

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
BOTH = ("mine-sri", "mine-lm")
NLL = ("--metrics", "nll")
FEW = ("--limit", 6, "-q")


def on_record(run: str) -> list[dict[str, Any]]:
    lines = Path("runs", run, "evaluations.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"] for line in lines]


def refused(result: Result, code: int) -> str:
    """Return the one line that a refused command prints."""
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    (line,) = result.stderr.splitlines()
    return line


def test_plot_kinds_are_listed_and_have_help(run: Run) -> None:
    shown = run("plot", "--help").stdout
    assert run("plot").stdout == shown
    for kind in KINDS:
        assert f" {kind} " in shown
        result = run("plot", kind, "--help")
        assert (result.exit_code, "--show-data" in result.stdout) == (0, True)


def test_curves_are_the_recorded_metrics(run: Run) -> None:
    found = json_rows(run("plot", "curves", *BOTH, "--show-data", "-f", "json"))
    for name in BOTH:
        text = Path("runs", name, "metrics.jsonl").read_text()
        records = [json.loads(line) for line in text.splitlines()]
        epochs = {r["epoch"]: r for r in records if r["kind"] == "epoch"}
        steps = {r["step"]: r for r in records if r["kind"] == "step"}
        own = [row for row in found if row["run"] == name]
        of_z = set() if name == "mine-lm" else {"au", "posterior-kl", "permuted"}
        assert {row["metric"] for row in own} == {"nll", "recon", "train recon"} | of_z
        for row in own:
            if row["metric"] == "train recon":
                assert row["value"] == steps[row["step"]]["recon"]
            else:
                record = epochs[row["epoch"]]
                assert (row["value"], row["step"]) == (record[row["metric"]], record["step"])
                assert row["se"] == record[f"{row['metric']} se"]
        early = sum(record.get("stage") == "language model" for record in epochs.values())
        assert len(own) == (2 + len(of_z)) * (len(epochs) - early) + early + len(steps)


def test_picture_is_redrawn_from_its_table(run: Run) -> None:
    output(run("plot", "curves", *BOTH, *NLL, "-o", "direct.svg"))
    table = output(run("plot", "curves", *BOTH, *NLL, "--show-data", "-f", "json"))
    output(run("plot", "curves", "--data", "-", "-o", "again.svg", stdin=table))
    text = Path("again.svg").read_text()
    assert text == Path("direct.svg").read_text()
    assert "Training curves" in text
    assert "error over validation sentences" in text
    assert "pale" not in text
    output(run("plot", "curves", *BOTH, "--metrics", "train recon", "-o", "loss.svg"))
    assert "pale: training recon" in Path("loss.svg").read_text()


def test_default_file_and_newest_run(run: Run) -> None:
    result = run("plot", "curves", "--metrics", "nll")
    assert (result.exit_code, result.stdout) == (0, "")
    first, second = result.stderr.splitlines()[:2]
    assert (first[:18], second) == ("drawing runs/mine-", "drew curves.png")
    assert Path("curves.png").read_bytes().startswith(MAGIC["png"])
    assert (
        run("plot", "curves", "--metrics", "nll", "--quiet").stderr == result.stderr
    )  # it has no progress to hide


def test_show_data_alone_draws_nothing(run: Run) -> None:
    before = set(Path().iterdir())
    assert run("plot", "curves", "mine-lm", "--show-data").exit_code == 0
    assert set(Path().iterdir()) == before


def test_frontier_is_the_recorded_evaluations(run: Run) -> None:
    found = json_rows(run("plot", "frontier", "--show-data", "-f", "json", "-o", "f.svg", *FEW))
    assert {row["run"]: row["method"] for row in found} == {"mine-lm": "lm", "mine-sri": "sri"}
    for row in found:
        (metrics,) = on_record(row["run"])
        for name in ("nll", "posterior-kl"):
            (figure,) = metrics[name]
            assert (row[name], row[f"{name} se"]) == (figure["value"], figure["standard_error"])
    (lm,) = (row for row in found if row["method"] == "lm")
    assert (lm["posterior-kl"], lm["draws"]) == (0, 0)
    for part in ("mine-lm", "mine-sri", "posterior KL", "NLL (nats/sentence)", "6 of 16 sentences"):
        assert part in Path("f.svg").read_text(), part


def test_ppl_draws_are_the_recorded_evaluations(run: Run) -> None:
    args = ("plot", "ppl-draws", *BOTH, "--metric", "nll", "--show-data", "-f", "json", *FEW)
    *own, exact = json_rows(run(*args, "-o", "draws.svg"))
    (metrics,) = on_record("mine-sri")
    (figure,) = metrics["nll"]
    assert [[row["draws"], row["value"]] for row in own] == figure["reliability"]["curve"]
    assert [row["se"] for row in own] == [None, None, None, figure["standard_error"]]
    assert (exact["run"], exact["draws"], exact["estimator"]) == ("mine-lm", 0, "exact")
    assert "draws of z per sentence, M" in Path("draws.svg").read_text()
    both = json_rows(run(*args, "--estimators", "adaptive,sri"))
    assert {row["estimator"] for row in both} == {"adaptive", "sri", "exact"}
    assert json_rows(run(*args)) == both  # figures recorded by another estimator are shown too
    assert {name: len(on_record(name)) for name in BOTH} == {"mine-sri": 2, "mine-lm": 1}


def test_rate_distortion_curve(run: Run) -> None:
    few = ("--limit", 4, "--seed", 3, "-q")

    def curves(*given: object, rungs: int = 6, fmt: str = "json") -> Result:
        args = (*BOTH, "--chains", 3, "--rungs", rungs, "--show-data", "-f", fmt, *few, *given)
        return run("plot", "rate-distortion", *args)

    *own, exact = json_rows(curves("-o", "curves.svg"))
    assert (own[0]["beta"], own[0]["rate"], own[-1]["beta"]) == (0, 0, 1)
    assert own[-1]["nll"] == pytest.approx(own[-1]["rate"] + own[-1]["distortion"])
    (lm,) = json_rows(run("evaluate", "mine-lm", "--metrics", "nll", *few, "-f", "json"))
    assert (exact["rate"], exact["chains"]) == (0, 0)
    assert exact["distortion"] == pytest.approx(lm["value"], abs=1e-4)
    assert "rate, KL to the prior" in Path("curves.svg").read_text()
    assert json_rows(curves()) == [*own, exact]
    assert json_rows(curves("--batch-size", 1))[-2]["rate"] == pytest.approx(own[-1]["rate"], abs=1e-3)
    beyond = json_rows(curves("--beta", 2))
    assert [row["nll"] is not None for row in beyond].count(True) == 2
    assert (beyond[-2]["beta"], [row["beta"] == 1 for row in beyond].count(True)) == (2, 2)
    assert json_rows(curves(rungs=9))[5]["rate"] != own[5]["rate"]
    table = curves(fmt="tsv").stdout
    assert run("plot", "rate-distortion", "--data", "-", "-o", "d.svg", stdin=table).exit_code == 0
    assert Path("d.svg").read_text().count("mine-sri") == Path("curves.svg").read_text().count("mine-sri")
    assert curves("--beta", 0).exit_code == 2
    assert not list(Path("runs").glob("*/.evaluate-*"))


def test_rate_distortion_resumes_where_it_stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from sritool.analysis import rate_distortion as task

    args = ("plot", "rate-distortion", *BOTH, "--chains", 2, "--rungs", 3, "--show-data", "--limit", 4, "-q")
    args += ("--batch-size", 2)
    original, calls = task.rate_distortion, list[int]()

    def stopped(*given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*given, **more)

    monkeypatch.setattr(task, "rate_distortion", stopped)
    run(*args)
    assert len(calls) == 2
    assert run(*args).exit_code == 0
    assert len(calls) == 3, "the finished batch was annealed again"


def test_noisy_recon_plots_the_table_of_its_command(run: Run) -> None:
    words = ("mine-sri", "--k", "1,3", "--noise", "drop", "--limit", 5, "--chains", 1, "-q")
    table = run("noisy-recon", *words)
    plotted = run("plot", "noisy-recon", *words, "--show-data", "-o", "direct.svg")
    assert (plotted.exit_code, plotted.stdout) == (0, table.stdout), plotted.stderr
    assert run("plot", "noisy-recon", "--data", "-", "-o", "d.pdf", stdin=table.stdout).exit_code == 0
    assert Path("d.pdf").read_bytes().startswith(MAGIC["pdf"])
    assert run("plot", "noisy-recon", "--data", "-", "-o", "again.svg", stdin=table.stdout).exit_code == 0
    assert "mine test, 5 of 16 sentences" in Path("again.svg").read_text()
    bare = "run\tnoise\tk\trecon\trecon se\tincrease\tincrease se\tpermuted\na\tswap\t0\t9\t1\t0\t0\t\n"
    untitled = run("plot", "noisy-recon", "--data", "-", "-o", "bare.svg", stdin=bare)
    assert (untitled.exit_code, untitled.stderr) == (0, "drew bare.svg\n")
    lacking = run("plot", "noisy-recon", "--data", "-", "-o", "no.svg", stdin=bare.replace("recon se", "x"))
    assert refused(lacking, 3).endswith("increase, increase se, permuted")
    assert "k, words left out per sentence" in Path("direct.svg").read_text()


def test_checkpoint_variable_does_not_conflict_with_data(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "part\tname\tx\ty\nposterior\t3\t0\t1\nprior\tN(0, 1)\t0\t0.4\n"
    monkeypatch.setenv("SRITOOL_CHECKPOINT", "runs/mine-lm")
    result = run("plot", "latent", "--data", "-", "-o", "l.svg", stdin=table)
    assert (result.exit_code, result.stderr) == (0, "drew l.svg\n")
    refused(run("plot", "latent", "mine-sri", "--data", "-", "-o", "m.svg", stdin=table), 2)
    monkeypatch.setenv("SRITOOL_CHECKPOINT", "hf://me/mine")
    table = "run\tmetric\tepoch\tstep\tvalue\tse\na\tnll\t1\t9\t5\t\n"
    assert run("plot", "curves", "--data", "-", "-o", "c.svg", stdin=table).stderr == "drew c.svg\n"


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("ppl-draws", "--metric nll"),
        ("frontier", "--split train"),
        ("noisy-recon", "--limit 5"),
        ("rate-distortion", "--beta 2"),
        ("tune-step", "--chains 9"),
        ("latent", "--seed 1"),
    ],
)
def test_measurement_options_conflict_with_data(run: Run, kind: str, option: str) -> None:
    result = run("plot", kind, *option.split(), "--data", "-", "-o", "no.svg", stdin="a\tb\n1\t2\n")
    assert option.split()[0] in refused(result, 2)


DRAWS = "run\testimator\tmetric\tdraws\tvalue\tse\tsentences\tpredictions\na\tsri\t{}\t8\t9\t{}\t5\t50\n"
STEPS = (
    "step,s_0,s_K,upper,upper se,upper gain,upper gain se,lower,lower se,lower gain,lower gain se,recon,recon se,"
    "kl,kl se,folded,unstable,accept,chosen,now\n{0},{0},0.1,-9,1,0,0,-9,1,0,0,8,1,7,1,0,0,1,True,False\n"
)


@pytest.mark.parametrize(
    ("kind", "table", "code"),
    [
        ("ppl-draws", DRAWS.format("nll", 1), 0),
        ("ppl-draws", DRAWS.format("bpc", 1), 3),
        ("ppl-draws", DRAWS.format("nll", -1), 3),
        ("tune-step", STEPS.format("0.2"), 0),
        ("tune-step", STEPS.format("."), 3),
        ("tune-step", STEPS.format("0"), 3),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused(run: Run, kind: str, table: str, code: int) -> None:
    result = run("plot", kind, "--data", "-", "-o", "it.svg", stdin=table)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1), result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["checkpoint", "constant", "geometric"])
def test_tune_step_from_its_table(run: Run, shape: str) -> None:
    words = ("tune-step", "mine-sri", "--limit", 2, "--chains", 6, "-q")
    table = run(*words, "--shape", shape, "--grid", "0.5,1", "--gradient-steps", 1)
    assert table.exit_code == 0, table.stderr
    drawn = run("plot", "tune-step", "--data", "-", "-o", "s.svg", "--show-data", stdin=table.stdout)
    assert (drawn.exit_code, drawn.stderr) == (0, "drew s.svg\n")
    assert drawn.stdout == table.stdout
    assert "nats per sentence" in Path("s.svg").read_text()
    if shape == "checkpoint":
        usual = run(*words)
        assert run("plot", *words, "--show-data").stdout == usual.stdout


def test_traversal_prints_and_draws_sentences(run: Run) -> None:
    args = ("plot", "traversal", "mine-sri", "--sentence", "the heron finds the otter", "--dims", "4,2")
    found = json_rows(
        run(*args, "--points", 3, "--show-data", "-f", "json", "-o", "t.svg", "--max-length", 9)
    )
    assert [(row["dimension"], row["value"]) for row in found] == [(d, v) for d in (4, 2) for v in (-3, 0, 3)]
    model = load("runs/mine-sri")
    code = model.posterior_mean(["the heron finds the otter"])
    code[0, 3] = -3
    assert found[0]["sentence"].split() == model.decode(code)[0].split()[:9]
    text = Path("t.svg").read_text()
    for part in ("dimension 4", "dimension 2", "−3", "mine-sri,", ">heron<"):
        assert part in text, part


def test_latent_has_a_point_per_sentence_and_control(run: Run) -> None:
    many = ("--limit", 20, "-q", "--split", "train")
    found = json_rows(run("plot", "latent", "mine-sri", "--show-data", "-f", "json", "-o", "l.png", *many))
    parts = [row["part"] for row in found]
    assert (parts.count("posterior"), parts.count("control")) == (20, 20)
    assert {row["name"] for row in found if row["part"] == "density"} <= {"1", "2", "3", "4"}
    assert Path("l.png").read_bytes().startswith(MAGIC["png"])
    again = run("plot", "latent", "mine-sri", "--show-data", "-f", "json", *many)
    assert json_rows(again) == found


@pytest.mark.parametrize("kind", ["frontier", "ppl-draws", "noisy-recon", "rate-distortion"])
def test_single_sentence_has_no_standard_error(run: Run, kind: str) -> None:
    drawn = run("plot", kind, *BOTH, "--limit", 1, "-q", "--show-data", "-f", "json", "-o", "one.svg")
    found = json_rows(drawn)
    errors = {value for row in found for name, value in row.items() if name.split()[-1] == "se"}
    assert errors <= {None, 0.0}
    assert "mine-sri" in Path("one.svg").read_text()


def test_nonfinite_figures_are_not_drawn(run: Run) -> None:
    table = run("plot", "frontier", *BOTH, "--show-data", *FEW)
    broken = table.stdout.replace(rows(table)[0]["nll"], "inf")
    result = run("plot", "frontier", "--data", "-", "-o", "f.svg", stdin=broken)
    assert result.exit_code == 0, result.stderr
    text = Path("f.svg").read_text()
    assert ("mine-sri<" in text, "mine-lm<" in text) == (False, True)
