"""Every method trained briefly on a small problem: bounds hold, and each method does what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.data.batches import Batch, collate
from sritool.data.store import Corpus
from sritool.evaluation.measure import measure
from sritool.evaluation.settings import EvaluationSettings
from sritool.methods.base import Clock, Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import METHODS, build_method

pytestmark = pytest.mark.slow

STEPS, PRETRAINING = 120, 30
LIKELIHOOD = LikelihoodConfig(samples=200, pilots=40, rounds=2)
MEASURED = ("nll", "recon", "elbo", "kl")
SETTINGS: dict[str, Any] = {
    "generator": {"embedding": 8, "hidden": 32, "latent": 4, "dropout": 0.0},
    "optimizer": {"initial_scale": 0.3},
    "sampler": {"steps": 5, "step_sizes": [0.2, 0.1], "temperature": 0.5},
    "free_bits": {"target": 2.0},
    "lagging": {"updates": 4, "judge_every": 2},
    "refinement": {"steps": 4},
    "training": {"measure_every": 0},
}
Figures = dict[str, dict[str, tuple[float, float]]]


def trained(name: str, batch: Batch, settings: Callable[..., RunConfig], vocabulary: int) -> Method:
    """A method after pretraining and STEPS steps on one batch."""
    method = build_method(settings(name, **SETTINGS), vocabulary)
    method.initialise()
    optimizer = torch.optim.Adam(method.modules.parameters(), lr=0.03)
    method.pretraining = method.pretrains
    for step in range(STEPS + PRETRAINING):
        if method.pretraining and step == PRETRAINING:
            method.end_pretraining()
        clock = Clock(0, step, step, step / (STEPS + PRETRAINING))
        while method.beside(clock, 0, 1) is not None:
            method.gradients(batch, clock)
            optimizer.step()
            method.after_update()
        method.gradients(batch, clock)
        optimizer.step()
        method.after_update()
        method.after_epoch([batch], clock.stream("information"))
    return method


@pytest.fixture(scope="module")
def figures(corpus: Corpus, settings: Callable[..., RunConfig]) -> Figures:
    """Method -> metric -> (value, standard error) on the training sentences, all methods with one plan."""
    train, found = corpus.split("train"), {}
    batch = collate(train, np.arange(len(train)))
    for name in METHODS:
        method = trained(name, batch, settings, len(corpus.tokenizer))
        evaluation = EvaluationSettings(MEASURED, likelihood=LIKELIHOOD, chains=8, kl_sentences=len(train))
        estimates = measure(method, train, np.arange(len(train)), evaluation).estimates
        found[name] = {e.metric: (e.value, e.standard_error) for e in estimates}
    return found


def test_elbo_is_below_the_likelihood(figures: Figures) -> None:
    bounded = {name: found for name, found in figures.items() if "elbo" in found}
    with_encoder = {name for name, kind in METHODS.items() if issubclass(kind, EncoderMethod)}
    assert bounded.keys() >= with_encoder - {"ae"}
    for name, found in bounded.items():
        (elbo, elbo_error), (nll, nll_error) = found["elbo"], found["nll"]
        assert elbo <= -nll + 3 * (elbo_error**2 + nll_error**2) ** 0.5, name


def test_autoencoder_reconstructs_best_and_has_no_elbo(figures: Figures) -> None:
    recon = {name: found["recon"][0] for name, found in figures.items()}
    assert min(recon, key=lambda name: recon[name]) == "ae"
    assert not {"kl", "elbo"} & figures["ae"].keys()


def test_free_bits_keep_the_kl_up(figures: Figures) -> None:
    for name in ("vae-fb", "vae-fbp"):
        assert figures[name]["kl"][0] > 1.0, name
