"""The Python interface `sritool.load` and its model, against what their docstrings promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sritool
from sritool.api import Model, load
from sritool.config.settings import LikelihoodConfig
from sritool.data.batches import collate
from sritool.data.tokenizer import EOS
from sritool.errors import CheckpointError, NumericalError, ShapeError, SritoolError, UsageError
from sritool.evaluation.sentences import reading_notes, unknown_words
from sritool.model.decoding import DecodingConfig

NewRun = Callable[..., Any]
TEXTS = [
    "one nurse paints kites",
    "a gardener",
    "",
    "one nurse paints kites",
    "the zeppelin greets a lantern",
]


@pytest.fixture(scope="module")
def trained(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small sri run of a dozen steps."""
    run = begin_run(
        tmp_path_factory.mktemp("sri"),
        training={"epochs": 4, "save_every": 1000},
        optimizer={"learning_rate": 0.1, "initial_scale": 1.0},
        generator={"dropout": 0.0},
    )
    run.train()
    return run


@pytest.fixture(scope="module")
def model(trained: Any) -> Model:
    return load(trained.folder)


@pytest.fixture(scope="module")
def language_model(begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = begin_run(tmp_path_factory.mktemp("lm"), "lm", optimizer={"initial_scale": 1.0})
    run.train(max_steps=2)
    return load(run.folder)


def test_import_is_light(run_program: Callable[..., Any]) -> None:
    program = (
        "import sys, sritool; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sritool.load"
    )
    done = run_program("-c", program)
    assert done.returncode == 0, done.stderr


def test_run_folder_loads_its_best_model(trained: Any, model: Model) -> None:
    assert model.path == trained.folder / "best.pt"
    best = trained.load("best.pt").weights
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.method.modules.state_dict().items())
    assert load(trained.folder / "last.pt").path.name == "last.pt"
    assert sritool.load(str(trained.folder)).path == model.path
    assert repr(model) == f"<sritool sri model of toy, {model.path}>"


