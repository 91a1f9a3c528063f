"""Models bundled with sritool: their content, and when a name refers to one."""

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


def test_own_runs_take_precedence_over_bundled_models(
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
    with pytest.raises(CheckpointError):  # the folder is taken, but has no checkpoint
        find_checkpoint(Path(NAME), runs)


@pytest.mark.parametrize("name", ["", ".", "..", "../models/tiny-sri", "tiny"])
def test_other_names_never_reach_the_package(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        find_checkpoint(tmp_path / "nowhere" / name, tmp_path)
    if not Path(name).exists():
        with pytest.raises(CheckpointError):
            find_checkpoint(Path(name), tmp_path)


def test_measurements_of_bundled_models_go_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert records_folder(tmp_path / "mine" / BEST) == tmp_path / "mine"
    folder = records_folder(FOLDER / NAME / BEST)
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path / "cache")
    assert FinishedBatches(FOLDER / NAME / BEST, "what it depends on").path.parent == folder


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_model_is_small_without_trainer_state(name: str) -> None:
    path = FOLDER / name / BEST
    checkpoint = load_checkpoint(path)
    assert is_bundled(path)
    assert path.stat().st_size < 300_000
    assert checkpoint.trainer is None
    assert checkpoint.corpus.path == checkpoint.corpus.name


def test_bundled_model_matches_the_bundled_corpus(model: TrainedModel) -> None:
    """After a change of the grammar, run `python -m benchmarks.bundled_model tiny-sri`."""
    corpus = tiny_in_memory()
    assert model.checkpoint.corpus.content_hash == corpus.info.content_hash
    assert model.tokenizer.state() == corpus.tokenizer.state()


def test_samples_are_varied_and_use_known_words(model: TrainedModel) -> None:
    corpus = tiny_in_memory()
    train = corpus.split("train")
    known = {word for text in model.texts(train, range(len(train))) for word in text.split()}
    found = model.decode_whole(model.prior(200))
    assert np.mean([sentence.ended for sentence in found]) > 0.98
    assert {word for sentence in found for word in sentence.text.split()} <= known
    assert len({sentence.text for sentence in found}) > 150
    # Every sentence of the grammar ends like this.
    assert np.mean([sentence.text[-2:] in (" .", " !") for sentence in found]) > 0.98


def test_likelihood_and_use_of_z(model: TrainedModel) -> None:
    test = tiny_in_memory().split("test")
    settings = EvaluationSettings(("nll", "permuted"))
    found = measure(model.method, test, np.arange(100), settings).estimates
    value = {estimate.metric: estimate.value for estimate in found}
    assert 16 < value["nll"] < 19  # nats per sentence; a unigram model has 69
    assert value["permuted"] > 5
    assert not has_collapsed(model.checkpoint)
