"""The GPU script: says where there is none, and every job of it runs, here on the CPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from sritool.methods import sri


def called(function: Callable[..., Any]) -> Callable[..., Any]:
    """In place of a captured graph."""
    return lambda constants, *tensors: function(*constants, *tensors)


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path / "out")])
    assert gpu.main() == 2
    assert "not run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_job_is_written_and_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "DEVICE", torch.device("cpu"))
    monkeypatch.setattr(gpu, "machine", lambda _: {"gpu": "none", "torch": "0", "date": "today"})
    monkeypatch.setattr(gpu, "graphed", lambda run: run)
    monkeypatch.setattr(gpu, "PRECISIONS", ("float32",))
    monkeypatch.setattr(sri, "GraphedFunction", called)
    monkeypatch.setattr(sri, "_replayed", sri._replayed)  # put back after the script has replaced it

    def broken() -> gpu.Result:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "tests", broken)
    monkeypatch.setattr(sys, "argv", ["gpu", str(tmp_path), "--shape", "micro", "--rounds", "1"])
    assert gpu.main() == 1
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert "no such kernel" in figures.pop("tests")["failed"]
    assert len(figures) == 7
    assert not any("failed" in found for found in figures.values()), figures
    written = (tmp_path / "gpu.md").read_text()
    assert written.count("\n## ") == 7
    assert "cuDNN" in written
