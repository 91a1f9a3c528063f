"""`sritool recipes`: which there are, and where methods differ."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from sritool.cli.commands.recipes import recipes
from sritool.methods.registry import METHODS
from support.tables import Terminal

Run = Callable[..., Result]


def table(result: Result) -> dict[str, dict[str, str]]:
    """Setting -> method -> value."""
    assert result.exit_code == 0, result.stderr
    rows = csv.DictReader(result.stdout.splitlines(), delimiter="\t")
    return {row.pop("setting"): row for row in rows}


def test_the_list_names_what_comes_with_sritool(run: Run) -> None:
    lines = run("recipes").stdout.splitlines()
    assert [line.partition("\t")[0] for line in lines] == [
        "recipe",
        "ours",
        "large",
        "published",
        "regularised",
    ]
    assert all(line.partition("\t")[2] for line in lines)


def test_by_the_default_recipe_methods_differ_only_in_what_is_their_own(run: Run) -> None:
    shown = table(run("recipes", "ours"))
    training = ["training.epochs", "training.language_model"]
    assert list(shown) == ["generator.latent", *training, "kl.start", "free_bits.target"]
    assert len({*shown["training.epochs"].values()}) == 1
    early = shown["training.language_model"]
    assert {method: share for method, share in early.items() if share != "0.5"} == {"ae": "0"}
    assert list(shown["kl.start"]) == list(METHODS)


def test_published_plans_side_by_side(run: Run) -> None:
    shown = table(run("recipes", "published", "--preset", "ptb"))
    assert (shown["optimizer.name"]["vae-anneal"], shown["optimizer.name"]["sri"]) == ("sgd", "adam")
    assert shown["sampler.name"] == {method: "authors" if method == "sri" else "" for method in METHODS}
    assert {*shown["training.batch_size"].values()} == {"32"}, "the same for all, and not usual"
    assert "optimizer.clip" not in shown, "the same for all, and usual"
    assert "training.batch_size" in table(run("recipes", "published", "--all"))


def test_a_terminal_shows_methods_side_by_side(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = table(run("recipes", "published"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen := Terminal())
        patch.setenv("COLUMNS", "80")
        recipes("published", preset="captions", everything=False)
    heads = [line for line in screen.getvalue().splitlines() if "setting" in line]
    assert 1 < len(heads) < len(METHODS)
    assert all(any(method in line for line in heads) for method in METHODS)
    assert len(screen.getvalue().splitlines()) < 2 * len(heads) * len(settings)


def test_a_recipe_of_ones_own(run: Run) -> None:
    Path("mine.toml").write_text("[lm.training]\nepochs = 3\n")
    assert table(run("recipes", "mine.toml"))["training.epochs"]["lm"] == "3"
    result = run("train", "mine", "--recipe", "mine.toml", "--method", "lm", "--print-config")
    assert tomllib.loads(result.stdout)["recipe"] == "custom (mine)"


@pytest.mark.parametrize(
    ("args", "words"),
    [(["publishd"], "did you mean published?"), (["ours", "--preset", "pbt"], "did you mean ptb?")],
)
def test_unknown_names(run: Run, args: list[str], words: str) -> None:
    result = run("recipes", *args)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_run_tells_its_recipe(run: Run, train_small: Run) -> None:
    result = train_small("--method", "lm", "--recipe", "published", "--max-steps", 1, "--name", "published")
    assert result.exit_code == 0, result.stderr
    assert "\nrecipe\tpublished\n" in run("info", "runs/published").stdout
