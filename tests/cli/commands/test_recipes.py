"""`sritool recipes`: the list of recipes, and where methods differ by a recipe."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import pytest
from typer.testing import Result

from sritool.cli.commands.recipes import recipes
from sritool.methods.registry import METHODS
from support.tables import Run, Terminal


def table(result: Result) -> dict[str, dict[str, str]]:
    """Setting -> method -> value."""
    assert result.exit_code == 0, result.stderr
    rows = csv.DictReader(result.stdout.splitlines(), delimiter="\t")
    return {row.pop("setting"): row for row in rows}


def test_list_of_bundled_recipes(run: Run) -> None:
    lines = run("recipes").stdout.splitlines()
    names = ["recipe", "ours", "large", "published", "regularised"]
    assert [line.partition("\t")[0] for line in lines] == names
    assert all(line.partition("\t")[2] for line in lines)


def test_default_recipe_differs_only_in_method_settings(run: Run) -> None:
    shown = table(run("recipes", "ours"))
    training = ["training.epochs", "training.language_model"]
    assert list(shown) == ["generator.latent", *training, "kl.start", "free_bits.target"]
    assert len({*shown["training.epochs"].values()}) == 1
    early = shown["training.language_model"]
    assert {method: share for method, share in early.items() if share != "0.5"} == {"ae": "0"}
    assert list(shown["kl.start"]) == list(METHODS)


def test_published_recipe_by_method(run: Run) -> None:
    shown = table(run("recipes", "published", "--preset", "ptb"))
    assert (shown["optimizer.name"]["vae-anneal"], shown["optimizer.name"]["sri"]) == ("sgd", "adam")
    assert shown["sampler.name"] == {method: "authors" if method == "sri" else "" for method in METHODS}
    assert {*shown["training.batch_size"].values()} == {"32"}  # the same for all methods, but not the default
    assert "optimizer.clip" not in shown  # the same for all methods, and the default
    assert "training.batch_size" in table(run("recipes", "published", "--all"))


def test_terminal_splits_methods_over_several_tables(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = table(run("recipes", "published"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen := Terminal())
        patch.setenv("COLUMNS", "80")
        recipes("published", preset="captions", everything=False)
    heads = [line for line in screen.getvalue().splitlines() if "setting" in line]
    assert 1 < len(heads) < len(METHODS)
    assert all(any(method in line for line in heads) for method in METHODS)
    assert len(screen.getvalue().splitlines()) < 2 * len(heads) * len(settings)


def test_recipe_from_a_file(run: Run) -> None:
    Path("mine.toml").write_text("[lm.training]\nepochs = 3\n")
    assert table(run("recipes", "mine.toml"))["training.epochs"]["lm"] == "3"
    result = run("train", "mine", "--recipe", "mine.toml", "--method", "lm", "--print-config")
    assert tomllib.loads(result.stdout)["recipe"] == "custom (mine)"


def test_info_shows_the_recipe_of_a_run(run: Run, train_small: Run) -> None:
    result = train_small("--method", "lm", "--recipe", "published", "--max-steps", 1, "--name", "published")
    assert result.exit_code == 0, result.stderr
    assert "\nrecipe\tpublished\n" in run("info", "runs/published").stdout
