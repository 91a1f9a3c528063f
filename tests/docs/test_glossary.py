"""docs/glossary.md has an entry for every name that the commands print, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sritool.analysis.comparison import TRAINING_COLUMNS
from sritool.analysis.random_search import Result, make_search
from sritool.analysis.reproduction.plan import Request
from sritool.analysis.reproduction.states import State
from sritool.analysis.reproduction.tables import TABLES
from sritool.analysis.samples import METRICS as SAMPLE_METRICS
from sritool.cli.commands import fit_prior, preprocess, tune
from sritool.cli.reproduction.tables import figures_table
from sritool.cli.tables import classification, noisy_recon, tune_step
from sritool.cli.tables.figures import RELIABILITY
from sritool.data.corpus_info import SplitInfo
from sritool.evaluation.metric_table import METRICS
from sritool.evaluation.metrics import Estimate

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
NLL = Estimate("nll", 30.0, 1.0, "nats/sentence", 2, 1, "exact")
NAME = re.compile(r"`([^`]+)`")
SHARED = {"run", "method", "sentences", "of", "draws", "estimator", "data", "se", "noise"}


def entries(section: str) -> set[str]:
    """The names in a section's headings and in the first column of its tables."""
    lines = SECTIONS[section].splitlines()
    firsts = [line.split(" | ")[0] for line in lines if line.startswith(("### ", "| `"))]
    return {name for first in firsts for name in NAME.findall(first)}


def nothing(**more: Any) -> Any:
    """A result without rows, whose table has only columns."""
    return SimpleNamespace(rows=[], notes=[], counts=[], short=[], noise="swap", run="", **more)


def test_every_metric_has_an_entry() -> None:
    own = {"ppl-word", "ppl-signed", "nll-signed"}
    assert entries("Figures of evaluate, compare and report") == {*METRICS, *own}


def test_every_sample_metric_has_an_entry() -> None:
    assert entries("Figures of sample --metrics") == {*SAMPLE_METRICS, "nll-per-token"}


def test_columns_beside_a_figure_have_entries() -> None:
    columns = {"value", "se", "unit", "sentences", "of", "draws", "estimator", "run", "data"}
    assert entries("Beside a figure") >= {*RELIABILITY, *columns}


def test_compare_columns_have_entries() -> None:
    programs = {"seconds", "planned epochs", "training sentences", "training split"}
    assert entries("Columns of compare") == {*TRAINING_COLUMNS, *programs}


@pytest.mark.parametrize("fmt", ["tsv", "table"])
def test_tune_columns_have_entries(fmt: str) -> None:
    search = make_search(Request("tune", "mine", ("sri",)), ["sampler.words=1..9"], 1, None, 0, None)
    table = tune.trials_table(search, [Result(search.trials[0], State())], {}, fmt)
    names = {name for name in table.columns if not name.endswith((" se", "words"))}
    assert names - {"nll"} <= entries("Columns of tune")


def test_tune_step_columns_have_entries() -> None:
    table = tune_step.exact_table(nothing(), "", "")
    names = {name for name in table.columns if not name.endswith(" se")}
    assert entries("Columns of tune-step") == names


def test_fit_prior_columns_have_entries() -> None:
    sizes = {"size_before": 1.0, "size_after": 1.0}
    fitted: Any = SimpleNamespace(before=NLL, after=NLL, change=NLL, is_better=True, **sizes)
    names = {name for name in fit_prior.prior_table(fitted, "", "tsv").columns if not name.endswith(" se")}
    assert entries("Columns of fit-prior") == names


def test_noisy_recon_columns_have_entries() -> None:
    of_k = {"counts": [0], "recon": [NLL], "increase": [NLL], "changed": [0], "short": [0]}
    run: Any = SimpleNamespace(
        run="", method="", noise="swap", permuted=NLL, total=2, data="", notes=[], **of_k
    )
    names = {name for name in noisy_recon.long_table([run]).columns if not name.endswith(" se")}
    assert entries("Columns of noisy-recon") == names - SHARED | {"noise"}


def test_classify_columns_have_entries() -> None:
    names, _ = classification.for_programs(nothing())
    assert entries("Columns of classify") == set(names) - SHARED


def test_reproduce_columns_have_entries() -> None:
    document = json.loads((ROOT / "results/reproduction/table1-tiny-ours.json").read_text(encoding="utf-8"))
    columns = {name for name in figures_table(document).columns if not name.endswith(" se")}
    known = entries("Columns of reproduce")
    assert columns - SHARED - {"value"} <= known
    figures = {name for table in TABLES.values() for name in table.columns}
    assert {name for name in figures if not name.startswith(("recon, k", "accuracy"))} <= known | {*METRICS}


def test_preprocess_columns_have_entries() -> None:
    splits = {"train": SplitInfo(*[0] * 11)}
    info = SimpleNamespace(
        name="", source="", tokenizer="bpe", splits=splits, labels=(), notes=(), vocabulary=0, chunk=True
    )
    prepared: Any = SimpleNamespace(info=info, path="", fresh=False, seconds=0.0, frequent=(), examples=())
    table = preprocess.corpus_table(prepared)
    known = entries("Columns of sample, decode, interpolate, score and preprocess") | entries(
        "Beside a figure"
    )
    assert {*table.columns} - known == {"split"}


@pytest.mark.parametrize("run", ["words-sri", "words-vae-lagging"])
def test_logged_names_have_entries(run: str) -> None:
    lines = (ROOT / "tests/saved/v1/runs" / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = {name for line in lines for name in json.loads(line) if not name.endswith(" se")}
    known = entries("The log of training") | {*METRICS} | {"seconds", "epoch", "step", "kind"}
    assert logged <= known


def test_contents_list_names_every_section() -> None:
    top = PAGE.partition("\n## ")[0]
    listed = [name.replace("`", "") for name in re.findall(r"^- \[(.+?)\]", top, flags=re.MULTILINE)]
    assert listed == list(SECTIONS)


def test_metric_like_names_are_metrics() -> None:
    named = {
        name for name in NAME.findall(PAGE) if re.fullmatch(r"(?:ppl|nll|kl|au|elbo|posterior)-[a-z-]+", name)
    }
    assert named <= {*METRICS, "ppl-word", "ppl-signed", "nll-signed", "nll-per-token"}


def test_terms_are_in_alphabetical_order() -> None:
    terms = re.findall(r"^- \*\*([^*]+)\*\*", SECTIONS["Terms"], flags=re.MULTILINE)
    assert len(terms) > 30
    assert terms == sorted(terms, key=str.lower)
