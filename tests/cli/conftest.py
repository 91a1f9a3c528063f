"""One small trained run of each method, and a copy of their folder for each test that works on them."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from support.program import small_settings, sritool


def invented(count: int) -> list[str]:
    """Sentences of ours, of five to nine words; all of them differ."""
    nouns = ("heron", "kettle", "lantern", "mason", "otter", "pedlar")
    verbs = ("finds", "greets", "lifts", "paints", "trades")
    places = ("at noon", "by the old mill", "in the rain", "upstairs")
    every = itertools.product(nouns, verbs, nouns, places, ("the", "a"))
    sentences = [f"{end} {one} {does} the {other} {where}" for one, does, other, where, end in every]
    return sentences[:: len(sentences) // count][:count]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.toml, mine.txt, the corpora mine and other, and the runs mine-lm and mine-sri."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.toml").write_text(small_settings(), encoding="utf-8")
    (folder / "mine.txt").write_text("\n".join(invented(160)) + "\n", encoding="utf-8")
    (folder / "other.txt").write_text("\n".join(reversed(invented(70))) + "\n", encoding="utf-8")
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
    """Run `sritool ARGS` in a copy of the home folder, which is the current one from here on."""
    folder = tmp_path / "here"
    shutil.copytree(home, folder)
    monkeypatch.chdir(folder)
    return sritool


@pytest.fixture
def train_small(run: Callable[..., Result]) -> Callable[..., Result]:
    """`sritool train mine` there with the small settings, on one thread, without the final measures."""

    def train(*args: object) -> Result:
        return run("train", "mine", "--config", "small.toml", "--threads", 1, "--no-summary", *args)

    return train
