"""Comparing runs: what their training cost, the notes on them, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis import comparison as task
from sritool.analysis import training_cost
from sritool.analysis.comparison import (
    DEFAULT_COLUMNS,
    OWN,
    Comparison,
    better,
    check_columns,
    compare,
    published_estimator,
    runs_of_newest_corpus,
)
from sritool.analysis.training_cost import Training, training_of
from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Corpus
from sritool.errors import CheckpointError, DataError, UsageError
from sritool.evaluation import sentences
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.checkpoint import load_checkpoint
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.metrics_log import MetricsLog
from sritool.runs.model import load_model
from sritool.training import position

FEW = EvaluationSettings(
    ("nll", "recon", "permuted"), likelihood=LikelihoodConfig(samples=4, pilots=6, rounds=1, modes=1)
)


@pytest.fixture(autouse=True)
def _prepared(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus in memory stands in for the one on disk."""
    monkeypatch.setattr(sentences, "find_corpus", lambda *_: corpus.path)
    monkeypatch.setattr(sentences, "load_corpus", lambda _: corpus)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, begin_run: Callable[..., Any]) -> dict[str, Path]:
    """Run folders by name."""
    folder = tmp_path_factory.mktemp("runs")
    plans: dict[str, dict[str, Any]] = {
        "sri": {},
        "lm": {"method": "lm"},
        "short": {"training": {"sentences": 9}, "recipe": "published"},
        "stopped": {"training": {"epochs": 9}},
    }
    found = {}
    for name, plan in plans.items():
        run = begin_run(folder, name=name, **plan)
        run.train(max_steps=4 if name == "stopped" else None)
        found[name] = run.folder
    return found


def quiet(*_: object) -> None:
    pass


def figures(found: Comparison) -> list[str]:
    """The estimates of each run as text, in which NaN equals NaN."""
    return [repr(row.evaluation.estimates) for row in found.rows]


def cost_of(folder: Path) -> Training:
    return training_of(load_model(folder), Path("data"))


def test_training_cost_of_a_run(trained: dict[str, Path]) -> None:
    found, last = cost_of(trained["sri"]), load_checkpoint(trained["sri"] / LAST)
    assert found.parameters == sum(
        values.numel() for name, values in last.weights.items() if name.startswith("generator")
    )
    assert found.seconds == last.progress.seconds
    assert (found.epochs, found.planned, found.sentences, found.of, found.left) == (2, 2, 22, 22, "")
    assert cost_of(trained["short"]).sentences == 9
    assert cost_of(trained["stopped"]).left == "its training has not ended: 1 of 9 epochs"


def test_speed_is_the_median_of_steps_after_the_first(trained: dict[str, Path], tmp_path: Path) -> None:
    for name in (BEST, LAST):
        (tmp_path / name).write_bytes((trained["sri"] / name).read_bytes())
    assert cost_of(tmp_path).tokens_per_second is None
    log = MetricsLog(tmp_path / METRICS)
    log.add({"kind": "step", "step": 1, "epoch": 1, "tokens_per_second": 3.0})
    assert cost_of(tmp_path).tokens_per_second == 3.0
    for step, speed in ((50, 100.0), (100, 900.0), (150, 110.0)):
        log.add({"kind": "step", "step": step, "epoch": 1, "tokens_per_second": speed})
    log.add({"kind": "epoch", "epoch": 1, "step": 150, "nll": 1.0})
    assert cost_of(tmp_path).tokens_per_second == 110.0


def test_training_cost_of_a_lone_checkpoint(trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / BEST).write_bytes((trained["sri"] / BEST).read_bytes())
    best = load_checkpoint(tmp_path / BEST)
    for _ in range(2):
        found = cost_of(tmp_path)
        assert (found.seconds, found.tokens_per_second) == (best.progress.seconds, None)
        assert found.left == "no last.pt beside it: time and epochs are those at the checkpoint"
        (tmp_path / LAST).write_bytes(b"damaged")
    (tmp_path / "renamed.pt").write_bytes((tmp_path / BEST).read_bytes())
    (tmp_path / LAST).write_bytes((trained["stopped"] / LAST).read_bytes())  # of an unrelated run
    assert cost_of(tmp_path / "renamed.pt").planned == 2
    assert cost_of(tmp_path / "renamed.pt").seconds == best.progress.seconds


