"""Samples of a class: the density of its codes, the chosen sentences, and the report on the outcome."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sritool.analysis.class_samples import (
    ClassSamples,
    Share,
    balanced,
    class_number,
    fit_and_rest,
    fit_density,
    sample_class,
    share_notes,
)
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.data.options import PrepareOptions
from sritool.data.preprocess import preprocess_corpus
from sritool.data.sentences import CorpusText, Sentences
from sritool.data.sources import Source
from sritool.data.store import Corpus, load_corpus
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.errors import DataError, UsageError
from sritool.methods.registry import build_method
from sritool.model.decoding import DecodingConfig
from sritool.model.device import resolve_device
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.checkpoint_checks import TrainedOn, TrainingProgress
from sritool.runs.model import TrainedModel

WORDS = {"dark": "coal", "light": "snow"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Sentences of one word, three times; the class determines the word."""
    folder = tmp_path_factory.mktemp("data")
    texts = [f"{word} {word} {word}" for word in WORDS.values()]
    splits = {
        split: Sentences(texts * count, [*WORDS] * count)
        for split, count in {"train": 600, "valid": 8, "test": 20}.items()
    }
    source = Source(PrepareOptions(min_count=1), lambda: CorpusText("a test", splits))
    return load_corpus(preprocess_corpus("shades", source, data_dir=folder).path)


@pytest.fixture(scope="module")
def model(corpus: Corpus) -> TrainedModel:
    """A hand-built generator that says snow where z₁ is above 0 and coal below.

    Input and output gates are open and the forget gate is shut, so the state is tanh(tanh(z₁)) at every word.
    """
    settings = {
        "generator": {"embedding": 2, "hidden": 1, "latent": 2, "dropout": 0.0},
        "sampler": {"steps": 60, "step_sizes": [0.1], "evaluation_temperature": 1.0},
    }
    config = build(RunConfig, settings)
    method = build_method(config, len(corpus.tokenizer))
    weights = {name: torch.zeros_like(tensor) for name, tensor in method.modules.state_dict().items()}
    weights["generator.gate_bias"] = torch.tensor([20.0, 20.0, -20.0, 0.0])  # o, i, f, g
    weights["generator.latent_to_gates"][3, 0] = 1.0
    for word, sign in zip(WORDS.values(), (-1, 1), strict=True):
        row = int(corpus.tokenizer.encode(word)[0]) - FIRST_PREDICTED
        weights["generator.output"][row, 0] = 6.0 * sign
        weights["generator.output_bias"][row] = 5.0
    about = TrainedOn(corpus.info.name, str(corpus.path), corpus.info.content_hash, 10, False, False)
    checkpoint = Checkpoint(config, corpus.tokenizer, weights, about, TrainingProgress(1, 1, 1.0))
    return TrainedModel(checkpoint, corpus.path.parent / "best.pt", resolve_device("cpu"))


@pytest.mark.parametrize(("label", "word"), WORDS.items())
def test_samples_have_the_requested_class(label: str, word: str, model: TrainedModel, corpus: Corpus) -> None:
    config = DecodingConfig(max_length=3)
    found = sample_class(model, label, 100, config, 0, corpus.path.parent, lambda *_: None)
    assert np.mean([sentence.text == " ".join([word] * 3) for sentence in found.sentences]) > 0.9
    shares = {(share.judge, share.sentences): share.value for share in found.shares}
    for judge, classes in (("codes", found.by_codes), ("words", found.by_words)):
        assert shares[judge, "samples"] == classes.count(label) / 100 > 0.9
        assert shares[judge, "real test sentences of the class"] > 0.9
        assert shares[judge, "real test sentences of other classes"] < 0.1
        assert 0.3 < shares[judge, "samples of the prior"] < 0.7
    assert not any("do not tell" in line for line in share_notes(found))


def test_more_samples_start_with_the_same_ones(model: TrainedModel, corpus: Corpus) -> None:
    config = DecodingConfig(greedy=False, temperature=3.0, max_length=3)

    def drawn(n: int, seed: int) -> list[str]:
        found = sample_class(model, "dark", n, config, seed, corpus.path.parent, lambda *_: None)
        return [sentence.text for sentence in found.sentences]

    assert drawn(6, 1) == drawn(12, 1)[:6]
    assert drawn(12, 1) != drawn(12, 2)


def test_density_moments() -> None:
    random = np.random.default_rng(0)
    mean, covariance = np.array([1.0, -2.0]), np.array([[1.0, 0.6], [0.6, 2.0]])
    draws = random.multivariate_normal(mean, covariance, 20_000).astype(np.float32)
    fitted = fit_density(draws)
    again = fitted.codes(random.standard_normal((20_000, 2)).astype(np.float32), seed=0)
    np.testing.assert_allclose(again.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(again.T), covariance, atol=0.1)
    few = fit_density(draws[:3, [0, 1, 0, 1]])  # whose own covariance has rank 2 at most
    assert np.linalg.eigvalsh(few.factor @ few.factor.T).min() > 0.01


def test_density_keeps_a_non_gaussian_shape() -> None:
    """Half of a standard normal: a Gaussian with its moments has a tenth of its mass on the other side."""
    random = np.random.default_rng(0)
    half = random.standard_normal((1000, 2)).astype(np.float32)
    half[:, 0] = abs(half[:, 0])
    drawn = fit_density(half).codes(random.standard_normal((5000, 2)).astype(np.float32), seed=0)
    assert (drawn[:, 0] < 0).mean() < 0.07


def test_density_and_classifiers_use_disjoint_sentences() -> None:
    labels = np.array([0, 1, 1, 2] * 40)
    fitted, rest = fit_and_rest(labels, 1, "one")
    assert set(labels[fitted]) == {1}
    assert len(fitted) == 40
    assert sorted([*fitted, *rest]) == list(range(160))
    chosen = balanced(labels, 60, rest)
    assert np.bincount(labels[chosen]).tolist() == [20, 20, 20]
    assert set(chosen) <= set(rest)
    with pytest.raises(DataError, match="12"):
        fit_and_rest(labels[:24], 1, "one")


def test_unknown_label_lists_the_known_ones(corpus: Corpus) -> None:
    assert class_number(corpus, "light") == 1
    for wrong in ("ligth", "7", ""):
        with pytest.raises(UsageError, match=r"dark, light"):
            class_number(corpus, wrong)


def test_uninformative_codes_are_reported() -> None:
    """Codes that are the same for all sentences put them all into one class, whichever it is."""

    def notes(of_class: int, of_others: int, real: int = 300) -> list[str]:
        shares = [
            Share("codes", "samples", 5, 10),
            Share("codes", "real test sentences of the class", of_class, real),
            Share("codes", "real test sentences of other classes", of_others, 300),
        ]
        return share_notes(ClassSamples("dark", [], [], [], shares))

    assert notes(150, 150)[0] == "of 10 samples, taken for dark: 50% by codes (24% to 76%)"
    for taken in (0, 150, 300):
        assert "do not tell the class" in notes(taken, taken)[-1]
    assert "do not tell the class" not in notes(90, 30)[-1], (
        "a class that is seldom predicted, but seldom wrongly"
    )
    assert "too few to say" in notes(5, 30, real=10)[-1]
