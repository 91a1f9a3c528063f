"""Every command that takes a checkpoint, run on a bundled model in an empty folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sritool.runs.bundled import FOLDER
from support.tables import Run

NAME = "tiny-sri"
FEW = "--limit 4"
TEXT = "we see the horse .\nthe soup was salty .\n"
CODES = " ".join(["0.5"] * 16) + "\n"


@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        (f"info {NAME}", ""),
        (f"sample {NAME} -n 3", ""),
        (f"sample {NAME} -n 30 --metrics unique,nll --reference", ""),
        (f"interpolate {NAME} --points 3", ""),
        (f"score {NAME}", TEXT),
        (f"encode {NAME}", TEXT),
        (f"decode {NAME}", CODES),
        (f"evaluate {NAME} {FEW} --metrics nll,permuted --samples 8", ""),
        (f"compare {NAME} {FEW} --metrics nll --samples 8", ""),
        (f"noisy-recon {NAME} {FEW} --k 0-1", ""),
        (f"classify {NAME} --labels 40 --draws 1 --limit 20 --chains 1", ""),
        (f"tune-step {NAME} {FEW} --chains 20 --grid 0.5,1", ""),
        (f"plot curves {NAME} --show-data", ""),
        (f"plot latent {NAME} --split train --limit 24 --show-data", ""),
        (f"plot traversal {NAME} --show-data", ""),
        (f"plot frontier {NAME} {FEW} --show-data", ""),
        (f"report {NAME} -o - {FEW} --map-sentences 12", ""),
        ("preprocess - --name like --like tiny-sri", "".join(f"we see {n} dogs .\n" for n in range(60))),
    ],
)
def test_command_works_in_an_empty_folder(
    command: str, stdin: str, invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = invoke(*command.split(), stdin=stdin)
    assert result.exit_code == 0, result.stderr
    assert result.stdout
    assert f"{NAME} is not a file or run here" in result.stderr
    assert not {path.name for path in tmp_path.iterdir()} - {"cache", "data"}


def test_own_run_of_the_same_name_takes_precedence(
    invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER / NAME, tmp_path / "runs" / NAME)
    monkeypatch.chdir(tmp_path)
    result = invoke("sample", NAME, "-n", "1")
    assert result.exit_code == 0, result.stderr
    assert f"using your runs/{NAME}/best.pt, not the model {NAME} that comes with sritool" in result.stderr


def test_bundled_model_cannot_be_resumed(invoke: Run) -> None:
    result = invoke("train", "tiny", "--resume", NAME)
    assert result.exit_code == 2
    assert "last.pt" in result.stderr
