"""The bracket and verdict of `certify`, against likelihoods computed by quadrature."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sritool.config.settings import LikelihoodConfig
from sritool.data.batches import collate
from sritool.data.tokenizer import EOS
from sritool.errors import UsageError
from sritool.evaluation import certificate as module
from sritool.evaluation.certificate import Certificate, certify, simulate
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.langevin import log_prior
from sritool.likelihood.importance import LikelihoodFigures, likelihood_figures
from sritool.runs.model import TrainedModel, load_model

COUNT = 48
SETTINGS = EvaluationSettings(
    ("nll",), likelihood=LikelihoodConfig(samples=400, pilots=100, rounds=1), rungs=30
)


def cut_at(model: TrainedModel, longest: int) -> None:
    """Limit the sentences of the model's corpus to this many words."""
    corpus = replace(model.checkpoint.corpus, max_length=longest)
    model.checkpoint = replace(model.checkpoint, corpus=corpus)


@pytest.fixture(scope="module")
def model(begin_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A float64 model with two latent dimensions that matter; its corpus has at most 6 words per sentence."""
    folder = tmp_path_factory.mktemp("certify")
    sizes = {"latent": 2, "hidden": 8, "embedding": 4}
    run = begin_run(folder, generator=sizes, optimizer={"initial_scale": 1.6})
    run.train(max_steps=1)
    found = load_model(run.folder)
    found.method.modules.double()
    found.method.generator.initialise(1.6, seed=4)
    cut_at(found, 6)
    return found


@pytest.fixture(scope="module")
def certificate(model: TrainedModel) -> Certificate:
    return certify(model, COUNT, 6, SETTINGS, lambda *_: None)


def by_quadrature(model: TrainedModel) -> np.ndarray:
    """log p(x) of the simulated sentences: [COUNT]."""
    axis = torch.linspace(-6, 6, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_mass = log_prior(grid) + 2 * math.log(float(axis[1] - axis[0]))
    batch = collate(simulate(model, COUNT, 0).split, np.arange(COUNT))
    conditional = model.method.conditional(batch).log_likelihood(grid[:, None].expand(-1, COUNT, -1))
    return (conditional + log_mass[:, None]).logsumexp(0).numpy()


def test_bracket_contains_truth_and_adaptive(model: TrainedModel, certificate: Certificate) -> None:
    truth = by_quadrature(model)
    for name, sign in (("lower", 1), ("adaptive", 1), ("upper", -1)):
        slack = sign * (truth - certificate.rows[name])
        assert slack.mean() > -3 * slack.std() / math.sqrt(COUNT), name
        assert abs(slack).mean() < 0.5, name
    assert certificate.verdict.startswith("adaptive lies inside")
    assert certificate.sentences == COUNT


def test_figures_are_means_and_differences_of_rows(certificate: Certificate) -> None:
    rows = certificate.rows
    pairs = {
        "lower": rows["lower"],
        "adaptive": rows["adaptive"],
        "upper": rows["upper"],
        "width": rows["upper"] - rows["lower"],
        "above_lower": rows["adaptive"] - rows["lower"],
        "below_upper": rows["upper"] - rows["adaptive"],
    }
    for name, values in pairs.items():
        estimate = getattr(certificate, name)
        assert estimate.value == pytest.approx(values.mean())
        assert estimate.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(COUNT))
        assert estimate.sentences == COUNT
    assert all(len(values) == COUNT and np.isfinite(values).all() for values in rows.values())


@pytest.mark.slow
def test_batch_size_does_not_matter(model: TrainedModel, certificate: Certificate) -> None:
    again = certify(model, COUNT, 6, replace(SETTINGS, batch_size=20), lambda *_: None)
    for name, values in certificate.rows.items():
        np.testing.assert_allclose(again.rows[name], values, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("shift", "words"), [(-3.0, "below annealing.*--samples"), (3.0, "above reverse annealing.*trust")]
)
def test_wrong_estimator_is_detected(
    model: TrainedModel, monkeypatch: pytest.MonkeyPatch, shift: float, words: str
) -> None:
    def wrong(*given: Any) -> LikelihoodFigures:
        found = likelihood_figures(*given)
        return found._replace(log_likelihood_curve=found.log_likelihood_curve + shift)

    monkeypatch.setattr(module, "likelihood_figures", wrong)
    found = certify(model, 12, 3, replace(SETTINGS, rungs=10), lambda *_: None)
    assert re.search(words, found.verdict)


def test_simulated_sentences_are_cut_like_a_corpus(model: TrainedModel) -> None:
    split = simulate(model, 200, 3).split
    rows = [split.targets(k).tolist() for k in range(200)]
    ended = [row for row in rows if row[-1] == EOS]
    cut = [row for row in rows if row[-1] != EOS]
    assert ended, "no sentence ends"
    assert cut, "no sentence is cut"
    assert all(len(row) <= 6 and EOS not in row[:-1] for row in ended)
    assert all(len(row) == 6 and EOS not in row for row in cut)


def test_simulated_sentences_follow_the_model(model: TrainedModel) -> None:
    """E log p(x|z) over simulated pairs is minus the entropy of x given z; here for sentences of one word."""
    cut_at(model, 1)
    try:
        found = simulate(model, 4000, 1)
    finally:
        cut_at(model, 6)
    batch = collate(found.split, np.arange(4000))
    scored = model.method.conditional(batch).log_likelihood(found.codes[None])[0]
    generator = model.generator
    hidden = generator.hidden_states(batch.inputs, found.codes)[0]
    words = torch.log_softmax(hidden @ generator.output.t() + generator.output_bias, -1)
    negative_entropy = (words.exp() * words).sum(-1)
    difference = (scored - negative_entropy).detach()
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(4000)


def test_larger_sample_keeps_the_first_sentences(model: TrainedModel) -> None:
    few, many = simulate(model, 5, 2), simulate(model, 9, 2)
    assert torch.equal(few.codes, many.codes[:5])
    for k in range(5):
        assert few.split.targets(k).tolist() == many.split.targets(k).tolist()
    assert not torch.equal(simulate(model, 5, 3).codes, few.codes)


def test_progress_is_reported(model: TrainedModel) -> None:
    reported: list[tuple[str, int, int]] = []
    certify(model, 10, 2, replace(SETTINGS, rungs=2, batch_size=4), lambda *given: reported.append(given))
    assert [(done, total) for _, done, total in reported] == [(0, 10), (4, 10), (8, 10), (10, 10)]


def test_language_model_is_refused(
    begin_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = begin_run(tmp_path_factory.mktemp("lm"), "lm")
    run.train(max_steps=1)
    with pytest.raises(UsageError, match="no z"):
        certify(load_model(run.folder), 5, 5, SETTINGS, lambda *_: None)
