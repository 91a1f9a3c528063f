"""Figures of a refined encoder: the effect of each setting, and the figures that are left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import RunConfig
from sritool.data.batches import collate
from sritool.data.store import Corpus
from sritool.errors import UsageError
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.langevin import langevin_step
from sritool.inference.refinement import KINDS, Refinement
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import build_method
from sritool.model.random import Stream
from support.figures import columns_of

METRICS = ("recon", "permuted", "elbo", "elbo-gain", "kl", "au")
ENCODER_METHODS = ("vae-anneal", "vae-cyclical", "vae-lagging", "sa-vae", "vae-fbp", "vae-fb")


@pytest.fixture
def make(corpus: Corpus, settings: Callable[..., RunConfig]) -> Callable[..., EncoderMethod]:
    """A float64 method whose encoder does not know its generator."""

    def build(name: str = "vae-anneal") -> EncoderMethod:
        method = build_method(settings(name), len(corpus.tokenizer))
        assert isinstance(method, EncoderMethod)
        method.generator.initialise(0.8, seed=2)
        method.encoder.initialise(0.8, seed=3)
        method.modules.double()
        return method

    return build


def measured(method: Any, corpus: Corpus, refinement: Refinement | None, **changes: Any) -> Measured:
    wanted = replace(EvaluationSettings(METRICS, refinement=refinement), **changes)
    split = corpus.split("test")
    return measure(method, split, np.arange(len(split)), wanted)


def values(found: Measured) -> dict[str, float]:
    return {estimate.metric: estimate.value for estimate in found.estimates}


@pytest.mark.parametrize("name", ENCODER_METHODS)
def test_svi_raises_the_elbo_by_its_gain(
    make: Callable[..., EncoderMethod], corpus: Corpus, name: str
) -> None:
    bare = values(measured(make(name), corpus, Refinement(0)))
    found = measured(make(name), corpus, Refinement(10))
    refined = values(found)
    gain = next(estimate for estimate in found.estimates if estimate.metric == "elbo-gain")
    assert "elbo-gain" not in bare
    assert gain.value > 3 * gain.standard_error > 0
    assert gain.value == pytest.approx(refined["elbo"] - bare["elbo"])
    assert {estimate.estimator for estimate in found.estimates} == {"encoder + 10 svi steps"}
    for metric in ("recon", "permuted", "kl"):
        assert refined[metric] != pytest.approx(bare[metric], rel=1e-4), metric


def test_kl_uses_every_sentence(make: Callable[..., EncoderMethod], corpus: Corpus) -> None:
    found = measured(make(), corpus, Refinement(3), kl_sentences=2)
    assert {e.metric: e.sentences for e in found.estimates} == dict.fromkeys(METRICS, 10)
    alone = measured(make(), corpus, Refinement(3), metrics=("kl",))
    assert values(alone)["kl"] == values(found)["kl"]


def test_gain_depends_on_rate_and_steps(make: Callable[..., EncoderMethod], corpus: Corpus) -> None:
    gains = [
        values(measured(make(), corpus, Refinement(steps, rate=rate)))["elbo-gain"]
        for steps, rate in ((2, 0.01), (10, 0.01), (10, None), (10, 1 / 32))
    ]
    assert gains[0] < gains[1] < gains[2]
    assert gains[2] == gains[3]


def test_sa_vae_is_refined_as_in_training(make: Callable[..., EncoderMethod], corpus: Corpus) -> None:
    method = make("sa-vae")
    own = measured(method, corpus, None)
    assert values(own) == values(measured(method, corpus, Refinement(20)))
    assert values(measured(make(), corpus, None)) == values(measured(make(), corpus, Refinement(0)))


def test_langevin_draws_are_chains_from_the_mean(
    make: Callable[..., EncoderMethod], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make().refined(Refinement(2, "langevin", 0.05))
    batch = collate(corpus.split("test"), [3, 1])
    conditional = method.conditional(batch)
    found, mean = method.posterior(conditional, 4, 3), method.posterior_mean(conditional, 4)
    monkeypatch.setattr(Stream, "codes", lambda self, examples, count, *_: torch.zeros(count, 2, 3).double())
    still = method.posterior(conditional, 4, 3)
    z = method.encoder.run(batch).q.mean
    for _ in range(2):
        z = langevin_step(z, conditional.evaluate(z).gradient - z, 0.05, torch.zeros_like(z), 1.0)
    torch.testing.assert_close(still, z.expand(3, -1, -1))
    torch.testing.assert_close(mean, z)
    apart = [found[0] - found[1], found[1] - found[2], found[0] - still[0]]
    assert min(float(difference.abs().min()) for difference in apart) > 0


def test_preconditioned_chain_uses_encoder_variances(
    make: Callable[..., EncoderMethod], corpus: Corpus
) -> None:
    method = make().refined(Refinement(3, "preconditioned"))
    batch = collate(corpus.split("test"), [3, 1])
    conditional, q = method.conditional(batch), method.encoder.run(batch).q
    found = method.posterior(conditional, 4, 2)
    sizes, z = (0.9, (0.9 * 0.12) ** 0.5, 0.12), q.mean.expand(2, -1, -1)
    stream = Stream(4, "evaluation refinement")
    noise = torch.stack([stream.codes(batch.examples, 3, 3, torch.float64, chain) for chain in range(2)], 1)
    for size, epsilon in zip(sizes, noise, strict=True):
        scale = q.log_variance.exp().sqrt()
        slope = conditional.evaluate(z).gradient - z
        z = z + size * scale**2 * slope + math.sqrt(2 * size) * scale * epsilon
    torch.testing.assert_close(found, z, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="langevin"):
        make("ae").refined(Refinement(3, "preconditioned"))


@pytest.mark.parametrize("name", ["vae-anneal", "ae"])
def test_langevin_leaves_out_kl(make: Callable[..., EncoderMethod], corpus: Corpus, name: str) -> None:
    found = measured(make(name), corpus, Refinement(5, "langevin"))
    assert list(values(found)) == ["recon", "permuted", "au"]
    (note,) = (note.text for note in found.notes if "not measured" in note.text)
    assert note.startswith("elbo, elbo-gain, kl: not measured")
    assert "5 langevin steps" in note


def test_refinement_improves_an_autoencoder(make: Callable[..., EncoderMethod], corpus: Corpus) -> None:
    recon = [values(measured(make("ae"), corpus, Refinement(steps)))["recon"] for steps in (0, 5, 20)]
    assert recon[0] > recon[1] > recon[2]


@pytest.mark.parametrize("kind", KINDS)
def test_batch_size_does_not_matter(make: Callable[..., EncoderMethod], corpus: Corpus, kind: str) -> None:
    found = [measured(make(), corpus, Refinement(4, kind), batch_size=size) for size in (1, 3, 64)]
    for other in found[1:]:
        for column, rows in columns_of(found[0].figures).items():
            np.testing.assert_allclose(columns_of(other.figures)[column], rows, rtol=1e-9, err_msg=column)


def test_unrefined_encoder_has_no_gain(make: Callable[..., EncoderMethod], corpus: Corpus) -> None:
    found = measured(make(), corpus, None)
    assert any(
        "elbo-gain: not measured" in note.text and "--refine-steps" in note.text for note in found.notes
    )


@pytest.mark.parametrize("name", ["sri", "lm"])
def test_refinement_needs_an_encoder(settings: Callable[..., RunConfig], corpus: Corpus, name: str) -> None:
    method = build_method(settings(name), len(corpus.tokenizer))
    with pytest.raises(UsageError, match=f"{name} .*--refine-steps"):
        measured(method, corpus, Refinement(3))