def test_notes_on_time_are_for_tables_that_show_it(trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / BEST).write_bytes((trained["sri"] / BEST).read_bytes())
    paths, note = [tmp_path / BEST, trained["stopped"] / BEST], training_cost.NO_LAST
    for columns in (("nll",), ("nll", "time"), ("epochs",)):
        notes = " ".join(compare(paths, FEW, "cpu", quiet, samples=4, columns=columns).notes)
        assert (note in notes) == (columns != ("nll",))
        assert "its training has not ended" in notes


def test_early_stopping_counts_as_finished(trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[object] = []

    def ends(*args: object) -> bool:
        planned.append(args[2])
        return True

    monkeypatch.setattr(position, "ends_early", ends)
    assert cost_of(trained["stopped"]).left == ""
    assert planned == [9]


def test_runs_keep_their_order_and_notes(trained: dict[str, Path]) -> None:
    paths = [trained[name] / BEST for name in ("lm", "short", "sri", "lm")]
    labels: list[str] = []
    found = compare(paths, FEW, "cpu", lambda label, *_: labels.append(label), samples=4)
    assert [row.name for row in found.rows] == ["lm", "short", "sri"]
    assert "lm was given more than once; it is shown once" in found.notes
    assert "short: trained on 9 of 22 sentences" in found.notes
    assert "trained by different recipes: lm none, short published, sri none" in found.notes
    assert {label.partition(":")[0] for label in labels} == {"1/3 lm", "2/3 short", "3/3 sri"}
    assert found.one_corpus
    assert found.one_estimator  # the language model's is exact
    assert all("measured before" not in note for note in found.notes)
    again = compare(paths[:3], FEW, "cpu", lambda *_: pytest.fail("measured again"), samples=4)
    assert figures(again) == figures(found)
    # It holds for all runs, so the note names none.
    assert "measured before, from evaluations.jsonl; --again measures anew" in again.notes


def test_figures_match_evaluate(trained: dict[str, Path]) -> None:
    from sritool.evaluation.evaluate import evaluate

    path = trained["sri"] / BEST
    request = EvaluationSettings(("nll", "mi"), likelihood=LikelihoodConfig(samples=4))
    (row,) = compare([path], request, "cpu", quiet, samples=4).rows
    (alone,) = evaluate([path], request, "cpu", lambda *_: pytest.fail("measured again"))
    assert repr(alone.estimates) == repr(row.evaluation.estimates)
    nll, likelihood = row.estimate("nll"), row.evaluation.likelihood
    assert nll is not None
    assert repr(nll) == repr(likelihood)
    assert row.estimate("kl") is None


def test_run_that_ignores_z_is_noted(trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [trained["sri"] / BEST]
    found = compare(paths, FEW, "cpu", quiet, samples=4)
    permuted = found.rows[0].estimate("permuted")
    assert permuted is not None
    ignored = permuted.value < 0.1 + 2 * permuted.standard_error
    assert any("the generator ignores z" in note for note in found.notes) == ignored
    monkeypatch.setattr("sritool.evaluation.collapse.COLLAPSE_NATS", -1e9 if ignored else 1e9)
    other = compare(paths, FEW, "cpu", quiet, samples=4)
    assert any("the generator ignores z" in note for note in other.notes) != ignored


def test_shared_names_become_paths(trained: dict[str, Path]) -> None:
    paths = [trained["sri"] / name for name in (BEST, LAST)]
    found = compare(paths, FEW, "cpu", quiet, samples=4)
    assert [row.name for row in found.rows] == [str(path) for path in paths]


def test_mixed_corpora_need_an_option(
    trained: dict[str, Path], corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = load_hashed

    def load(path: Path, device: str) -> Any:
        model = original(path, device)
        if path.parent.name == "lm":
            other = replace(model.checkpoint.corpus, content_hash="another", name="other")
            object.__setattr__(model.checkpoint, "corpus", other)
        return model

    monkeypatch.setattr(task, "load_hashed", load)
    monkeypatch.setattr(training_cost, "prepared_corpus", lambda *_: corpus)
    monkeypatch.setattr(sentences, "prepared_corpus", lambda *_: corpus)
    paths = [trained[name] / BEST for name in ("sri", "lm")]
    with pytest.raises(DataError, match=r"sri: toy, lm: other.*--mixed"):
        compare(paths, FEW, "cpu", quiet)
    found = compare(paths, FEW, "cpu", quiet, samples=4, mixed=True)
    assert [row.corpus for row in found.rows] == ["toy", "other"]
    assert not found.one_corpus
    assert any(note.startswith("the corpora differ: figures of different") for note in found.notes)
    assert not any(found.differences(row) for row in found.rows)


def test_published_estimators(trained: dict[str, Path]) -> None:
    assert published_estimator(load_model(trained["sri"]).method) == "sri"
    assert published_estimator(load_model(trained["lm"]).method) == "adaptive"  # it is exact
    paths = [trained[name] / BEST for name in ("sri", "lm")]
    own = EvaluationSettings(("nll",), limit=3, estimator=OWN)
    found = compare(paths, own, "cpu", quiet)
    assert [(e.estimator, e.draws) for row in found.rows if (e := row.evaluation.likelihood)] == [
        ("sri", 10),
        ("exact", 0),
    ]
    assert not found.one_estimator, "one figure is exact, the other of ten draws"
    assert compare(paths, EvaluationSettings(("nll",), limit=3), "cpu", quiet).one_estimator
    found = compare(paths, own, "cpu", quiet, samples=3)
    assert [e.draws for row in found.rows if (e := row.evaluation.likelihood)] == [3, 0]
    with pytest.raises(UsageError, match="did you mean adaptive"):
        compare(paths, EvaluationSettings(("nll",), estimator="adaptiv"), "cpu", quiet)


def test_different_estimators_are_noted(trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    which = iter(("sri", "adaptive"))
    monkeypatch.setattr(task, "published_estimator", lambda _: next(which))
    paths = [trained[name] / BEST for name in ("sri", "short")]
    found = compare(paths, EvaluationSettings(("nll",), limit=3, estimator=OWN), "cpu", quiet, samples=3)
    assert not found.one_estimator
    assert any(note.startswith("the estimators differ: ppl, nll") for note in found.notes)


def test_columns_are_checked() -> None:
    check_columns(DEFAULT_COLUMNS, "tokens/s")
    check_columns(["ppl"], "run")
    check_columns(["parameters", "time"])
    for names, sort, message in (
        (["ppl", "recn"], None, "did you mean recon"),
        ([], None, "no column to show"),
        (["ppl"], "nll", "no column 'nll' to sort by; give one of run, method, ppl"),
    ):
        with pytest.raises(UsageError, match=message):
            check_columns(names, sort)


def test_columns_in_which_a_run_can_be_better() -> None:
    """A longer plan or more nats in z are no merit."""
    columns = ("ppl-word", "recon", "mi", "tokens/s", "posterior-kl", "au", "epochs", "parameters")
    assert [better(name) for name in columns] == [-1, -1, 1, 1, 0, 0, 0, 0]


def test_runs_of_the_newest_corpus(trained: dict[str, Path], tmp_path: Path) -> None:
    runs = trained["sri"].parent
    (runs / "no-run").mkdir()
    (runs / "damaged").mkdir()
    (runs / "damaged" / LAST).write_bytes(b"nothing")
    os.utime(runs / "damaged" / LAST, (1, 1))
    found = runs_of_newest_corpus(runs)
    assert [path.parent.name for path in found.paths] == ["lm", "short", "sri", "stopped"]
    assert found[1:] == (0, 0)
    with pytest.raises(CheckpointError, match="no run in"):
        runs_of_newest_corpus(tmp_path)


def test_run_in_pretraining_is_left_out(
    trained: dict[str, Path], tmp_path: Path, begin_run: Callable[..., Any]
) -> None:
    run = begin_run(tmp_path, "vae-fbp", name="begun", training={"epochs": 1}, pretraining={"epochs": 1})
    run.train(max_steps=1)
    with pytest.raises(CheckpointError, match="still in pretraining"):
        runs_of_newest_corpus(tmp_path)
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / BEST).write_bytes((trained["lm"] / BEST).read_bytes())
    found = runs_of_newest_corpus(tmp_path)
    assert ([path.parent.name for path in found.paths], found.begun) == (["lm"], 1)
