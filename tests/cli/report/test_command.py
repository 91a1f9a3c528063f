"""`sritool report` on small trained runs, against the record and metrics.jsonl."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sritool.cli.tables.figures import with_error
from support.tables import Run

Page = Callable[..., tuple[Any, Any]]

FEW = ("--limit", 6, "--map-sentences", 12, "-n", 30, "--threads", 1)


@pytest.fixture
def make_page(run: Run, parse: Any) -> Callable[..., tuple[Any, Any]]:
    """Make the page of a run; return the result of the command and the parsed page."""

    def make(name: str, *args: object) -> tuple[Any, Any]:
        result = run("report", f"runs/{name}", "-o", "page.html", *FEW, *args)
        assert (result.exit_code, result.stdout) == (0, ""), result.stderr
        return result, parse(Path("page.html").read_text(encoding="utf-8"))

    return make


def cells(parsed: Any) -> dict[str, tuple[str, str]]:
    """Metric -> its value with error, and its number of sentences, from the first table of the page."""
    headers = parsed.texts["th"]
    names = headers[headers.index("by") + 1 : headers.index("epoch")]  # "epoch" begins the next table
    columns = parsed.texts["td"][: 5 * len(names)]
    return dict(zip(names, zip(columns[::5], columns[2::5], strict=True), strict=True))


def evaluate(run: Run, metrics: str, *args: object) -> None:
    assert run("evaluate", "runs/mine-sri", "--metrics", metrics, "--threads", 1, *args).exit_code == 0


def on_record(folder: str) -> dict[str, dict[str, Any]]:
    """Metric -> its last estimate in evaluations.jsonl, parsed independently."""
    lines = Path(folder, "evaluations.jsonl").read_text(encoding="ascii").splitlines()
    return {name: estimate for line in lines for name, (estimate, *_) in json.loads(line)["metrics"].items()}


def test_page_uses_recorded_figures_and_measures_the_rest(run: Run, make_page: Page) -> None:
    evaluate(run, "ppl,recon")
    whole = on_record("runs/mine-sri")["recon"]
    evaluate(run, "nll,recon", "--limit", 9)
    _, parsed = make_page("mine-sri")
    recorded, shown = on_record("runs/mine-sri"), cells(parsed)
    assert shown["recon"] == (with_error(whole["value"], whole["standard_error"]), "16")
    counts = {name: sentences for name, (_, sentences) in shown.items()}
    # No recorded set has ppl, nll and posterior-kl together, so all three are measured anew.
    assert counts == {"ppl": "6", "nll": "6", "posterior-kl": "6", "recon": "16", "permuted": "6", "au": "6"}
    for name in ("ppl", "nll", "posterior-kl", "permuted"):
        assert shown[name][0] == with_error(recorded[name]["value"], recorded[name]["standard_error"])
    text = re.sub("<[^>]*>", "", Path("page.html").read_text(encoding="utf-8"))
    assert "--metrics ppl,nll,posterior-kl,permuted,au --limit 6" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recorded", "counts"),
    [
        ([("ppl", 4), ("ppl,nll,posterior-kl,recon", 4)], "6 6 6 6"),  # recorded on too few sentences
        ([("ppl", 16), ("ppl,nll,posterior-kl", 9), ("recon", 4)], "9 9 9 6"),  # the largest with all three
        ([("ppl,nll,posterior-kl", 16), ("nll,mi", 9)], "16 16 16 6"),  # without mi of other sentences
        ([("mi,recon", 6)], "6 6 6 6 6"),
    ],
)
def test_importance_figures_share_their_sentences(
    recorded: list[tuple[str, int]], counts: str, run: Run, make_page: Page
) -> None:
    for metrics, limit in recorded:
        evaluate(run, metrics, "--limit", limit)
    shown = cells(make_page("mine-sri")[1])
    names = [name for name in ("ppl", "nll", "posterior-kl", "mi", "recon") if name in shown]
    assert [shown[name][1] for name in names] == counts.split()


def test_record_of_other_weights_is_ignored(run: Run, make_page: Page) -> None:
    evaluate(run, "ppl")
    Path("runs/mine-sri/last.pt").replace("runs/mine-sri/best.pt")
    assert cells(make_page("mine-sri")[1])["ppl"][1] == "6"


def test_curves_and_map_show_the_runs_data(make_page: Page) -> None:
    result, parsed = make_page("mine-sri")
    data = json.loads(parsed.texts["script"][0])
    lines = Path("runs/mine-sri/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [record for record in map(json.loads, lines) if record["kind"] == "epoch"]
    loss = {trace["name"]: trace for trace in data["charts"]["curve-0"]["data"]}
    assert loss["nll, validation"]["x"] == [1, 2]
    assert loss["nll, validation"]["y"] == [record["nll"] for record in epochs]
    assert loss["nll, validation"]["error_y"]["array"] == [record["nll se"] for record in epochs]
    own = set(Path("mine.txt").read_text(encoding="utf-8").splitlines())
    assert (len(set(data["sentences"])), set(data["sentences"]) <= own) == (12, True)
    assert "--no-sentences leaves them out" in result.stderr


def test_same_command_gives_the_same_page(make_page: Page) -> None:
    def page() -> str:
        make_page("mine-sri")
        return re.sub(r"Made [-\d]+ [\d:]+ UTC", "", Path("page.html").read_text(encoding="utf-8"))

    Path("page.html").write_text("an older page", encoding="utf-8")
    first = page()
    assert page() == first
    assert "an older page" not in first
    assert not list(Path().glob(".*.tmp"))


def test_no_sentences_leaves_sentences_out(make_page: Page) -> None:
    result, parsed = make_page("mine-sri", "--no-sentences", "--quiet")
    assert "contains sentences" not in result.stderr
    assert "wrote page.html" in result.stderr
    page = Path("page.html").read_text(encoding="utf-8")
    made_up = set(parsed.texts["bdi"])  # sentences that the model generated
    own = set(Path("mine.txt").read_text(encoding="utf-8").splitlines()) - made_up
    assert not [text for text in own if text in page]
    data = json.loads(parsed.texts["script"][0])
    assert data["sentences"] is None
    assert len(data["charts"]["map"]["data"][0]["x"]) == 12
    assert not parsed.of("input")
    assert any(text.startswith("Reconstructions are not here") for text in parsed.texts["p"])


def test_page_of_a_language_model_has_no_z(make_page: Page) -> None:
    _, parsed = make_page("mine-lm")
    assert set(cells(parsed)) >= {"ppl", "nll"}
    assert not {"recon", "permuted", "au"} & set(parsed.texts["th"])
    assert len([text for text in parsed.texts["p"] if "method lm has no z" in text]) == 4


def test_dash_writes_to_stdout(run: Run) -> None:
    result = run("report", "runs/mine-lm", "-o", "-", *FEW)
    assert result.stdout.startswith("<!DOCTYPE html>")
    assert result.stdout.rstrip().endswith("</html>")
    assert not Path("-").exists()


@pytest.mark.slow
def test_commands_on_the_page_reproduce_it(run: Run, make_page: Page) -> None:
    _, parsed = make_page("mine-sri", "--seed", 5)
    words = [shlex.split(word)[0] for word in parsed.texts["span"]]
    starts = [i for i, word in enumerate(words) if word == "sritool"]
    commands = [words[begin + 1 : end] for begin, end in itertools.pairwise([*starts, len(words)])]
    by_name = {command[0]: command for command in commands}
    assert set(by_name) == {"report", "evaluate", "plot", "sample", "interpolate"}
    shown = parsed.texts["bdi"]
    samples = run(*by_name["sample"]).stdout.splitlines()
    begin = shown.index(samples[0])
    assert shown[begin : begin + 20] == samples[:20]
    line = [row.split("\t")[2] for row in run(*by_name["interpolate"]).stdout.splitlines()[1:]]
    assert shown[begin + 20 : begin + 20 + len(line)] == line
    assert "measured before" in run(*by_name["evaluate"], "--format", "json").stderr
