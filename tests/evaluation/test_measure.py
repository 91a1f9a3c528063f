"""The measures of a model, against the plain generator, and what they must not depend on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.data.batches import collate
from sritool.data.store import Corpus
from sritool.data.tokenizer import UNK
from sritool.errors import NumericalError, UsageError
from sritool.evaluation import likelihood_estimators
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.metric_table import METRICS, check_metrics
from sritool.evaluation.metrics import derangement
from sritool.evaluation.settings import EvaluationSettings
from sritool.likelihood.adaptation import adaptive_draws
from sritool.methods.base import Method, PriorKl
from sritool.methods.registry import build_method
from support.figures import columns_of

LIKELIHOOD = LikelihoodConfig(samples=40, pilots=30, rounds=1, modes=2)
ALL = tuple(METRICS)


@pytest.fixture
def make(corpus: Corpus, settings: Callable[..., RunConfig]) -> Callable[..., Method]:
    """A method on the corpus with random parameters, large enough that z matters."""

    def build(
        name: str = "sri", on: Corpus = corpus, dtype: torch.dtype = torch.float32, scale: float = 1.0
    ) -> Method:
        method = build_method(settings(name), len(on.tokenizer))
        method.generator.initialise(scale, seed=2)
        method.modules.to(dtype)
        return method

    return build


def measured(method: Method, corpus: Corpus, examples: Any = None, **settings: Any) -> Measured:
    split = corpus.split("test")
    chosen = np.arange(len(split)) if examples is None else np.asarray(examples)
    wanted = replace(EvaluationSettings(ALL, likelihood=LIKELIHOOD), **settings)
    return measure(method, split, chosen, wanted, tokenizer=corpus.tokenizer)


def texts(found: Measured) -> list[str]:
    return [note.text for note in found.notes]


def by_name(found: Measured) -> dict[str, float]:
    return {estimate.metric: estimate.value for estimate in found.estimates}


def plain(method: Method, corpus: Corpus, z: torch.Tensor) -> np.ndarray:
    """log p(x|z) of the whole test split by plain operations."""
    batch = collate(corpus.split("test"), range(len(corpus.split("test"))))
    return method.generator.log_likelihood(batch.inputs, batch.targets, z).detach().double().numpy()


def test_language_model_is_exact(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make("lm", dtype=torch.float64)
    found = measured(method, corpus)
    exact = plain(method, corpus, torch.zeros(10, 0, dtype=torch.float64))
    np.testing.assert_allclose(found.figures.log_likelihood, exact, rtol=1e-10)
    values = by_name(found)
    assert values["nll"] == pytest.approx(-exact.mean())
    assert values["recon"] == pytest.approx(-exact.mean())
    assert values["ppl"] == pytest.approx(math.exp(-exact.sum() / corpus.split("test").predictions))
    assert values["elbo"] == pytest.approx(exact.mean())
    none = set(values) - {"ppl", "nll", "bpc", "bpb", "recon", "elbo"}
    assert {name: values[name] for name in none} == dict.fromkeys(none, 0.0)
    assert {e.estimator for e in found.estimates if e.metric in ("nll", "ppl")} == {"exact"}
    assert {e.draws for e in found.estimates} == {0}


def test_recon_is_the_mean_over_draws_of_q(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make(dtype=torch.float64)
    found = measured(method, corpus, chains=4, seed=3)
    batch = collate(corpus.split("test"), range(10))
    draws = method.posterior(method.conditional(batch), 3, 4)
    own = np.mean([plain(method, corpus, z) for z in draws], axis=0)
    np.testing.assert_allclose(-found.figures.recon, own, rtol=1e-9)
    other = np.mean([plain(method, corpus, z[derangement(10, 3)]) for z in draws], axis=0)
    np.testing.assert_allclose(-found.figures.recon_permuted, other, rtol=1e-9)
    assert by_name(found)["permuted"] == pytest.approx((own - other).mean())
    assert by_name(found)["recon"] == pytest.approx(-own.mean())


def test_figures_when_z_is_ignored(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make(dtype=torch.float64)
    with torch.no_grad():
        method.generator.latent_to_gates.zero_()
        method.generator.latent_to_initial.zero_()
    found = measured(method, corpus, likelihood=LikelihoodConfig(samples=2000, pilots=200))
    exact = plain(method, corpus, torch.zeros(10, 3, dtype=torch.float64))
    values = by_name(found)
    np.testing.assert_allclose(found.figures.log_likelihood, exact, atol=0.05)
    assert values["recon"] == pytest.approx(-exact.mean())
    assert values["permuted"] == 0
    assert values["posterior-kl"] == pytest.approx(0, abs=0.02)
    assert values["kl"] > 0, "a chain contracts even if it learns nothing"
    assert not any("bound" in note for note in texts(found))


@pytest.mark.parametrize("name", ["sri", "lm"])
def test_batch_size_does_not_matter(make: Callable[..., Method], corpus: Corpus, name: str) -> None:
    method = make(name, scale=0.5)
    found = [measured(method, corpus, batch_size=size) for size in (1, 3, 64)]
    for other in found[1:]:
        for column, values in columns_of(found[0].figures).items():
            near = 1e-2 if column == "pareto_k" else 1e-4  # a tail of two or three weights magnifies rounding
            np.testing.assert_allclose(
                columns_of(other.figures)[column], values, rtol=near, atol=1e-4, err_msg=column
            )
        for one, two in zip(found[0].estimates, other.estimates, strict=True):
            assert two.value == pytest.approx(one.value, rel=1e-4, abs=1e-4), one.metric


def test_figures_do_not_depend_on_other_sentences(make: Callable[..., Method], corpus: Corpus) -> None:
    method, metrics = make(scale=0.5), ("nll", "recon", "posterior-kl")
    whole = measured(method, corpus, metrics=metrics)
    part = measured(method, corpus, [7, 2, 4], metrics=metrics)
    for column, values in columns_of(part.figures).items():
        np.testing.assert_allclose(
            values, columns_of(whole.figures)[column][[7, 2, 4]], rtol=1e-4, atol=1e-4, err_msg=column
        )


def test_seed_determines_the_noise(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make()
    first, again, other = (measured(method, corpus, seed=seed) for seed in (0, 0, 1))
    for column in ("log_likelihood", "recon", "kl"):
        np.testing.assert_array_equal(getattr(again.figures, column), getattr(first.figures, column))
        assert (getattr(other.figures, column) != getattr(first.figures, column)).any(), column


def test_proposals_start_at_draws_of_q(
    make: Callable[..., Method], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, starts = make(), []

    def spied(target: Any, where: torch.Tensor, *rest: Any) -> Any:
        starts.append(where)
        return adaptive_draws(target, where, *rest)

    monkeypatch.setattr(likelihood_estimators, "adaptive_draws", spied)
    measured(method, corpus, [3, 1], metrics=("nll",), seed=4)
    draws = method.posterior(method.conditional(collate(corpus.split("test"), [3, 1])), 4, 2)
    (found,) = starts
    order = np.argsort(-corpus.split("test").lengths[[3, 1]], kind="stable")
    torch.testing.assert_close(found, draws[:, order])


def test_only_requested_metrics_are_computed(
    make: Callable[..., Method], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make()
    monkeypatch.setattr(type(method), "kl_to_prior", lambda *_: pytest.fail("kl was not requested"))
    assert [e.metric for e in measured(method, corpus, metrics=("recon", "nll")).estimates] == [
        "nll",
        "recon",
    ]
    columns = columns_of(measured(method, corpus, metrics=("recon",)).figures)
    assert "log_likelihood" not in columns
    assert "recon_permuted" not in columns


def test_estimates_state_sentences_and_draws(make: Callable[..., Method], corpus: Corpus) -> None:
    estimates = {e.metric: e for e in measured(make(), corpus, chains=4, kl_sentences=6).estimates}
    assert list(estimates) == [name for name in METRICS if name != "elbo-gain"], "sri has no encoder"
    by_density = {"kl", "elbo", "kl-contraction"}
    assert {name for name, e in estimates.items() if e.sentences == 6} == by_density
    assert {e.sentences for name, e in estimates.items() if name not in by_density} == {10}
    assert estimates["kl"].draws == 1
    assert (estimates["nll"].draws, estimates["nll"].estimator) == (40, "adaptive")
    assert (estimates["recon"].draws, estimates["au-naive"].draws) == (4, 4)
    assert estimates["au"].draws == 64, "ten sentences need all the chains there are"
    assert all(math.isfinite(e.value) and math.isfinite(e.standard_error) for e in estimates.values())


def test_subword_perplexity_is_also_per_word(make: Callable[..., Method], subword_corpus: Corpus) -> None:
    method = make("lm", on=subword_corpus)
    found = measured(method, subword_corpus)
    values, split = by_name(found), subword_corpus.split("test")
    assert split.words.sum() < split.predictions
    total = -found.figures.log_likelihood.sum()
    assert values["ppl"] == pytest.approx(math.exp(total / split.predictions))
    assert values["ppl-word"] == pytest.approx(math.exp(total / split.words.sum()))


def test_bits_per_character_and_byte(
    make: Callable[..., Method], corpus: Corpus, subword_corpus: Corpus
) -> None:
    for on in (corpus, subword_corpus):
        found = measured(make("lm", on=on), on, metrics=("bpc", "bpb"))
        split, values = on.split("test"), by_name(found)
        text = [on.tokenizer.decode(split.targets(index).tolist()) for index in range(len(split))]
        bits = -found.figures.log_likelihood.sum() / math.log(2)
        if not (split.ids == UNK).any():
            assert values["bpc"] == pytest.approx(bits / sum(len(line) + 1 for line in text))
            assert values["bpb"] == pytest.approx(bits / sum(len(line.encode()) + 1 for line in text))
        assert ("bpc, bpb" in " ".join(texts(found))) == bool((split.ids == UNK).any())


@pytest.mark.parametrize(
    ("examples", "metrics", "note"),
    [
        ([4], ["permuted"], "permuted: not measured, as one sentence is too few"),
        ([4], [], "the standard error of one sentence is undefined"),
        (
            [1, 2, 4],
            ["mi-upper", "kl-aggregate"],
            "mi-upper, kl-aggregate: not measured, as 3 sentences are too few",
        ),
    ],
)
def test_figures_that_few_sentences_leave_undefined(
    make: Callable[..., Method], corpus: Corpus, examples: list[int], metrics: list[str], note: str
) -> None:
    found = measured(make(), corpus, examples, metrics=("nll", *metrics))
    assert [estimate.metric for estimate in found.estimates] == ["nll"]
    assert note in texts(found)


def test_many_chains_run_in_smaller_batches(
    make: Callable[..., Method], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the memory of a batch would grow with the number of chains that active units need."""
    method, rows = make(), []
    posterior = type(method).posterior

    def watched(self: Any, conditional: Any, seed: int, chains: int) -> torch.Tensor:
        rows.append((chains, chains * conditional.size))
        return posterior(self, conditional, seed, chains)

    monkeypatch.setattr(type(method), "posterior", watched)
    measured(method, corpus, metrics=("au",), batch_size=4)
    assert max(chains for chains, _ in rows) == 32, "a few chains decide, so nothing is tested"
    assert max(size for _, size in rows) <= 8 * 4


