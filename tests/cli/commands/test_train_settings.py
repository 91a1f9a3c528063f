"""Settings of `sritool train`: every way to give them, their precedence, and the defaults in the help."""

from __future__ import annotations

import ast
import inspect
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from sritool.cli.commands.train import train as train_command
from sritool.cli.options.training import setting_paths
from sritool.cli.signatures import flat
from sritool.config.presets import PRESETS, layered
from sritool.config.recipes import DEFAULT_RECIPE, bundled_recipes, read_recipe
from sritool.config.samplers import DEFAULT_SAMPLER
from sritool.config.settings import RunConfig
from sritool.config.values import merge, plain
from sritool.methods.registry import METHODS
from support.tables import Run

PATHS = setting_paths()

CHANGED = {
    "method": "lm",
    "preset": "tiny",
    "recipe": "published",
    "embedding": 9,
    "hidden": 17,
    "layers": 3,
    "latent": 5,
    "dropout": 0.25,
    "sampler": "paper",
    "theta_gradient": "path",
    "langevin_steps": 7,
    "words": 500,
    "epochs": 3,
    "batch_size": 5,
    "accumulate": 2,
    "learning_rate": 0.02,
    "seed": 11,
    "patience": 0,
    "save_every": 13,
    "tune_step_every": 4,
    "tune_objective": "given-noise",
    "ramp": "sigmoid",
    "target_kl": 2.5,
    "pretraining_epochs": 2,
    "freeze": "embedding,output",
    "embeddings": "vectors.txt",
    "precision": "bfloat16",
}
"""A value other than the default for every setting that has a flag."""


def settings(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    return tomllib.loads(result.stdout)


def value_at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[part]
    return values


OF_SOME_METHODS = {"ramp": "vae-anneal", "target_kl": "vae-fb", "pretraining_epochs": "vae-fb"}
"""Settings that only some methods read, and one such method."""


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--method", "lm"],
        ["--sampler", "paper", "--set", "sampler.step_sizes=[0.1, 0.02]"],
        ["--preset", "tiny", "--set", "sampler.temperature=0.3", "--seed", 5],
    ],
)
def test_printed_config_reads_back_to_the_same(run: Run, given: list[object]) -> None:
    printed = run("train", "mine", *given, "--print-config")
    assert printed.exit_code == 0, printed.stderr
    Path("printed.toml").write_text(printed.stdout)
    assert run("train", "mine", "--config", "printed.toml", "--print-config").stdout == printed.stdout
    tables = set(tomllib.loads(printed.stdout))
    method = tomllib.loads(printed.stdout)["method"]
    of_some_methods = set().union(*(kind.sections for kind in METHODS.values()))
    assert tables == set(plain(RunConfig())) - of_some_methods | METHODS[method].sections


@pytest.mark.parametrize("parameter", PATHS)
def test_every_way_to_give_a_setting(run: Run, monkeypatch: pytest.MonkeyPatch, parameter: str) -> None:
    value, path = CHANGED[parameter], PATHS[parameter]
    command = ["train", "mine", "--print-config"]
    if parameter in OF_SOME_METHODS:
        command += ["--method", OF_SOME_METHODS[parameter]]
    if parameter == "tune_objective":
        command += ["--tune-step-every", "1"]
    Path("vectors.txt").write_text("the 0.5 1\n")
    usual = settings(run(*command))
    flag = f"--{parameter.replace('_', '-')}"
    by_flag = settings(run(*command, flag, value))
    if parameter == "preset":
        assert by_flag["generator"]["hidden"] == PRESETS["tiny"]["generator"]["hidden"]
    else:
        wanted = value.split(",") if parameter == "freeze" else value
        assert value_at(by_flag, path) == wanted
    assert by_flag != usual, f"{flag} has no effect"
    assert settings(run(*command, "--set", f"{path}={value}")) == by_flag
    table, _, key = path.rpartition(".")
    literal = json.dumps(value)
    Path("one.toml").write_text(f"[{table}]\n{key} = {literal}\n" if table else f"{key} = {literal}\n")
    assert settings(run(*command, "--config", "one.toml")) == by_flag
    monkeypatch.setenv(f"SRITOOL_{parameter.upper()}", str(value))
    assert settings(run(*command)) == by_flag


def test_precedence_of_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def epochs(*args: object) -> int:
        return int(settings(run("train", "mine", *args, "--print-config"))["training"]["epochs"])

    assert epochs("--preset", "tiny") == PRESETS["tiny"]["training"]["epochs"] != 21
    Path("mine.toml").write_text("[all.training]\nepochs = 20\n")
    assert epochs("--preset", "tiny", "--recipe", "mine.toml") == 20
    monkeypatch.setenv("SRITOOL_RECIPE", "mine.toml")
    assert epochs("--preset", "tiny") == 20
    Path("one.toml").write_text('preset = "tiny"\n[training]\nepochs = 21\n')
    assert epochs("--config", "one.toml") == 21
    monkeypatch.setenv("SRITOOL_CONFIG", "one.toml")
    assert epochs() == 21
    monkeypatch.setenv("SRITOOL_EPOCHS", "22")
    assert epochs() == 22
    assert epochs("--set", "training.epochs=23") == 23
    assert epochs("--set", "training.epochs=23", "--epochs", 24) == 24


def test_help_states_the_actual_defaults() -> None:
    options = inspect.signature(flat(train_command)).parameters
    usual = plain(RunConfig())
    defaults = {name: options[name].annotation.__metadata__[0].show_default for name in PATHS}
    recipes = {name: read_recipe(name) for name in bundled_recipes()}
    for name, default in defaults.items():
        if name in ("method", "preset", "recipe", "sampler", "target_kl", "freeze", "embeddings"):
            continue
        if default == "by sampler":
            continue

        def value(recipe: str, preset: str, method: str, path: str = PATHS[name]) -> str:
            values = merge(usual, layered(preset, None, method, recipes[recipe]))
            return str(value_at(values, path))

        cases = [(preset, method) for preset in PRESETS for method in METHODS if method != "lm"]
        of_recipe = {r for r in recipes if any(value(r, *case) != value("ours", *case) for case in cases)}
        of_preset = {p for p, method in cases if value("ours", p, method) != value("ours", "ptb", method)}
        if "; " in default:
            assert {default.split()[-1]} == of_recipe, name
        else:
            assert ("recipe" in default) == bool(of_recipe), name
        assert ("preset" in default) == bool(of_preset), name
        if not default.startswith("by "):
            first, _, other = default.partition("; ")
            assert value("ours", *cases[0]) == first, name
            assert not other or value(other.split()[-1], *cases[0]) == other.split()[0], name
    assert all(defaults.values())
    assert defaults["sampler"] == DEFAULT_SAMPLER
    assert defaults["recipe"] == DEFAULT_RECIPE
    targets = [layered("captions", None, name)["free_bits"]["target"] for name in ("vae-fb", "vae-fbp")]
    assert defaults["target_kl"] == "{:g} for vae-fb, {:g} for vae-fbp".format(*targets)


def test_every_parameter_is_used() -> None:
    tree = ast.parse(inspect.getsource(train_command))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(inspect.signature(train_command).parameters) <= names
