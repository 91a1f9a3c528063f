"""The table of metrics: the metric behind an estimate, and what is known of it."""

from __future__ import annotations

from sritool.evaluation.metric_table import METRICS, metric_name, metric_of


def test_derived_figures_belong_to_their_metric() -> None:
    given = ("ppl", "ppl-word", "nll-signed", "au-naive", "kl-aggregate", "posterior-kl")
    found = [metric_name(name) for name in given]
    assert found == ["ppl", "ppl", "nll", "au-naive", "kl-aggregate", "posterior-kl"]


def test_perplexity_per_word_has_a_unit_of_its_own() -> None:
    assert metric_of("ppl-word").unit == "per original word"
    assert metric_of("ppl-signed") is METRICS["ppl"]
    assert metric_of("ppl-word").better == metric_of("ppl").better == -1
