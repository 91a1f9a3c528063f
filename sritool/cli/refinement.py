"""Options for steps from an encoder's q(z|x) towards the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.inference.refinement import Refinement

PANEL = "Refinement of an encoder"

RefineStepsOpt = Annotated[
    int | None,
    typer.Option(
        "--refine-steps",
        min=0,
        metavar="N",
        help="Refine each sentence's q(z|x) by N steps from the encoder's; 0: the bare encoder. After svi comes "
        "elbo-gain, what the steps bring, beside the metrics that were asked for.",
        show_default="sa-vae as trained, others 0",
        rich_help_panel=PANEL,
    ),
]

RefineOpt = Annotated[
    str | None,
    typer.Option(
        "--refine",
        metavar="KIND",
        help="svi: climb a sentence's own elbo in mean and variance (an ae's log p(x|z), in the mean alone). "
        "langevin: a chain from the encoder's mean for each code, which has no kl and no elbo. preconditioned: "
        "such a chain, its steps scaled by the encoder's variances; not for ae, which has none.",
        show_default="svi",
        rich_help_panel=PANEL,
    ),
]

RefineRateOpt = Annotated[
    float | None,
    typer.Option(
        "--refine-rate",
        metavar="R",
        help="Rate of svi, or step size of a chain.",
        show_default="svi refinement.rate of the run, langevin 0.01, preconditioned from 0.9 down to 0.12",
        rich_help_panel=PANEL,
    ),
]


def refinement_of(steps: int | None, kind: str | None, rate: float | None) -> Refinement | None:
    """What the options ask for; None: each method's own. Raises: UsageError where they do not go together."""
    from sritool.inference.refinement import KINDS, Refinement

    if steps is None:
        if kind is not None or rate is not None:
            raise UsageError("--refine and --refine-rate say how to refine; give --refine-steps as well")
        return None
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no refinement {kind!r}; known: {', '.join(KINDS)}")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError(f"--refine-rate is {rate}; give more than 0")
    return Refinement(steps, kind or KINDS[0], rate)
