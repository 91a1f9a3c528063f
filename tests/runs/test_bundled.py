"""The models that come with sritool: what is in them, and when one is meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sritool.data.preprocess import tiny_in_memory
from sritool.errors import CheckpointError
from sritool.evaluation.collapse import has_collapsed
from sritool.evaluation.measure import measure
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.bundled import FOLDER, bundled_models, is_bundled, records_folder
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, find_checkpoint
from sritool.runs.model import TrainedModel, load_model

NAME = "tiny-sri"


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return load_model(FOLDER / NAME)


def test_a_bundled_model_is_meant_where_nothing_else_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "runs"
    assert find_checkpoint(Path(NAME), runs) == FOLDER / NAME / BEST
    own = runs / NAME / BEST
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_checkpoint(Path(NAME), runs) == own
    Path(NAME).mkdir()
    with pytest.raises(CheckpointError):  # the folder is meant, and has no checkpoint
        find_checkpoint(Path(NAME), runs)


@pytest.mark.parametrize("name", ["", ".", "..", "../models/tiny-sri", "tiny"])
def test_no_other_name_leads_into_the_package(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        find_checkpoint(tmp_path / "nowhere" / name, tmp_path)
    if not Path(name).exists():
        with pytest.raises(CheckpointError):
            find_checkpoint(Path(name), tmp_path)


def test_measurements_of_a_bundled_model_go_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert records_folder(tmp_path / "mine" / BEST) == tmp_path / "mine"
    kept = records_folder(FOLDER / NAME / BEST)
    assert kept.is_dir()
    assert kept.is_relative_to(tmp_path / "cache")
    assert FinishedBatches(FOLDER / NAME / BEST, "what it depends on").path.parent == kept


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_is_small_and_holds_weights_alone(name: str) -> None:
    path = FOLDER / name / BEST
    checkpoint = load_checkpoint(path)
    assert is_bundled(path)
    assert path.stat().st_size < 300_000
    assert checkpoint.trainer is None
    assert checkpoint.corpus["path"] == checkpoint.corpus["name"]


def test_it_was_trained_on_the_bundled_corpus_as_it_is(model: TrainedModel) -> None:
    """After a change of the grammar: `python -m benchmarks.bundled_model tiny-sri`."""
    corpus = tiny_in_memory()
    assert model.checkpoint.corpus["content_hash"] == corpus.info.content_hash
    assert model.tokenizer.state() == corpus.tokenizer.state()


def test_its_samples_are_varied_sentences_of_the_grammar_s_words(model: TrainedModel) -> None:
    corpus = tiny_in_memory()
    train = corpus.split("train")
    known = {word for text in model.texts(train, range(len(train))) for word in text.split()}
    found = model.decode_whole(model.prior(200))
    assert np.mean([sentence.ended for sentence in found]) > 0.98
    assert {word for sentence in found for word in sentence.text.split()} <= known
    assert len({sentence.text for sentence in found}) > 150
    # As every sentence of the grammar ends.
    assert np.mean([sentence.text[-2:] in (" .", " !") for sentence in found]) > 0.98


def test_its_likelihood_and_its_use_of_z(model: TrainedModel) -> None:
    test = tiny_in_memory().split("test")
    settings = EvaluationSettings(("nll", "permuted"))
    found = measure(model.method, test, np.arange(100), settings).estimates
    value = {estimate.metric: estimate.value for estimate in found}
    assert 16 < value["nll"] < 19  # nats a sentence; a model of the words' frequencies alone has 69
    assert value["permuted"] > 5
    assert not has_collapsed(model.checkpoint)
