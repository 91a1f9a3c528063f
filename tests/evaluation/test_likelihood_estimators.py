"""Likelihood estimators by name: they agree, and batch size and memory do not change a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.data.store import Corpus
from sritool.errors import UsageError
from sritool.evaluation.likelihood_estimators import ESTIMATORS, check_estimator, largest_batch
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.settings import EvaluationSettings
from sritool.methods.base import Method
from sritool.methods.registry import METHODS, build_method
from sritool.methods.vae import AnnealedVae, Autoencoder
from sritool.model.conditional import Conditional
from sritool.model.gaussian import DiagonalGaussian

METRICS = ("ppl", "nll", "posterior-kl", "mi", "kl-information", "kl")


class Encoded(AnnealedVae):
    """A VAE whose encoder gives every sentence almost the prior."""

    def proposal(self, conditional: Conditional, seed: int = 0) -> DiagonalGaussian:
        zeros = self.generator.output.new_zeros(conditional.size, self.latent)
        return DiagonalGaussian(zeros, zeros + 0.2)


@pytest.fixture
def make(corpus: Corpus, settings: Callable[..., RunConfig]) -> Callable[..., Method]:
    def build(kind: type[Method] | None = None, dtype: torch.dtype = torch.float32) -> Method:
        kind = kind or METHODS["sri"]
        method = kind(settings(kind.name), len(corpus.tokenizer))
        method.generator.initialise(0.5, seed=2)
        method.modules.to(dtype)
        return method

    return build


def measured(method: Method, corpus: Corpus, estimator: str, samples: int = 12, **changes: Any) -> Measured:
    wanted = EvaluationSettings(
        METRICS, likelihood=LikelihoodConfig(samples=samples, pilots=20), estimator=estimator, rungs=8
    )
    return measure(method, corpus.split("test"), np.arange(10), replace(wanted, **changes))


@pytest.mark.parametrize("estimator", ["adaptive", "sri", "ais", "encoder"])
@pytest.mark.slow
def test_batch_size_and_memory_do_not_matter(
    make: Callable[..., Method], corpus: Corpus, estimator: str
) -> None:
    method = make(Encoded if estimator == "encoder" else None)
    usual = measured(method, corpus, estimator, samples=6)
    for changes in ({"batch_size": 3}, {"memory": 1 << 20}):  # so little memory that sentences go one by one
        other = measured(method, corpus, estimator, samples=6, **changes)
        for one, two in zip(usual.estimates, other.estimates, strict=True):
            assert two.value == pytest.approx(one.value, rel=1e-4, abs=1e-4), one.metric
            assert two.standard_error == pytest.approx(one.standard_error, rel=1e-3, abs=1e-4), one.metric


def test_estimators_agree_on_an_easy_model(make: Callable[..., Method], corpus: Corpus) -> None:
    method = make(Encoded, torch.float64)
    found = {
        name: measured(method, corpus, name, samples=samples, rungs=50).figures.log_likelihood
        for name, samples in (("adaptive", 300), ("ais", 40), ("encoder", 1000))
    }
    for values in found.values():
        np.testing.assert_allclose(values, found["adaptive"], atol=0.1)
        assert abs(float((values - found["adaptive"]).mean())) < 0.02


def test_figures_name_their_estimator(make: Callable[..., Method], corpus: Corpus) -> None:
    for name in ("adaptive", "sri", "ais", "encoder"):
        method = make(Encoded if name == "encoder" else None)
        found = {e.metric: e for e in measured(method, corpus, name).estimates}
        assert {found[metric].estimator for metric in ("ppl", "nll", "posterior-kl", "mi")} == {name}
        reliability = found["nll"].reliability
        assert reliability is not None
        assert [draws for draws, _ in reliability.curve] == [1, 3, 6, 12]
        assert reliability.curve[-1][1] == found["nll"].value
        assert 1 <= reliability.effective_decile <= reliability.effective <= 12
        assert ("nll-signed" in found) == (name == "sri")


@pytest.mark.parametrize("estimator", ["adaptive", "sri", "ais"])
def test_language_model_is_exact_with_any_estimator(
    corpus: Corpus, settings: Callable[..., RunConfig], estimator: str
) -> None:
    method = build_method(settings("lm"), len(corpus.tokenizer))
    method.generator.initialise(0.5, seed=2)
    found = measured(method, corpus, estimator)
    assert {e.estimator for e in found.estimates} == {"exact", "none: no z"}
    assert all(e.reliability is None for e in found.estimates)


def test_unsuitable_estimator_is_refused(make: Callable[..., Method]) -> None:
    with pytest.raises(UsageError, match=r"encoder needs .*, not sri; take --estimator"):
        check_estimator("encoder", make())
    check_estimator("encoder", make(Encoded))
    with pytest.raises(UsageError, match="not ae; take --estimator"):
        check_estimator("encoder", make(Autoencoder))
    with pytest.raises(UsageError, match=r"exact needs .*, not sri"):
        check_estimator("exact", make())
    with pytest.raises(UsageError, match="did you mean adaptive"):
        check_estimator("adaptiv")


def test_memory_limits_the_batch(make: Callable[..., Method]) -> None:
    method = make()
    settings = EvaluationSettings(METRICS, likelihood=LikelihoodConfig(samples=10))
    sizes = [largest_batch(method, replace(settings, memory=memory), 20) for memory in (1, 1 << 30, 4 << 30)]
    assert sizes[0] == 1
    assert sizes[1] < sizes[2]
    assert largest_batch(method, replace(settings, estimator="ais"), 20) < sizes[2]
    assert list(ESTIMATORS) == ["adaptive", "sri", "ais", "encoder", "exact"]
