"""Random search: its trials, the best of them, and how certain that is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sritool.analysis.random_search import (
    Result,
    Search,
    Trial,
    best_of,
    make_search,
    recipe_of,
    verdict,
)
from sritool.analysis.reproduction.plan import Request
from sritool.analysis.reproduction.states import State
from sritool.config.values import flat, plain, to_toml
from sritool.errors import UsageError
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.paired import Difference
from sritool.methods.registry import METHODS
from sritool.training.configure import Given, resolve_config

OVER = ("optimizer.learning_rate=0.0005..0.01:log", "generator.dropout=0.1,0.2,0.4", "sampler.steps=5..20")


def search(*over: str, trials: int = 6, method: str = "sri", **changes: Any) -> Search:
    request = {name: changes.pop(name) for name in ("settings", "recipe") if name in changes}
    options = {"epochs": None, "seed": 0, "name": None, **changes}
    return make_search(Request("tune", "mine", (method,), **request), over, trials, **options)


def drawn(found: Search) -> list[dict[str, str]]:
    return [dict(trial.drawn) for trial in found.trials]


def test_draws_do_not_depend_on_the_rest_of_the_search() -> None:
    few, many = search(*OVER, trials=4), search(*OVER, trials=12)
    assert drawn(many)[:4] == drawn(few)
    assert [run.name for run in many.plan.runs[:4]] == [run.name for run in few.plan.runs]
    assert drawn(search(*reversed(OVER), trials=4)) == drawn(few)
    alone = drawn(search(OVER[0], trials=4))
    assert [one.get("optimizer.learning_rate") for one in drawn(few)] == [
        one.get("optimizer.learning_rate") for one in alone
    ]
    assert drawn(search(*OVER, trials=4, seed=1))[1:] != drawn(few)[1:]


def test_trials_differ_only_in_searched_settings() -> None:
    found = search(*OVER, epochs=3, settings=("training.sentences=50",))
    usual = flat(plain(resolve_config("mine", "sri")))
    for trial in found.trials:
        assert trial.run is not None
        config = flat(plain(trial.run.config))
        changed = {name for name in usual if config[name] != usual[name]} - {"sampler.name"}
        assert changed <= {"training.epochs", "training.sentences", *(found.keys if trial.number else ())}
        for key, text in trial.drawn.items():
            assert config[key] == type(usual[key])(text)
            assert f"{key}={text}" in trial.run.words
    assert found.trials[0].drawn == {}
    assert [run.name[-4:] for run in found.plan.runs] == [f"-{number:03}" for number in range(6)]


def test_different_searches_have_different_run_names() -> None:
    others = [
        search(*OVER),
        search(*OVER, seed=1),
        search(*OVER, epochs=2),
        search(*OVER, settings=("optimizer.clip=1",)),
        search(*OVER[:2]),
        search(OVER[0]),
        search(OVER[0], method="lm"),
    ]
    assert len({found.plan.runs[0].name for found in others}) == len(others)
    assert search(*OVER, name="own").plan.runs[1].name == "own-001"


@pytest.mark.parametrize(
    ("method", "settings", "metric"),
    [
        ("sri", (), "nll"),
        ("lm", (), "nll"),
        ("ae", (), "recon"),
        ("vae-fb", (), "nll"),
        ("vae-anneal", ("training.select=elbo",), "elbo"),
    ],
)
def test_trials_are_measured_by_the_selection_metric(
    method: str, settings: tuple[str, ...], metric: str
) -> None:
    found = search(OVER[0], method=method, settings=settings)
    assert found.metric == metric
    (measure,) = found.plan.runs[0].measures
    words = found.plan.measure_words(measure, "here")
    assert words[words.index("--split") + 1] == "valid"
    assert words[words.index("--metrics") + 1] == metric


def test_repeated_trial_is_not_trained() -> None:
    found = search("generator.dropout=0.1,0.2", trials=8)
    kinds = {(trial.run is None, trial.drawn.get("generator.dropout")) for trial in found.trials}
    assert len(found.plan.runs) == len({repr(run.config) for run in found.plan.runs}) <= 3
    assert any(trial.state.startswith("as trial ") for trial in found.trials), kinds


def test_invalid_combination_is_a_failed_trial() -> None:
    found = search("optimizer.learning_rate=0.001..0.1:log", "optimizer.weight_decay=1..100", trials=30)
    failed = [trial for trial in found.trials if trial.run is None]
    assert 0 < len(failed) < 29
    for trial in failed:
        assert math.prod(float(text) for text in trial.drawn.values()) >= 1
        assert trial.state.startswith("failed: ")
        assert "weight_decay" in trial.state


@pytest.mark.parametrize(
    ("over", "settings", "words"),
    [
        ((), (), "--over"),
        (("sampler.stps=5..20",), (), "did you mean sampler.steps"),
        (("sampler.nothing=1..2",), (), "unknown setting"),
        (("learning_rate=1..2",), (), "did you mean optimizer.learning_rate"),
        (("sampler.steps=5.5..20",), (), "whole number"),
        (("optimizer.name=1..3",), (), "comma-separated"),
        (("generator.residual=0..1",), (), "comma-separated"),
        (("optimizer.name=adam,lion",), (), "lion"),
        (("generator.dropout=0.5..1.5",), (), "generator.dropout"),
        (("kl.epochs=1..5",), (), "no use for"),
        (("sampler.steps=5..20", "sampler.steps=2,3"), (), "one --over"),
        (("sampler.steps=5..20",), ("sampler.steps=5",), "leave one"),
        (("sampler.temperature=0.2..0.8",), ("sampler.temperature.start=0.5",), "leave one"),
        (("method=lm,sri",), (), "one method"),
        (("preset=ptb,snli",), (), "one preset"),
    ],
)
def test_invalid_searches(over: tuple[str, ...], settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        search(*over, settings=settings)


def test_epochs_cannot_be_both_searched_and_fixed() -> None:
    with pytest.raises(UsageError, match=r"training\.epochs"):
        search("training.epochs=2..9", epochs=3)


@pytest.mark.parametrize("key", ["sampler.temperature=0.2..0.8", "generator.input_dropout=0.1..0.4"])
def test_range_for_settings_that_may_be_numbers(key: str) -> None:
    assert len(search(key, trials=3).plan.runs) == 3


def result(
    number: int, value: float | None, difference: tuple[float, float] | None = None, metric: str = "nll"
) -> Result:
    trial = Trial(number, {}, None)
    if value is None:
        return Result(trial, State())
    estimate = Estimate(metric, value, 1.0, "nats", 64, 100, "adaptive")
    paired = Difference(*difference, 64) if difference else None
    return Result(trial, State(), estimate, paired)


def test_best_has_lowest_loss_or_highest_elbo() -> None:
    assert result(0, 30.0).loss < result(1, 31.0).loss < result(2, math.nan).loss == result(3, None).loss
    assert result(0, -30.0, metric="elbo").loss < result(1, -31.0, metric="elbo").loss
    assert best_of([result(0, None)]) is None
    assert best_of([result(0, math.nan)]) is None
    assert verdict([result(0, None)]) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            [result(3, 29.0, (-1.0, 0.4)), result(0, 30.0)],
            "as the best of 2",
        ),
        ([result(3, 29.0, (-1.0, 0.6)), result(0, 30.0)], "trial 3 is within two standard errors"),
        ([result(0, 30.0), result(3, 31.0, (1.0, 0.1))], "no trial is better"),
        ([result(3, 29.0), result(0, None)], "not among them"),
        ([result(0, 30.0), Result(search(*OVER).trials[1], State())], "1 still to be measured"),
    ],
)
def test_verdict_states_its_certainty(found: list[Result], words: str) -> None:
    assert words in verdict(found)[0]
    assert any("seed" in line for line in verdict(found))


@pytest.mark.parametrize("recipe", ["ours", "regularised"])
def test_best_recipe_reproduces_the_run(tmp_path: Path, recipe: str) -> None:
    found = search(*OVER, recipe=recipe, settings=("optimizer.clip=1.5",), epochs=2)
    path = tmp_path / "best.toml"
    for trial in found.trials:
        assert trial.run is not None
        path.write_text(to_toml(recipe_of(found, Result(trial, State()))), encoding="utf-8")
        again = resolve_config("mine", "sri", Given(typed={"recipe": str(path), "training": {"epochs": 2}}))
        assert replace(again, recipe=recipe) == trial.run.config
    assert "epochs" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("searched", ["lm", "sri"])
def test_best_recipe_gives_every_method_the_searched_settings(tmp_path: Path, searched: str) -> None:
    base, path = tmp_path / "base.toml", tmp_path / "best.toml"
    base.write_text(
        "[all.training]\nepochs = 7\n[all.kl]\nepochs = 3\n[lm.generator]\nlatent = 0\n"
        "[sri.sampler]\nsteps = 4\n[vae-fb.free_bits]\ntarget = 5.0\n"
    )
    found = search(*OVER[:2], method=searched, recipe=str(base), settings=("optimizer.clip=1.5",), epochs=2)
    trial = found.trials[1]
    path.write_text(to_toml(recipe_of(found, Result(trial, State()))))
    for method in METHODS:
        config = resolve_config("mine", method, Given(typed={"recipe": str(path)}))
        values = flat(plain(config))
        assert {key: str(values[key]) for key in trial.drawn} == trial.drawn
        assert (config.optimizer.clip, config.training.epochs) == (1.5, 7)  # not the two epochs of the trials
        unsearched = resolve_config("mine", method, Given(typed={"recipe": str(base)}))
        assert config.generator.latent == unsearched.generator.latent
        for section in METHODS[method].sections:  # as in the base recipe
            assert getattr(config, section) == getattr(unsearched, section)
