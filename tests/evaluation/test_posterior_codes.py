"""Codes of many sentences: what they are, and that none is drawn twice."""

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
from sritool.evaluation import posterior_codes as latents
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
    """A model whose folder is the test's own, and that keeps as few as two sentences."""
    monkeypatch.setattr(latents, "KEPT_FROM", 2)
    return load(Path(shutil.copytree(trained, tmp_path / "run")))


@pytest.fixture
def drawn(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sentences each batch that is really encoded has."""
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


def test_draws_are_the_methods_own_in_the_order_asked_for(model: Model, corpus: Corpus) -> None:
    split, asked = corpus.split("train"), np.array([7, 2, 2, 19, 0])
    found = codes_of_split(model, split, asked, CodeSettings(3, mean=False, seed=5), batch_size=2)
    assert found.shape == (5, 3, model.latent)
    for row, index in enumerate(asked):
        conditional = model.method.conditional(collate(split, [index]))
        expected = model.method.posterior(conditional, 5, 3)[:, 0]
        np.testing.assert_allclose(found[row], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_is_the_chains_alone(model: Model, corpus: Corpus) -> None:
    split, asked = corpus.split("train"), np.arange(4)
    usual = codes_of_split(model, split, asked, CodeSettings(3, seed=5))
    with pytest.raises(UsageError, match="--chains"):
        codes_of_split(model, split, asked, CodeSettings(dropout=True))
    dropped = codes_of_split(model, split, asked, CodeSettings(3, seed=5, dropout=True))
    assert np.array_equal(usual, dropped) == (model.method.name != "sri")
    draws = codes_of_split(model, split, asked, CodeSettings(3, mean=False, seed=5, dropout=True))
    if model.method.name == "sri":
        np.testing.assert_allclose(draws.mean(1), dropped[:, 0], rtol=1e-5, atol=1e-6)


def test_the_mean_is_that_of_the_draws_or_the_encoders_own(model: Model, corpus: Corpus) -> None:
    split, asked = corpus.split("train"), np.arange(6)
    found = codes_of_split(model, split, asked, CodeSettings(4, seed=1), keep=False)[:, 0]
    if model.method.name == "sri":
        expected = codes_of_split(model, split, asked, CodeSettings(4, mean=False, seed=1), keep=False).mean(
            1
        )
    else:
        expected = model.method.encoder.run(collate(split, asked)).q.mean.detach().numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_without_draws_it_is_the_methods_mean_whatever_the_seed(model: Model, corpus: Corpus) -> None:
    split, asked = corpus.split("train"), np.arange(6)
    found = [codes_of_split(model, split, asked, CodeSettings(seed=seed), keep=False) for seed in (1, 2)]
    np.testing.assert_array_equal(*found)
    expected = model.method.posterior_mean(model.method.conditional(collate(split, asked)), 0)
    np.testing.assert_allclose(found[0][:, 0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_no_sentence_is_encoded_twice(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split = corpus.split("train")
    first = codes_of_split(model, split, np.arange(0, 10))
    assert sum(drawn) == 10
    both = codes_of_split(model, split, np.arange(14, 4, -1))
    assert sum(drawn) == 15  # five of them are new
    np.testing.assert_array_equal(both[::-1][:5], first[5:])


def test_another_seed_split_or_model_finds_nothing(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split, asked = corpus.split("train"), np.arange(8)
    codes_of_split(model, split, asked)
    codes_of_split(model, split, asked, CodeSettings(seed=1))
    codes_of_split(model, split, asked, CodeSettings(chains=2))
    codes_of_split(model, corpus.split("test"), asked)  # the same places, other sentences
    model.generator.output.data += 1.0
    codes_of_split(model, split, asked)
    assert sum(drawn) == 5 * 8


def test_another_way_to_refine_finds_nothing(begin_run: NewRun, tmp_path: Path, corpus: Corpus) -> None:
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


@pytest.mark.parametrize("kept_bytes", [3, 60, -2])
def test_what_a_kill_cut_off_is_encoded_again(
    model: Model, corpus: Corpus, drawn: list[int], kept_bytes: int
) -> None:
    split, asked = corpus.split("train"), np.arange(12)
    whole = codes_of_split(model, split, asked, batch_size=4)
    file = file_of(model)
    file.write_bytes(file.read_bytes()[:kept_bytes])
    drawn.clear()
    again = codes_of_split(model, split, asked, batch_size=4)
    assert sum(drawn) == (4 if kept_bytes == -2 else 12)
    np.testing.assert_array_equal(again, whole)
    codes_of_split(model, split, asked)
    assert sum(drawn) == (
        4 if kept_bytes == -2 else 12
    )  # what was drawn again is found behind the torn block


def test_a_flipped_bit_is_not_believed(model: Model, corpus: Corpus, drawn: list[int]) -> None:
    split, asked = corpus.split("train"), np.arange(12)
    whole = codes_of_split(model, split, asked)
    data = bytearray(file_of(model).read_bytes())
    data[len(data) // 2] ^= 1
    file_of(model).write_bytes(data)
    np.testing.assert_array_equal(codes_of_split(model, split, asked), whole)
    assert sum(drawn) == 24


def test_few_sentences_leave_no_file(trained: Path, tmp_path: Path, corpus: Corpus) -> None:
    model = load(Path(shutil.copytree(trained, tmp_path / "run")))
    codes_of_split(model, corpus.split("train"), np.arange(22))
    assert not (model.path.parent / FOLDER).exists()


def test_progress_counts_what_is_known_already(model: Model, corpus: Corpus) -> None:
    told: list[tuple[str, int, int]] = []
    split = corpus.split("train")
    codes_of_split(model, split, np.arange(6))
    codes_of_split(model, split, np.arange(10), batch_size=2, report=lambda *event: told.append(event))
    assert [done for _, done, _ in told] == [6, 8, 10]
    assert {(label, total) for label, _, total in told} == {("encoding", 10)}


def test_bad_requests(model: Model, corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        codes_of_split(model, corpus.split("train"), np.arange(2), CodeSettings(chains=0))
    model.generator.output.data[:] = np.nan
    for parameter in model.method.modules.parameters():
        parameter.data[:] = np.nan
    with pytest.raises(NumericalError, match="not finite"):
        codes_of_split(model, corpus.split("train"), np.arange(2))
