"""`sritool fit-prior`: the table, and a checkpoint only if the gain is clear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sritool.analysis.fitted_prior import Gaussian, folded_weights
from sritool.runs.checkpoint import load_checkpoint, save_checkpoint
from support.tables import Run, rows

SOURCE = Path("runs/mine-sri/best.pt")
FEW = ["--sentences", 48, "--limit", 16, "-q"]


def shift_codes() -> Path:
    """Write far.pt: the model of mine-sri made to depend on z, with codes far from the prior's mass."""
    checkpoint = load_checkpoint(SOURCE)
    latent = checkpoint.config.generator.latent
    far = Gaussian(torch.full((latent,), -3.0).double(), 2 * torch.eye(latent).double())
    amplified = ("generator.latent_to_gates", "generator.latent_to_initial", "generator.output")
    weights = {name: 20 * part if name in amplified else part for name, part in checkpoint.weights.items()}
    save_checkpoint(replace(checkpoint, weights=folded_weights(weights, far), trainer=None), Path("far.pt"))
    return Path("far.pt")


def test_checkpoint_is_written_if_the_gain_is_clear(run: Run) -> None:
    far = shift_codes()
    before = far.read_bytes()
    result = run("fit-prior", far, *FEW, "--write", "new.pt")
    first, second = rows(result)
    assert (first["prior"], second["prior"]) == ("N(0, I)", "fitted")
    change = float(second["change"])
    assert change == pytest.approx(float(second["nll"]) - float(first["nll"]), abs=1e-4)
    assert change < -2 * float(second["change se"])
    assert result.stderr.splitlines()[-1] == "wrote new.pt with the fitted prior"
    assert far.read_bytes() == before
    assert load_checkpoint(Path("new.pt")).trainer is None
    nll = ("--metrics", "nll", "--limit", 16, "--split", "valid", "-q")
    before_fit, after_fit = (float(rows(run("evaluate", path, *nll))[0]["value"]) for path in (far, "new.pt"))
    assert after_fit < before_fit + change / 2
    assert any(row["field"].startswith("prior fitted") for row in rows(run("info", "new.pt")))


def test_nothing_is_written_without_a_clear_gain(run: Run) -> None:
    shown = run("fit-prior", SOURCE, *FEW)
    assert float(rows(shown)[1]["change"]) > -2 * float(rows(shown)[1]["change se"])
    refused = run("fit-prior", SOURCE, *FEW, "--write", "new.pt")
    assert refused.exit_code == 1
    assert refused.stdout == shown.stdout
    assert "new.pt was not written" in refused.stderr.splitlines()[-1]
    assert not Path("new.pt").exists()