@pytest.mark.parametrize("path", ["none", "none.pt"])
def test_missing_model(path: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sritool train"):
        load(tmp_path / path)


def test_unknown_device(trained: Any) -> None:
    with pytest.raises(UsageError, match="unknown"):
        load(trained.folder, device="abacus")


def test_sentences_keep_order_and_number(model: Model) -> None:
    split = model.split(TEXTS)
    assert len(split) == 5
    decoded = [model.tokenizer.decode(split.targets(k).tolist()) for k in range(5)]
    assert decoded == [*TEXTS[:4], "the <unk> greets a lantern"]
    assert split.targets(2).tolist() == [EOS]


def test_unknown_words_are_listed_in_order(model: Model) -> None:
    lines = ["one zeppelin greets one zeppelin", "", "a <unk> nurse yodels"]
    assert unknown_words(model, lines) == (
        "3 of 9 words are unknown to the model and read as <unk>: zeppelin, yodels"
    )
    assert unknown_words(model, ["one nurse paints kites", "<unk>", ""]) == ""
    assert unknown_words(model, ["b c d e f g h"]).endswith(": b, c, d, e, f, …")


def test_sentences_that_are_not_read_whole_are_counted(model: Model) -> None:
    longest = model.checkpoint.corpus.max_length
    whole, longer = " ".join(["nurse"] * longest), " ".join(["nurse"] * (longest + 1))
    assert reading_notes(model, [whole, ""]) == []
    (note,) = reading_notes(model, [longer, "one nurse", longer])
    assert note.startswith(f"2 sentences are longer than {longest} tokens")


def test_text_is_prepared_like_the_corpus(trained: Any) -> None:
    model = load(trained.folder)
    corpus = replace(model.checkpoint.corpus, lowercase=True, split_punctuation=True, max_length=3)
    model.checkpoint = replace(model.checkpoint, corpus=corpus)
    split = model.split(["One nurse. Paints kites"])
    assert model.tokenizer.decode(split.targets(0).tolist()) == "one nurse <unk>"
    assert EOS not in split.targets(0)


def test_codes_do_not_depend_on_the_batch(model: Model) -> None:
    codes = model.encode(TEXTS, chains=3, seed=1)
    assert codes.shape == (5, 3)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(
        model.encode(TEXTS, chains=3, seed=1, batch_size=2), codes, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(model.encode(TEXTS[:2], chains=3, seed=1), codes[:2], rtol=1e-4, atol=1e-5)
    assert (model.encode(TEXTS, chains=3, seed=2) != codes).all()
    assert (codes[0] != codes[3]).all(), "equal sentences share their draws"


def test_codes_are_means_of_chains(model: Model) -> None:
    batch = collate(model.split(TEXTS), range(5))  # type: ignore[arg-type]
    draws = model.method.posterior(model.method.conditional(batch), 1, 3)
    np.testing.assert_allclose(model.encode(TEXTS, chains=3, seed=1), draws.mean(0), rtol=1e-4, atol=1e-5)


def test_no_sentences_give_empty_results(model: Model) -> None:
    assert model.encode([]).shape == (0, 3)
    assert model.log_likelihood([]).shape == (0,)
    assert model.decode(np.zeros((0, 3))) == []


def test_posterior_mean_of_a_chain_is_noiseless(model: Model) -> None:
    mean = model.posterior_mean(TEXTS)
    np.testing.assert_allclose(
        mean[0], mean[3], rtol=1e-4, atol=1e-5, err_msg="equal sentences have different means"
    )
    np.testing.assert_allclose(model.posterior_mean(TEXTS, batch_size=2), mean, rtol=1e-4, atol=1e-5)
    ends = np.stack([model.encode(TEXTS, seed=seed) for seed in range(200)])
    error = ends.std(0) / len(ends) ** 0.5
    assert (np.abs(ends.mean(0) - mean) < 5 * error).mean() > 0.9


def test_posterior_mean_of_an_encoder_is_exact(begin_run: NewRun, tmp_path: Path) -> None:
    run = begin_run(tmp_path, "vae-anneal", optimizer={"initial_scale": 1.0})
    run.train(max_steps=2)
    vae = load(run.folder)
    with torch.no_grad():
        mean = vae.method.encoder.run(collate(vae.split(TEXTS), range(5))).q.mean.numpy()
    np.testing.assert_allclose(vae.posterior_mean(TEXTS), mean, atol=1e-6)
    assert np.abs(vae.encode(TEXTS) - mean).max() > 0.01


def test_prior_codes_are_a_prefix_of_more(model: Model) -> None:
    codes = model.prior(6, seed=4)
    assert (codes.shape, codes.dtype) == ((6, 3), np.float32)
    np.testing.assert_array_equal(model.prior(2, seed=4), codes[:2])
    assert (model.prior(6, seed=5) != codes).all()


def test_samples_are_decoded_prior_codes(model: Model) -> None:
    codes = model.prior(6, seed=4)
    assert model.sample(6, seed=4) == model.decode(codes)
    assert model.decode(codes[3:4].tolist()) == model.decode(codes)[3:4]
    assert len(set(model.sample(30))) > 1
    ancestral = DecodingConfig(greedy=False, max_length=8)
    drawn = model.sample(30, seed=4, config=ancestral)
    assert drawn == model.sample(30, seed=4, config=ancestral)
    assert drawn[:6] == model.sample(6, seed=4, config=ancestral)
    assert drawn != model.sample(30, seed=5, config=ancestral)
    assert all(len(text.split()) <= 8 for text in drawn)


def test_drawn_words_do_not_depend_on_the_part(model: Model) -> None:
    drawn = DecodingConfig(greedy=False, max_length=9)
    whole = model.sample(6, seed=1, config=drawn)
    parts = [model.decode(model.prior(6, 1)[i : i + 2], drawn, 1, first=i) for i in (0, 2, 4)]
    assert [sentence for part in parts for sentence in part] == whole


def test_interpolation_includes_both_ends(model: Model) -> None:
    line = model.interpolate(5, seed=3)
    ends = model.prior(2, seed=3)
    assert len(line) == 5
    assert [line[0], line[-1]] == model.decode(ends)
    assert line[2] == model.decode(ends.mean(0, keepdims=True))[0]


@pytest.mark.parametrize("codes", [np.zeros((2, 4)), np.zeros(3), [[0.0, 1.0]], [[], []], 1.0])
def test_codes_of_the_wrong_width(model: Model, codes: Any) -> None:
    with pytest.raises(ShapeError, match=r"give \[n, 3\]"):
        model.decode(codes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.encode("the otter"), r"\[sentence\]"),
        (lambda model: model.encode(TEXTS, chains=0), "chains is 0"),
        (lambda model: model.encode(TEXTS, batch_size=0), "batch_size is 0"),
        (lambda model: model.encode(TEXTS, batch_size=-1), "batch_size is -1"),
        (lambda model: model.posterior_mean(TEXTS, batch_size=-1), "batch_size is -1"),
        (lambda model: model.log_likelihood(TEXTS, batch_size=0), "batch_size is 0"),
        (lambda model: model.encode([TEXTS[0], None]), "sentences are strings; None is not"),
        (lambda model: model.log_likelihood([b"a"]), "sentences are strings; b'a'"),
        (lambda model: model.interpolate(between="ab"), "two sentences"),
        (lambda model: model.interpolate(between=("a",)), "two sentences"),
        (lambda model: model.interpolate(between=("a", "b", "c")), "two sentences"),
        (lambda model: model.interpolate(between=""), "two sentences"),
        (lambda model: model.prior(-1), "n is -1"),
        (lambda model: load(model.path, device=None), "device is None"),
        (lambda model: load(model.path, device=0), "device is 0"),
        (lambda model: DecodingConfig(top_k=5), "greedy=False"),
        (lambda model: DecodingConfig(temperature=3.0), "greedy=False"),
        (lambda model: DecodingConfig(beam=2, top_p=0.5), "greedy=False"),
    ],
)
def test_invalid_arguments(model: Model, call: Callable[[Model], object], message: str) -> None:
    with pytest.raises(SritoolError, match=message):
        call(model)


