"""The script that trains all methods: what it runs, that it goes on, and what it draws."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import methods
from sritool.cli.app import app
from sritool.methods.registry import METHODS


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Words of every `sritool` that would have been started."""
    started: list[list[str]] = []

    def run(words: list[str]) -> subprocess.CompletedProcess[bytes]:
        started.append(words[words.index("sritool") + 1 :])
        return subprocess.CompletedProcess(words, 3 if "vae-fbp" in words else 0)

    monkeypatch.setattr(subprocess, "run", run)
    return started


def test_every_method_has_a_row_that_train_understands(commands: list[list[str]], tmp_path: Path) -> None:
    rows = [name for name in methods.ROWS if name != "vae-fbp"]
    words = ["tiny", "--only", ",".join(rows), "--runs-dir", str(tmp_path), "--", "--threads", "1"]
    assert methods.main(words) == 0
    assert {words[words.index("--method") + 1] for words in commands} | {"vae-fbp"} == set(METHODS)
    names = [words[words.index("--name") + 1] for words in commands]
    assert names == [f"tiny-{name}" for name in rows]
    for words in commands:
        printed = CliRunner().invoke(app, [*words, "--print-config"])
        assert printed.exit_code == 0, printed.output
        assert "learning_rate = 0.003" in printed.stdout


def test_a_run_that_fails_ends_it(commands: list[list[str]]) -> None:
    assert methods.main(["tiny", "--only", "ae,vae-fbp,lm"]) == 3
    assert len(commands) == 2


def test_an_unknown_row(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        methods.main(["tiny", "--only", "vae"])
    assert ended.value.code == 2
    assert "no row 'vae'; known: lm, ae" in capsys.readouterr().err


def test_picture_of_what_there_is(tmp_path: Path) -> None:
    def epoch(number: int, **more: Any) -> str:
        clocks = {"seconds": 3600.0 * number, "validation_seconds": 360.0}
        return json.dumps({"kind": "epoch", "epoch": number, "step": number, **clocks, **more})

    run = tmp_path / "tiny-vae-fbp"
    run.mkdir()
    lines = [epoch(1, recon=3.0, pretraining=True), epoch(2, nll=40.0), epoch(3, nll=39.0)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert methods.curve(run / "metrics.jsonl") == (pytest.approx([1.8 * 60, 2.7 * 60]), [40.0, 39.0])
    file = tmp_path / "cost.svg"
    assert methods.main(["tiny", "--runs-dir", str(tmp_path), "--picture", str(file)]) == 0
    assert file.read_text().lstrip().startswith("<?xml")
