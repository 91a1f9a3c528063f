"""`sritool evaluate --refine-steps`: each option has its effect, and is refused where it has none."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest
from typer.testing import Result

Run = Callable[..., Result]
BOUND = ("--metrics", "recon,kl,elbo,elbo-gain", "-q")


def figures(result: Result) -> dict[str, float]:
    assert result.exit_code == 0, result.stderr
    rows = csv.DictReader(io.StringIO(result.stdout, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["metric"]: float(row["value"]) for row in rows}


def test_every_option_has_its_effect(run: Run, train_small: Run) -> None:
    assert train_small("--method", "vae-anneal").exit_code == 0
    bare = figures(run("evaluate", "mine-vae-anneal", *BOUND))
    assert list(bare) == ["recon", "elbo", "kl"]
    refined = [
        figures(run("evaluate", "mine-vae-anneal", *BOUND, *more))
        for more in (
            ("--refine-steps", 5),
            ("--refine-steps", 5, "--refine-rate", 0.2),
            ("--refine-steps", 9),
        )
    ]
    for found in refined:
        assert found["elbo-gain"] == pytest.approx(found["elbo"] - bare["elbo"], abs=1e-4)
    assert len({found["elbo-gain"] for found in refined}) == 3
    nothing = figures(run("evaluate", "mine-vae-anneal", *BOUND, "--refine-steps", 0))
    assert nothing == bare

    chain = ("--refine-steps", 5, "--refine", "langevin")
    moved = run("evaluate", "mine-vae-anneal", *BOUND, *chain)
    assert list(figures(moved)) == ["recon"]
    assert "kl, elbo, elbo-gain: not measured" in " ".join(moved.stderr.split())
    wider = figures(run("evaluate", "mine-vae-anneal", *BOUND, *chain, "--refine-rate", 0.3))
    assert len({bare["recon"], figures(moved)["recon"], wider["recon"]}) == 3

    alone = figures(run("evaluate", "mine-vae-anneal", "--metrics", "recon", "--refine-steps", 5, "-q"))
    assert alone == {name: refined[0][name] for name in ("recon", "elbo-gain")}
