"""Codes of many sentences, against the method's own, and the cache that saves encoding one twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sritool.api import Model, load
from sritool.data.batches import collate
from sritool.data.store import Corpus
from sritool.errors import NumericalError, UsageError
from sritool.evaluation import posterior_codes
from sritool.evaluation.posterior_codes import FOLDER, CodeSettings, codes_of_split

NewRun = Callable[..., Any]


@pytest.fixture(scope="module", params=["sri", "vae-anneal"])
def trained(
    request: pytest.FixtureRequest, begin_run: NewRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = begin_run(tmp_path_factory.mktemp(request.param), request.param, optimizer={"initial_scale": 1.0})
    run.train(max_steps=2)
    return Path(run.folder)


@pytest.fixture
def model(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model in the test's own folder, with a cache for two sentences or more."""
    monkeypatch.setattr(posterior_codes, "KEPT_FROM", 2)
    return load(Path(shutil.copytree(trained, tmp_path / "run")))


@pytest.fixture
def drawn(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that are really encoded."""
    counts: list[int] = []
    conditional = model.method.conditional

    def counted(batch: Any, *args: Any) -> Any:
        counts.append(len(batch.examples))
        return conditional(batch, *args)

    monkeypatch.setattr(model.method, "conditional", counted)
    return counts


def file_of(model: Model) -> Path:
    (found,) = (model.path.parent / FOLDER).glob("*.jsonl")
    return found


def test_draws_come_in_the_requested_order(model: Model, corpus: Corpus) -> None:
    split, examples = corpus.split("train"), np.array([7, 2, 2, 19, 0])
    found = codes_of_split(model, split, examples, CodeSettings(3, mean=False, seed=5), batch_size=2)
    assert found.shape == (5, 3, model.latent)
    for row, index in enumerate(examples):
        conditional = model.method.conditional(collate(split, [index]))
        expected = model.method.posterior(conditional, 5, 3)[:, 0]
        np.testing.assert_allclose(found[row], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_affects_chains_only(model: Model, corpus: Corpus) -> None:
    split, examples = corpus.split("train"), np.arange(4)
    usual = codes_of_split(model, split, examples, CodeSettings(3, seed=5))
    with pytest.raises(UsageError, match="--chains"):
        codes_of_split(model, split, examples, CodeSettings(dropout=True))
    dropped = codes_of_split(model, split, examples, CodeSettings(3, seed=5, dropout=True))
    assert np.array_equal(usual, dropped) == (model.method.name != "sri")
    draws = codes_of_split(model, split, examples, CodeSettings(3, mean=False, seed=5, dropout=True))
    if model.method.name == "sri":
        np.testing.assert_allclose(draws.mean(1), dropped[:, 0], rtol=1e-5, atol=1e-6)


def test_mean_of_the_draws_or_of_the_encoder(model: Model, corpus: Corpus) -> None:
    split, examples = corpus.split("train"), np.arange(6)
    found = codes_of_split(model, split, examples, CodeSettings(4, seed=1), keep=False)[:, 0]
    if model.method.name == "sri":
        expected = codes_of_split(
            model, split, examples, CodeSettings(4, mean=False, seed=1), keep=False
        ).mean(1)
    else:
        expected = model.method.encoder.run(collate(split, examples)).q.mean.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_posterior_mean_does_not_depend_on_the_seed(model: Model, corpus: Corpus) -> None:
    split, examples = corpus.split("train"), np.arange(6)
    found = [codes_of_split(model, split, examples, CodeSettings(seed=seed), keep=False) for seed in (1, 2)]
    np.testing.assert_array_equal(*found)
    expected = model.method.posterior_mean(model.method.conditional(collate(split, examples)), 0)
    np.testing.assert_allclose(found[0][:, 0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_no_sentence_is_encoded_twice(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split = corpus.split("train")
    first = codes_of_split(model, split, np.arange(0, 10))
    assert sum(drawn) == 10
    both = codes_of_split(model, split, np.arange(14, 4, -1))
    assert sum(drawn) == 15  # five of them are new
    np.testing.assert_array_equal(both[::-1][:5], first[5:])


def test_cache_depends_on_seed_split_and_model(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split, examples = corpus.split("train"), np.arange(8)
    codes_of_split(model, split, examples)
    codes_of_split(model, split, examples, CodeSettings(seed=1))
    codes_of_split(model, split, examples, CodeSettings(chains=2))
    codes_of_split(model, corpus.split("test"), examples)  # the same places, other sentences
    model.generator.output.data += 1.0
    codes_of_split(model, split, examples)
    assert sum(drawn) == 5 * 8


def test_cache_depends_on_the_refinement(begin_run: NewRun, tmp_path: Path, corpus: Corpus) -> None:
    run = begin_run(tmp_path, "sa-vae", refinement={"steps": 2})
    run.train(max_steps=1)
    codes = []
    for momentum in (0.0, 0.9):
        model = load(Path(run.folder))
        config = model.method.config
        config = replace(config, refinement=replace(config.refinement, momentum=momentum))
        model.method.config = config
        model.checkpoint = replace(model.checkpoint, config=config)
        codes.append(codes_of_split(model, corpus.split("train"), np.arange(22).repeat(2)))
    assert np.abs(codes[0] - codes[1]).max() > 1e-5


def test_cache_depends_on_the_dropout_of_the_chain(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split, examples, how = corpus.split("train"), np.arange(8), CodeSettings(3, dropout=True)
    codes = []
    for rate in (0.5, 0.1, 0.5):
        config = replace(model.method.config, generator=replace(model.method.config.generator, dropout=rate))
        model.method.config = config
        model.checkpoint = replace(model.checkpoint, config=config)
        codes.append(codes_of_split(model, split, examples, how))
    assert sum(drawn) == 2 * 8
    assert np.array_equal(codes[0], codes[2])
    assert np.array_equal(codes[0], codes[1]) == (model.method.name != "sri")


@pytest.mark.parametrize("kept_bytes", [3, 60, -2])
def test_truncated_codes_are_encoded_again(
    model: Model, corpus: Corpus, drawn: list[int], kept_bytes: int
) -> None:
    split, examples = corpus.split("train"), np.arange(12)
    whole = codes_of_split(model, split, examples, batch_size=4)
    file = file_of(model)
    file.write_bytes(file.read_bytes()[:kept_bytes])
    drawn.clear()
    again = codes_of_split(model, split, examples, batch_size=4)
    lost = 4 if kept_bytes == -2 else 12
    assert sum(drawn) == lost
    np.testing.assert_array_equal(again, whole)
    codes_of_split(model, split, examples)
    assert sum(drawn) == lost  # the new codes are found after the truncated block


def test_flipped_bit_is_detected(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split, examples = corpus.split("train"), np.arange(12)
    whole = codes_of_split(model, split, examples)
    data = bytearray(file_of(model).read_bytes())
    data[len(data) // 2] ^= 1
    file_of(model).write_bytes(data)
    np.testing.assert_array_equal(codes_of_split(model, split, examples), whole)
    assert sum(drawn) == 24


def test_few_sentences_are_not_cached(trained: Path, tmp_path: Path, corpus: Corpus) -> None:
    model = load(Path(shutil.copytree(trained, tmp_path / "run")))
    codes_of_split(model, corpus.split("train"), np.arange(22))
    assert not (model.path.parent / FOLDER).exists()


def test_progress_counts_cached_sentences(model: Model, corpus: Corpus) -> None:
    reported: list[tuple[str, int, int]] = []
    split = corpus.split("train")
    codes_of_split(model, split, np.arange(6))
    codes_of_split(model, split, np.arange(10), batch_size=2, report=lambda *event: reported.append(event))
    assert [done for _, done, _ in reported] == [6, 8, 10]
    assert {(label, total) for label, _, total in reported} == {("encoding", 10)}


def test_invalid_requests_raise(model: Model, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        codes_of_split(model, corpus.split("train"), np.arange(2), CodeSettings(chains=0))
    for parameter in model.method.modules.parameters():
        parameter.data[:] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        codes_of_split(model, corpus.split("train"), np.arange(2))