@pytest.mark.parametrize("sentences", [1, 2, 10])
def test_no_figure_is_a_bound_without_z(sentences: int, make: Callable[..., Method], corpus: Corpus) -> None:
    """Not even where log N, the most that N sentences can show, is close to the 0 that they do show."""
    found = measured(make("lm"), corpus, range(sentences))
    assert {estimate.bound for estimate in found.estimates} == {""}


def test_bounds_are_marked_with_any_number_of_sentences(make: Callable[..., Method], corpus: Corpus) -> None:
    """A mutual information from N sentences is below the truth long before it reaches log N."""
    sides = {"mi": "≥", "kl-aggregate": "≥", "kl-information": "≥", "mi-upper": "≤", "kl-contraction": "≤"}
    found = measured(make(), corpus, range(10), metrics=(*sides, "posterior-kl"))
    assert {estimate.metric: estimate.bound for estimate in found.estimates} == sides | {"posterior-kl": ""}


def test_violated_bound_is_noted(
    make: Callable[..., Method], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make()
    impossible = PriorKl(torch.full((10,), -60.0), torch.full((10,), 0.25))
    monkeypatch.setattr(type(method), "kl_to_prior", lambda *_: impossible)
    notes = texts(measured(method, corpus))
    assert any("bound" in note for note in notes)
    assert any("25.0 % of the steps fold" in note for note in notes)


def test_non_finite_model_raises(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make()
    with torch.no_grad():
        method.generator.output_bias[0] = math.nan
    with pytest.raises(NumericalError, match="take an earlier checkpoint") as caught:
        measured(method, corpus)
    assert caught.value.exit_code == 4


def test_progress_is_reported(make: Callable[..., Method], corpus: Corpus) -> None:
    reported: list[tuple[str, int, int]] = []
    wanted = EvaluationSettings(ALL, likelihood=LIKELIHOOD, batch_size=4)
    measure(make(), corpus.split("test"), np.arange(10), wanted, lambda *event: reported.append(event))
    for label in {label for label, _, _ in reported}:
        done = [(count, total) for name, count, total in reported if name == label]
        if "active units" in label:  # with many chains, fewer sentences at a time
            assert done == sorted(done), label
            assert (done[0], done[-1]) == ((0, 10), (10, 10)), label
        else:
            assert done == [(0, 10), (4, 10), (8, 10), (10, 10)], label
    assert len({label for label, _, _ in reported if "active units" not in label}) == 5


@pytest.mark.parametrize(
    ("name", "hint"), [("pll", "did you mean ppl?"), ("posterior_kl", "posterior-kl"), ("xyz", "known: ppl")]
)
def test_unknown_metric_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_metrics(["ppl", name])
    assert hint in str(caught.value)
    assert repr(name) in str(caught.value)


def test_autoencoder_has_no_divergence(new_run: Callable[..., Any]) -> None:
    run = new_run("ae")
    run.train(max_steps=1)
    split = run.corpus.split("valid")
    settings = EvaluationSettings(("recon", "kl", "elbo"), likelihood=LikelihoodConfig(samples=4, pilots=4))
    found = measure(run.trainer.state.method, split, np.arange(4), settings)
    assert [estimate.metric for estimate in found.estimates] == ["recon"]
    assert any(note.startswith("kl, elbo: not measured") for note in texts(found))
