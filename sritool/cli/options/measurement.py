"""What a command measures on, how it draws, and how an encoder's codes are refined."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options.files import DataDirOpt, TextOpt
from sritool.cli.options.models import DEVICE_PANEL
from sritool.cli.options.values import known_split, size
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.inference.refinement import Refinement

REFINEMENT_PANEL = "Refinement of an encoder"

SeedOpt = Annotated[
    int, typer.Option("--seed", min=0, envvar="SRITOOL_SEED", help="Seed of every random draw.")
]

BatchSizeOpt = Annotated[
    int,
    typer.Option(
        "--batch-size",
        min=1,
        envvar="SRITOOL_BATCH_SIZE",
        help="Sentences worked on side by side; changes speed and memory, not results.",
    ),
]

BATCH_SIZE = 64

SplitOpt = Annotated[
    str,
    typer.Option("--split", callback=known_split, help="Split of the prepared corpus: train, valid or test."),
]


@dataclass(frozen=True)
class SentencesOptions:
    """How many sentences of a prepared corpus are measured on, and with which draws."""

    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only this many sentences; without it, all.", show_default=False),
    ] = None
    seed: SeedOpt = 0
    batch_size: BatchSizeOpt = BATCH_SIZE
    data_dir: DataDirOpt = Path("data")


@dataclass(frozen=True)
class MeasurementOptions(SentencesOptions):
    """The same for measurements that are kept on record."""

    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Measure anew what is on record in evaluations.jsonl beside a checkpoint."
        ),
    ] = False
    memory: Annotated[
        int,
        typer.Option(
            "--memory",
            parser=size,
            metavar="SIZE",
            envvar="SRITOOL_MEMORY",
            help="About as much memory as may be taken, like 4G or 500M; changes speed, not results.",
            show_default="4G",
            rich_help_panel=DEVICE_PANEL,
        ),
    ] = 4 << 30


@dataclass(frozen=True)
class SourceOptions:
    """Where the sentences come from: a split of the prepared corpus, or a text."""

    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            callback=known_split,
            help="Split of the prepared corpus: train, valid or test.",
            show_default="test",
        ),
    ] = None
    text: TextOpt = None

    def check(self) -> None:
        """Raise UsageError where both are given."""
        if self.text and self.split:
            raise UsageError("--split is for the prepared corpus; leave it or --text out")

    @property
    def path(self) -> Path | None:
        """The file of the text, or -."""
        return Path(self.text) if self.text else None


@dataclass(frozen=True)
class RefinementOptions:
    """Steps from an encoder's q(z|x) towards the posterior."""

    refine_steps: Annotated[
        int | None,
        typer.Option(
            "--refine-steps",
            min=0,
            metavar="N",
            help="Refine each sentence's q(z|x) by N steps from the encoder's; 0: the bare encoder. After svi comes "
            "elbo-gain, what the steps bring, beside the metrics that were asked for.",
            show_default="sa-vae as trained, others 0",
            rich_help_panel=REFINEMENT_PANEL,
        ),
    ] = None
    refine: Annotated[
        str | None,
        typer.Option(
            "--refine",
            metavar="KIND",
            help="svi: climb a sentence's own elbo in mean and variance (an ae's log p(x|z), in the mean alone). "
            "langevin: a chain from the encoder's mean for each code, which has no kl and no elbo. preconditioned: "
            "such a chain, its steps scaled by the encoder's variances; not for ae, which has none.",
            show_default="svi",
            rich_help_panel=REFINEMENT_PANEL,
        ),
    ] = None
    refine_rate: Annotated[
        float | None,
        typer.Option(
            "--refine-rate",
            metavar="R",
            help="Rate of svi, or step size of a chain.",
            show_default="svi refinement.rate of the run, langevin 0.01, preconditioned from 0.9 down to 0.12",
            rich_help_panel=REFINEMENT_PANEL,
        ),
    ] = None

    def refinement(self) -> Refinement | None:
        """Return what is asked for; None: each method's own.

        Raises:
            UsageError: The options do not go together.
        """
        from sritool.inference.refinement import KINDS, Refinement

        steps, kind, rate = self.refine_steps, self.refine, self.refine_rate
        if steps is None:
            if kind is not None or rate is not None:
                raise UsageError("--refine and --refine-rate say how to refine; give --refine-steps as well")
            return None
        if kind is not None and kind not in KINDS:
            raise UsageError(f"no refinement {kind!r}; known: {', '.join(KINDS)}")
        if rate is not None and not 0 < rate < float("inf"):
            raise UsageError(f"--refine-rate is {rate}; give more than 0")
        return Refinement(steps, kind or KINDS[0], rate)
