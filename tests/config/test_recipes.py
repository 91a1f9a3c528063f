"""Recipes by name or path, and the settings they give a method."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from sritool.config.presets import layered
from sritool.config.recipes import DEFAULT_RECIPE, Recipe, bundled_recipes, read_recipe
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.errors import UsageError


def config_of(method: str, recipe: str = "published") -> RunConfig:
    values = layered("ptb", "authors" if method == "sri" else None, method, read_recipe(recipe))
    return build(RunConfig, values)


def test_precedence_of_all_method_and_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "[all.training]\nepochs = 2\nseed = 2\n[lm.training]\nepochs = 3\n[preset.ptb.lm.training]\nepochs = 4\n"
    )
    recipe = read_recipe(str(path))
    assert recipe.name == "custom (mine)"
    assert recipe.settings("snli", "sri") == {"training": {"epochs": 2, "seed": 2}}
    assert recipe.settings("snli", "lm") == {"training": {"epochs": 3, "seed": 2}}
    assert recipe.settings("ptb", "lm") == {"training": {"epochs": 4, "seed": 2}}


def test_recipe_extends_the_default_one() -> None:
    recipe = Recipe("mine", Path("mine.toml"), {"vae-fb": {"training": {"epochs": 3}}})
    values = layered("ptb", None, "vae-fb", recipe)
    training = {"epochs": 3, "language_model": 0.4375}
    assert (values["free_bits"], values["training"]) == ({"target": 8.0}, training)
    assert (values["recipe"], layered("ptb", None, "vae-fb")["recipe"]) == ("mine", DEFAULT_RECIPE)


def test_given_sampler_replaces_the_recipes() -> None:
    recipe = Recipe("mine", Path("mine.toml"), {"sri": {"sampler": {"name": "authors", "steps": 7}}})
    assert layered("ptb", "authors", "sri", recipe)["sampler"]["steps"] == 7
    assert (
        layered("ptb", "tempered", "sri", recipe)["sampler"] == layered("ptb", "tempered", "sri")["sampler"]
    )


def test_bundled_recipes_have_descriptions() -> None:
    assert list(bundled_recipes()) == ["ours", "large", "published", "regularised"]
    assert all(read_recipe(name).description for name in bundled_recipes())


@pytest.mark.parametrize(
    ("name", "words"),
    [("publishd", "did you mean published?"), ("mine.toml", "give a TOML file"), ("", "unknown recipe")],
)
def test_unknown_recipe(name: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_recipe(name)
    assert words in str(caught.value)


def test_published_plans() -> None:
    """As in the released code; the papers agree or say nothing."""
    halved: dict[str, Any] = {"return_to_best": True, "halvings": 5}
    halved |= {"initial_scale": 0.01, "embedding_scale": 0.1}
    rates = {"vae-anneal": (1.0, 2), "vae-lagging": (1.0, 2), "vae-fb": (0.5, 5), "ae": (0.5, 5)}
    for method, (rate, patience) in rates.items():
        config = config_of(method)
        plan = config.optimizer
        assert (plan.name, plan.learning_rate, plan.halve_after, plan.clip) == ("sgd", rate, patience, 5.0)
        assert {name: getattr(plan, name) for name in halved} == halved
        # From the 16th of 100 epochs on.
        assert [plan.halve_from * config.training.epochs <= done for done in (15, 16)] == [False, True]
        assert config.training.batch_size == 32
    cyclical = config_of("vae-cyclical")
    for epoch in range(40):
        tenth = (epoch % 10) / 10
        # Their rate is constant within an epoch, so compare where each epoch begins.
        assert cyclical.optimizer.decay.at(epoch / 40) == pytest.approx(0.5 * (1 + math.cos(tenth * math.pi)))
    semi = config_of("sa-vae")
    assert (semi.optimizer.initial_scale, semi.optimizer.embedding_scale, semi.training.epochs) == (
        0.1,
        0,
        30,
    )
    authors = config_of("sri")
    assert (authors.training.epochs, authors.training.select, authors.training.patience) == (60, "last", 0)
    plan = authors.optimizer
    assert (authors.sampler.name, plan.name, plan.learning_rate) == ("authors", "adam", 1e-3)
    for config in (authors, cyclical):
        assert (config.optimizer.halve_after, config.optimizer.initial_scale) == (0, 0.1)
    assert {authors.optimizer.decay.at(k / 10) for k in range(11)} == {1.0}
