"""The paper's figures, against single cells and column sums."""

from __future__ import annotations

import math

import pytest

from sritool.analysis.reproduction.published import NAMES, accuracy_from, published, recon_after
from sritool.methods.registry import METHODS


@pytest.mark.parametrize(
    ("table", "corpus", "method", "metric", "value", "source"),
    [
        ("table1", "ptb", "sri", "ppl", 94.26, "Table 1, SRI, PTB PPL"),
        ("table1", "ptb", "vae-fb", "kl", 8.15, "Table 1, FB-VAE, PTB KL"),
        ("table1", "snli", "vae-lagging", "recon", 31.53, "Table 1, Lagging-VAE, SNLI Recon"),
        ("table1", "yahoo", "sa-vae", "au", 17, "Table 1, SA-VAE, Yahoo AU"),
        ("table4", "snli", "ae", recon_after(4), 63.07, "Table 4, AE, k = 4"),
        ("table5", "yelp", "sri", accuracy_from(1000), 89.6, "Table 5, SRI, 1,000 labels"),
    ],
)
def test_figure_and_its_source(
    table: str, corpus: str, method: str, metric: str, value: float, source: str
) -> None:
    assert published(table, corpus, method, metric) == (value, source)


@pytest.mark.parametrize(
    ("table", "corpus", "metrics", "total"),
    [
        ("table1", "ptb", ("ppl",), 801.29),
        ("table1", "ptb", ("recon",), 688.54),
        ("table1", "ptb", ("au",), 81),
        ("table1", "ptb", ("kl",), 25.39),
        ("table1", "snli", ("ppl",), 171.88),
        ("table1", "snli", ("recon",), 200.84),
        ("table1", "snli", ("au", "kl"), 83 + 28.16),
        ("table1", "yahoo", ("ppl",), 492.33),
        ("table1", "yahoo", ("recon",), 2267.54),
        ("table1", "yahoo", ("au", "kl"), 98 + 50.03),
        ("table4", "snli", (recon_after(1),), 238.46),
        ("table4", "snli", (recon_after(2),), 260.16),
        ("table4", "snli", (recon_after(3),), 279.12),
        ("table4", "snli", (recon_after(4),), 293.70),
        ("table5", "yelp", (accuracy_from(0),), 497.2),
        ("table5", "yelp", (accuracy_from(100),), 597.2),
        ("table5", "yelp", (accuracy_from(1000),), 637.7),
        ("table5", "yelp", (accuracy_from(10_000),), 657.5),
    ],
)
def test_columns_add_up(table: str, corpus: str, metrics: tuple[str, ...], total: float) -> None:
    found = [published(table, corpus, method, metric) for method in METHODS for metric in metrics]
    assert math.fsum(one.value for one in found if one) == pytest.approx(total, abs=0.005)


@pytest.mark.parametrize(
    ("table", "corpus", "method", "metric"),
    [
        ("table1", "mine", "sri", "ppl"),
        ("table1", "ptb", "ae", "ppl"),
        ("table1", "ptb", "lm", "recon"),
        ("table1", "ptb", "sri", "nll"),
        ("table4", "ptb", "sri", recon_after(1)),
        ("table2", "snli", "sri", "ppl"),
    ],
)
def test_missing_figures(table: str, corpus: str, method: str, metric: str) -> None:
    assert published(table, corpus, method, metric) is None


def test_names_belong_to_methods() -> None:
    assert NAMES.keys() <= METHODS.keys()
