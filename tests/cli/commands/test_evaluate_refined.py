"""`sritool evaluate --refine-steps`: the effect of each option."""

from __future__ import annotations

import pytest
from typer.testing import Result

from support.tables import Run, rows

BOUND = ("--metrics", "recon,kl,elbo,elbo-gain", "-q")


def figures(result: Result) -> dict[str, float]:
    return {row["metric"]: float(row["value"]) for row in rows(result)}


def test_every_refinement_option_has_an_effect(run: Run, train_small: Run) -> None:
    assert train_small("--method", "vae-anneal").exit_code == 0

    def measured(*args: object) -> Result:
        return run("evaluate", "mine-vae-anneal", *BOUND, *args)

    bare = figures(measured())
    assert list(bare) == ["recon", "elbo", "kl"]
    five = ("--refine-steps", 5)
    refined = [
        figures(measured(*more)) for more in (five, (*five, "--refine-rate", 0.2), ("--refine-steps", 9))
    ]
    for found in refined:
        assert found["elbo-gain"] == pytest.approx(found["elbo"] - bare["elbo"], abs=1e-4)
    assert len({found["elbo-gain"] for found in refined}) == 3
    assert figures(measured("--refine-steps", 0)) == bare

    chain = (*five, "--refine", "langevin")
    moved = measured(*chain)
    assert list(figures(moved)) == ["recon"]
    assert "kl, elbo, elbo-gain: not measured" in " ".join(moved.stderr.split())
    wider = figures(measured(*chain, "--refine-rate", 0.3))
    assert len({bare["recon"], figures(moved)["recon"], wider["recon"]}) == 3

    alone = figures(run("evaluate", "mine-vae-anneal", "--metrics", "recon", *five, "-q"))
    assert alone == {name: refined[0][name] for name in ("recon", "elbo-gain")}
