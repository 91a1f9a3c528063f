"""The record of finished evaluations: what it keeps, what its keys depend on, and damaged lines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sritool.config.settings import LikelihoodConfig
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.errors import CheckpointError
from sritool.evaluation import evaluations_on_record
from sritool.evaluation.evaluations_on_record import (
    NAME,
    Evaluations,
    decisive,
    key_of,
    load_hashed,
)
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.metric_table import METRICS
from sritool.evaluation.metrics import Estimate, Reliability
from sritool.evaluation.notes import Note
from sritool.evaluation.record import checkpoint_hash
from sritool.evaluation.sentence_figures import SentenceFigures
from sritool.evaluation.sentences import Chosen
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.refinement import Refinement
from sritool.processes import Processes, sharing_measurements
from sritool.runs.folder import BEST, LAST
from sritool.runs.model import TrainedModel, load_model
from support.figures import ORIGIN

WEIGHTS = Reliability(61.3, 12.0, 0.41, 0.93, ((2, 31.2), (4, 31.1)))
PPL = Estimate("ppl", 78.1, 0.1 + 0.2, "per token", 16, 4, "adaptive", WEIGHTS)
TAIL = WEIGHTS._replace(pareto_k=math.nan)
PPL_WORD = PPL._replace(metric="ppl-word", value=math.inf, standard_error=math.nan, reliability=TAIL)
AU = Estimate("au", 7.0, 0.0, "dimensions", 16, 2, "chain")
NOTES = [
    Note("adaptive: effective sample size 61 of 100", ("ppl", "nll")),
    Note("3.0 % of the steps fold", ("kl",)),
]
TEXTS = [note.text for note in NOTES]


def measured(*estimates: Estimate, notes: list[Note] | None = None) -> Measured:
    figures = SentenceFigures(np.array([4.0, 2.0]), np.array([2.0, 1.0]))
    figures.fill(np.arange(2), {"log_likelihood_curve": np.array([[-9.0] * 4, [-3.0] * 4])})
    return Measured(list(estimates), figures, notes or [], ORIGIN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / BEST


def test_kept_figures_are_read_back(path: Path) -> None:
    kept = Evaluations(path, "a key")
    assert kept.missing(("ppl", "au", "kl")) == ("ppl", "au", "kl")
    kept.add(("ppl", "au", "kl"), measured(PPL, PPL_WORD, AU, notes=NOTES), {"data": "mine test"})
    again = Evaluations(path, "a key")
    assert again.missing(("ppl", "nll", "kl")) == ("nll",)  # kl was requested but has no figure
    for record in (kept, again):
        assert repr(record.get(("au", "ppl"))) == repr(([PPL, PPL_WORD, AU], TEXTS[:1]))  # NaN included
        assert repr(record.get(("kl", "au"))) == repr(([AU], TEXTS[1:]))
        assert record.get(("mi",)) == ([], [])
    assert Evaluations(path, "another").missing(("ppl",)) == ("ppl",)
    (line,) = (path.parent / NAME).read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["data"] == "mine test"  # plain JSON, without NaN


def test_sentence_terms_are_kept_for_comparisons(path: Path) -> None:
    nll = PPL._replace(metric="nll")
    kept = Evaluations(path, "k")
    kept.add(("nll", "ppl", "au"), measured(nll, PPL, PPL_WORD, AU), {})
    for record in (kept, Evaluations(path, "k")):
        assert record.missing(("nll", "ppl", "au")) == ()
        terms = record.terms(("nll", "ppl", "au", "mi"))
        assert terms.keys() == {"nll", "ppl", "ppl-word"}  # au has none
        assert terms["nll"].tolist() == [9.0, 3.0]
        assert terms["ppl"].mean() == pytest.approx(math.exp(2.0))


def test_metrics_are_added_and_replaced(path: Path) -> None:
    Evaluations(path, "k").add(("ppl",), measured(PPL, notes=NOTES[:1]), {})
    Evaluations(path, "k").add(("au",), measured(AU), {})
    assert Evaluations(path, "k").get(("ppl", "au"))[0] == [PPL, AU]
    Evaluations(path, "k").add(("ppl",), measured(PPL._replace(value=70.0)), {})
    (found,) = Evaluations(path, "k").get(("ppl",))[0]
    assert found.value == 70.0
    assert len((path.parent / NAME).read_text().splitlines()) == 3


def test_same_figures_add_no_line(path: Path) -> None:
    for _ in range(2):
        Evaluations(path, "k").add(("ppl", "au"), measured(PPL_WORD, PPL, AU), {})
    assert len((path.parent / NAME).read_text().splitlines()) == 1


def test_only_the_damaged_line_is_skipped(path: Path) -> None:
    file = path.parent / NAME
    for key in ("k", "other"):
        Evaluations(path, key).add(("ppl",), measured(PPL), {})
    file.write_bytes(file.read_bytes().replace(b"78.1", b"18.1", 1))
    kept = Evaluations(path, "k")
    assert (kept.damaged, kept.missing(("ppl",))) == (1, ("ppl",))
    assert Evaluations(path, "other").get(("ppl",))[0] == [PPL]
    kept.add(("ppl",), measured(PPL), {})
    assert Evaluations(path, "k").missing(("ppl",)) == ()


def test_unwritable_folder_keeps_figures_in_memory(tmp_path: Path) -> None:
    kept = Evaluations(tmp_path / "nowhere" / BEST, "k")
    kept.add(("ppl",), measured(PPL), {})
    assert not kept.writable
    assert kept.get(("ppl",))[0] == [PPL]


SETTINGS = EvaluationSettings(("ppl",), likelihood=LikelihoodConfig(samples=4))


@pytest.fixture(scope="session")
def models(
    tmp_path_factory: pytest.TempPathFactory, begin_run: Callable[..., Any]
) -> dict[str, TrainedModel]:
    """One model of each kind, after one step."""
    found = {}
    for method in ("sri", "lm"):
        run = begin_run(tmp_path_factory.mktemp(method), method)
        run.train(max_steps=1)
        found[method] = load_model(run.folder / LAST)
    return found


def key(
    model: TrainedModel,
    split: Split,
    settings: EvaluationSettings = SETTINGS,
    content: str = "c",
    kind: object = "cpu",
    count: int = 10,
) -> str:
    hashed: Any = SimpleNamespace(method=model.method, content=content, arithmetic=kind)
    return key_of(hashed, Chosen(split, np.arange(count), "any"), settings)


def test_key_covers_what_figures_depend_on(models: dict[str, TrainedModel], corpus: Corpus) -> None:
    model, split = models["sri"], corpus.split("test")
    adaptive = SETTINGS.likelihood
    changed = [
        replace(SETTINGS, seed=1),
        replace(SETTINGS, chains=4),
        replace(SETTINGS, kl_sentences=3),
        replace(SETTINGS, mi_sentences=3),
        replace(SETTINGS, likelihood=LikelihoodConfig(samples=5)),
        replace(SETTINGS, likelihood=LikelihoodConfig(samples=4, pilots=9)),
        replace(SETTINGS, estimator="ais"),
        replace(SETTINGS, estimator="ais", rungs=7),
        replace(SETTINGS, estimator="sri"),
    ]
    keys = {key(model, split, settings) for settings in (SETTINGS, *changed)}
    keys |= {key(model, split, content="d"), key(model, split, kind="cuda"), key(model, split, count=9)}
    keys |= {key(model, corpus.split("valid"), count=7)}
    assert len(keys) == len(changed) + 5
    same = [
        replace(SETTINGS, metrics=("au",)),
        replace(SETTINGS, batch_size=3),
        replace(SETTINGS, memory=1),
        replace(SETTINGS, rungs=7),  # which only annealing reads
        replace(SETTINGS, kl_sentences=1000),  # of ten
    ]
    assert {key(model, split, settings) for settings in same} == {key(model, split)}
    one, other = (
        replace(SETTINGS, estimator="sri", likelihood=LikelihoodConfig(samples=4, pilots=pilots))
        for pilots in (adaptive.pilots, 9)
    )
    assert key(model, split, one) == key(model, split, other)


def test_key_depends_on_the_version(
    models: dict[str, TrainedModel], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = corpus.split("test")
    before = key(models["sri"], split)
    monkeypatch.setattr(evaluations_on_record, "__version__", "another")
    assert key(models["sri"], split) != before


def test_key_depends_on_the_refinement(
    models: dict[str, TrainedModel], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, split = models["sri"].method, corpus.split("test")
    keys = {key(models["sri"], split)}
    for steps in (0, 5, 10):
        monkeypatch.setattr(method, "refinement", Refinement(steps), raising=False)
        keys.add(key(models["sri"], split))
    assert len(keys) == 4


def test_settings_outside_the_key_do_not_matter(models: dict[str, TrainedModel], corpus: Corpus) -> None:
    """Two settings with the same key measure the same figures, up to float32 rounding."""
    split, examples = corpus.split("test"), np.arange(5)
    small = LikelihoodConfig(samples=4, pilots=6, rounds=1, modes=1)
    for name, other in (
        ("sri", {"batch_size": 3, "rungs": 9, "memory": 1 << 20, "kl_sentences": 500, "mi_sentences": 5}),
        ("lm", {"batch_size": 3, "seed": 5, "estimator": "ais", "chains": 4}),
    ):
        model = models[name]
        settings = EvaluationSettings(tuple(METRICS), likelihood=small)
        others = replace(settings, **other)
        assert decisive(settings, model.method, 5) == decisive(others, model.method, 5)
        pair = [measure(model.method, split, examples, these).estimates for these in (settings, others)]
        for one, two in zip(*pair, strict=True):
            assert two.value == pytest.approx(one.value, rel=1e-4, abs=1e-4), (name, one.metric)
            assert (two.metric, two.draws, two.estimator) == (one.metric, one.draws, one.estimator)


def test_hash_matches_the_loaded_file(
    models: dict[str, TrainedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / BEST
    file.write_bytes(models["sri"].path.read_bytes())
    loaded = []
    original = TrainedModel.load.__func__  # type: ignore[attr-defined]

    def load(kind: type[TrainedModel], path: Path, *given: Any) -> TrainedModel:
        """Load, while a training run saves a better model right after the first time."""
        loaded.append(original(kind, path, *given))
        if len(loaded) == 1:
            file.write_bytes(models["lm"].path.read_bytes())
        return loaded[-1]

    monkeypatch.setattr(TrainedModel, "load", classmethod(load))
    model = load_hashed(file, "cpu")
    assert model.method.name == "lm"
    assert model.content == checkpoint_hash(file)


def test_processes_refuse_to_measure_different_files(models: dict[str, TrainedModel]) -> None:
    class Two(Processes):
        """This process, and one that loaded a better model, which the run has saved since."""

        def gather(self, value: Any) -> list[Any]:
            return [value, "another file"]

    with sharing_measurements(Two()), pytest.raises(CheckpointError, match="give the command again"):
        load_hashed(models["sri"].path, "cpu")
