"""`sritool.load`: the same from Python, with the shapes and units that its docstrings promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import sritool
from sritool.errors import CheckpointError, ShapeError, UsageError

if TYPE_CHECKING:
    from sritool.runs.model import TrainedModel

LINES = ["the otter finds the kettle at noon", "a mason greets the heron upstairs", "", "the zebra"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs sri and lm of five steps."""
    from sritool.config.settings import RunConfig
    from sritool.config.values import build
    from sritool.data.options import PrepareOptions
    from sritool.data.preprocess import preprocess_corpus
    from sritool.data.sentences import CorpusText, Sentences
    from sritool.data.sources import Source
    from sritool.data.store import load_corpus
    from sritool.model.device import resolve_device
    from sritool.training.loop import Limits, Trainer

    folder = tmp_path_factory.mktemp("api")
    texts = [f"{who} {does} {what}" for who in ("the otter", "a Mason") for does in ("finds", "greets")
             for what in ("the kettle at noon", "the heron upstairs", "a lantern")]  # fmt: skip
    splits = {name: Sentences(texts) for name in ("train", "valid", "test")}
    options = PrepareOptions(lowercase=True, min_count=1, max_length=6)
    source = Source(options, lambda: CorpusText("a test", splits))
    corpus = load_corpus(preprocess_corpus("toy", source, data_dir=folder / "data").path)
    for method, latent in (("sri", 4), ("lm", 0)):
        values = {
            "method": method,
            "generator": {"embedding": 4, "hidden": 8, "latent": latent},
            "sampler": {"steps": 3, "step_sizes": [0.1]},
            "training": {"batch_size": 4, "precision": "float32"},
        }
        (folder / method).mkdir()
        config = build(RunConfig, values)
        Trainer(corpus, config, folder / method, resolve_device("cpu"), Limits(5), lambda event: None).run()
    return folder


@pytest.fixture(scope="module")
def model(runs: Path) -> TrainedModel:
    return sritool.load(runs / "sri")


def test_import_is_light_and_load_is_there() -> None:
    program = (
        "import sys, sritool; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sritool.load"
    )
    root = str(Path(sritool.__file__).parents[1])
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_load_takes_a_folder_or_a_file_as_text_or_path(runs: Path) -> None:
    for path in (runs / "sri", str(runs / "sri"), runs / "sri" / "last.pt"):
        assert sritool.load(path).sample(2) == sritool.load(runs / "sri").sample(2)
    assert repr(sritool.load(runs / "sri")) == f"<sritool sri model of toy, {runs / 'sri' / 'best.pt'}>"
    with pytest.raises(CheckpointError, match="no checkpoint"):
        sritool.load(runs / "none")
    with pytest.raises(UsageError, match="unknown"):
        sritool.load(runs / "sri", device="abacus")


def test_encode_is_a_mean_of_chains(model: TrainedModel) -> None:
    codes = model.encode(LINES)
    assert (codes.shape, codes.dtype) == ((4, 4), np.float32)
    np.testing.assert_allclose(model.encode(LINES, batch_size=1), codes, atol=1e-5)
    np.testing.assert_allclose(model.encode(LINES[:2]), codes[:2], atol=1e-5)
    assert not np.allclose(model.encode(LINES, seed=1), codes)
    one = [model.encode(LINES, seed=seed) for seed in range(40)]
    mean = model.encode(LINES, chains=40, seed=5)
    spread = np.std(one, axis=0) * np.sqrt(2 / 40)
    assert np.mean(np.abs(mean - np.mean(one, axis=0)) < 3 * spread) > 0.9
    assert model.encode([]).shape == (0, 4)


def test_decode_gives_a_sentence_for_each_code(model: TrainedModel) -> None:
    codes = model.prior(5, seed=2)
    assert (codes.shape, codes.dtype) == ((5, 4), np.float32)
    sentences = model.decode(codes)
    assert len(sentences) == 5
    assert model.decode(codes[3:4].tolist()) == sentences[3:4]
    assert model.sample(5, seed=2) == sentences
    assert model.sample(3, seed=2) == sentences[:3]
    assert model.decode(model.encode([])) == []
    assert model.interpolate(5)[::4] == model.decode(model.prior(2))


def test_drawn_words_do_not_depend_on_the_part_that_is_decoded(model: TrainedModel) -> None:
    from sritool.model.decoding import DecodingConfig

    drawn = DecodingConfig(greedy=False, max_length=9)
    whole = model.sample(6, seed=1, config=drawn)
    parts = [model.decode(model.prior(6, 1)[i : i + 2], drawn, 1, first=i) for i in (0, 2, 4)]
    assert [sentence for part in parts for sentence in part] == whole


def test_log_likelihood_is_in_nats_a_sentence(runs: Path, model: TrainedModel) -> None:
    for one in (model, sritool.load(runs / "lm")):
        values = one.log_likelihood(LINES)
        assert (values.shape, values.dtype) == ((4,), np.float64)
        assert (values < 0).all()
        np.testing.assert_allclose(one.log_likelihood(LINES, batch_size=1), values, atol=1e-3)
        assert one.log_likelihood([]).shape == (0,)


def test_probabilities_of_all_sentences_sum_to_one(runs: Path) -> None:
    """Where sentences are cut after two words there are three kinds: of none, of one, and cut ones, without </s>."""
    lm = sritool.load(runs / "lm")
    lm.checkpoint.corpus["max_length"] = 2
    words = list(lm.tokenizer.words[3:])  # <unk> is one; <pad>, <s> and </s> are none
    every = ["", *words, *(f"{one} {two} and more" for one in words for two in words)]
    assert np.exp(lm.log_likelihood(every)).sum() == pytest.approx(1.0, abs=1e-4)


def test_sentences_are_prepared_as_the_corpus_was(model: TrainedModel) -> None:
    upper = ["The Otter Finds The Kettle At Noon"]
    assert model.log_likelihood(upper) == pytest.approx(model.log_likelihood(LINES[:1]))
    long = ["the otter finds the kettle at noon and greets a mason"]
    assert model.log_likelihood(long) == pytest.approx(
        model.log_likelihood(["the otter finds the kettle at x"])
    )


def test_what_cannot_be_done_is_said(runs: Path, model: TrainedModel) -> None:
    lm = sritool.load(runs / "lm")
    assert lm.latent == 0
    assert len(set(lm.sample(6))) > 1
    with pytest.raises(UsageError, match="has no z"):
        lm.encode(LINES)
    with pytest.raises(UsageError, match="has no z"):
        lm.interpolate()
    with pytest.raises(ShapeError, match=r"codes have shape \[2, 3\]; give \[n, 4\]"):
        model.decode(np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"\[sentence\]"):
        model.encode("the otter")
    with pytest.raises(UsageError, match="chains is 0"):
        model.encode(LINES, chains=0)
