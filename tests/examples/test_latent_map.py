"""The notebook latent_map.ipynb runs from top to bottom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sritool

ROOT = Path(__file__).parents[2]
SHORT = ("--epochs 8 --max-time 10m", "--epochs 1 --max-steps 3 --hidden 16")


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "examples" / "latent_map.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert any(SHORT[0] in cell for cell in cells)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(ROOT / "data" / "tiny")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    environment = os.environ | {"PYTHONPATH": str(Path(sritool.__file__).parents[1])}
    names: dict[str, object] = {}
    for cell in cells:
        if cell.startswith("!sritool "):
            words = cell.replace(*SHORT).split()[1:]
            subprocess.run([sys.executable, "-m", "sritool", *words], check=True, env=environment)
        else:
            exec(compile(cell, "a cell", "exec"), names)
    assert names["codes"].shape == (400, 32)  # type: ignore[attr-defined]