def test_codes_that_are_not_finite(model: Model) -> None:
    with pytest.raises(NumericalError):
        model.decode([[np.nan, 0.0, 0.0]])


def test_default_dtype_may_be_float64(model: Model) -> None:
    expected = model.sample(3), model.decode(model.encode(TEXTS)), model.log_likelihood(TEXTS)
    torch.set_default_dtype(torch.float64)
    try:
        double = load(model.path)
        found = double.sample(3), double.decode(model.encode(TEXTS)), double.log_likelihood(TEXTS)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found[:2] == expected[:2]
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-3)


def test_language_model_samples_words(language_model: Model) -> None:
    drawn = language_model.sample(20, seed=1)
    assert len(set(drawn)) > 5
    assert drawn == language_model.sample(20, seed=1)
    assert drawn != language_model.sample(20, seed=2)
    assert language_model.latent == 0


@pytest.mark.parametrize("what", ["encode", "interpolate"])
def test_language_model_has_no_codes(language_model: Model, what: str) -> None:
    with pytest.raises(UsageError, match=f"cannot {what}"):
        getattr(language_model, what)(*([TEXTS] if what == "encode" else []))


def test_log_likelihood_without_z_is_exact(language_model: Model) -> None:
    batch = collate(language_model.split(TEXTS), range(5))  # type: ignore[arg-type]
    expected = language_model.generator.log_likelihood(
        batch.inputs, batch.targets, torch.zeros(5, 0)
    ).detach()
    found = language_model.log_likelihood(TEXTS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


def test_probabilities_of_all_sentences_sum_to_one(language_model: Model) -> None:
    """Cut at two words, a sentence is empty, has one word, or has two without </s>."""
    lm = load(language_model.path)
    lm.checkpoint = replace(lm.checkpoint, corpus=replace(lm.checkpoint.corpus, max_length=2))
    words = list(lm.tokenizer.words[3:])  # includes <unk>, but not <pad>, <s> and </s>
    every = ["", *words, *(f"{one} {two} and more" for one in words for two in words)]
    assert np.exp(lm.log_likelihood(every)).sum() == pytest.approx(1.0, abs=1e-4)


def test_log_likelihood_with_z_is_the_integral(model: Model) -> None:
    """Against plain Monte Carlo from the prior, which is accurate for three dimensions and short sentences."""
    batch = collate(model.split(TEXTS), range(5))  # type: ignore[arg-type]
    draws = torch.randn(20_000, 5, 3, generator=torch.Generator().manual_seed(0))
    weights = model.method.conditional(batch).log_likelihood(draws).double()
    expected = weights.logsumexp(0) - np.log(20_000)
    relative = (weights - expected).exp().std(0) / np.sqrt(20_000)
    found = model.log_likelihood(TEXTS, seed=1, likelihood=LikelihoodConfig(samples=1000))
    assert float(relative.max()) < 0.1
    np.testing.assert_allclose(found, expected.numpy(), atol=0.25)
    np.testing.assert_allclose(
        model.log_likelihood(TEXTS, batch_size=2), model.log_likelihood(TEXTS), rtol=1e-4
    )
