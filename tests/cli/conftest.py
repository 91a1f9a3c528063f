"""Small trained runs, copied for each test; programs started as processes; the commands of a plan."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

import sritool as package
from sritool.cli.child import Children
from support.program import small_settings, sritool
from support.tables import Commands


def made_up_sentences(count: int) -> list[str]:
    """Return distinct sentences of five to nine words."""
    nouns = ("heron", "kettle", "lantern", "mason", "otter", "pedlar")
    verbs = ("finds", "greets", "lifts", "paints", "trades")
    places = ("at noon", "by the old mill", "in the rain", "upstairs")
    combinations = itertools.product(nouns, verbs, nouns, places, ("the", "a"))
    sentences = [
        f"{article} {subject} {verb} the {thing} {place}"
        for subject, verb, thing, place, article in combinations
    ]
    return sentences[:: len(sentences) // count][:count]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.toml, mine.txt, the prepared corpora mine and other, and the runs mine-lm and mine-sri."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.toml").write_text(small_settings(), encoding="utf-8")
    (folder / "mine.txt").write_text("\n".join(made_up_sentences(160)) + "\n", encoding="utf-8")
    (folder / "other.txt").write_text("\n".join(reversed(made_up_sentences(70))) + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SRITOOL_")]:
            patch.delenv(name)
        patch.chdir(folder)
        commands = [
            "preprocess mine.txt --name mine --valid-share 0.1 --test-share 0.1",
            "preprocess other.txt --name other",
            "train mine --config small.toml --threads 1 --no-summary --method lm",
            "train mine --config small.toml --threads 1 --no-summary --sampler tempered",
        ]
        for command in commands:
            result = sritool(*command.split())
            assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `sritool ARGS` in a copy of the home folder, which becomes the current folder."""
    folder = tmp_path / "here"
    shutil.copytree(home, folder)
    monkeypatch.chdir(folder)
    return sritool


@pytest.fixture
def train_small(run: Callable[..., Result]) -> Callable[..., Result]:
    """Run `sritool train mine ARGS` there with the small settings, on one thread, without the final summary."""

    def train(*args: object) -> Result:
        return run("train", "mine", "--config", "small.toml", "--threads", 1, "--no-summary", *args)

    return train


@pytest.fixture
def start_program() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `python -P ARGS` in the current folder; what still runs after the test is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: object, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", *map(str, args)],
            env=os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def commands(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Run the commands of a plan in this process and list them; small.recipe.toml has the small settings."""
    Path("small.recipe.toml").write_text(small_settings(epochs=1).replace("[", "[all."), encoding="utf-8")
    found = Commands(run)
    monkeypatch.setattr(Children, "run", lambda *given, **named: found(*given, **named))
    return found
