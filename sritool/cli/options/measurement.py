"""Options for the sentences to measure on, for random draws, and for refining an encoder's codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sritool.cli.options.files import DataDirOpt, TextOpt
from sritool.cli.options.models import device_option
from sritool.cli.options.values import size
from sritool.cli.signatures import in_panel
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.inference.refinement import Refinement

refinement_option = in_panel("Refinement of an encoder")

SeedOpt = Annotated[
    int, typer.Option("--seed", help="Seed of every random draw.", min=0, envvar="SRITOOL_SEED")
]
BatchSizeOpt = Annotated[
    int,
    typer.Option(
        "--batch-size",
        help="Sentences processed at once; changes speed and memory, not results.",
        min=1,
        envvar="SRITOOL_BATCH_SIZE",
    ),
]

BATCH_SIZE = 64
CHAINS_NEEDED = "{} applies only to chains with noise; give --chains N too"

NoiseKind = Literal["swap", "drop", "replace"]
Split = Literal["train", "valid", "test"]
SplitOpt = Annotated[Split, typer.Option("--split", help="Split of the prepared corpus.")]


@dataclass(frozen=True)
class SentencesOptions:
    """How many sentences of a prepared corpus are measured, and with which random draws.

    Attributes:
        limit: Use only this many sentences; by default, all.
    """

    limit: Annotated[int | None, typer.Option(min=1)] = None
    seed: SeedOpt = 0
    batch_size: BatchSizeOpt = BATCH_SIZE
    data_dir: DataDirOpt = Path("data")


@dataclass(frozen=True)
class MeasurementOptions(SentencesOptions):
    """The same options for measurements that are recorded.

    Attributes:
        again: Measure again even what is on record in evaluations.jsonl beside the checkpoint.
        memory: Memory to use, roughly, like 4G or 500M; changes speed, not results. [default: 4G]
    """

    again: Annotated[bool, typer.Option("--again")] = False
    memory: Annotated[int, device_option(parser=size, metavar="SIZE", envvar="SRITOOL_MEMORY")] = 4 << 30


@dataclass(frozen=True)
class SourceOptions:
    """Where the sentences come from: a split of the prepared corpus, or a text.

    Attributes:
        split: Split of the prepared corpus. [default: test]
    """

    split: Split | None = None
    text: TextOpt = None

    def settings(self) -> dict[str, Any]:
        """Return `split`, and `text` as a path, for a settings record; raise UsageError if both are given."""
        if self.text is not None and self.split:
            raise UsageError("--split is for the prepared corpus; leave it or --text out")
        return {"split": self.split or "test", "text": None if self.text is None else Path(self.text)}


@dataclass(frozen=True)
class RefinementOptions:
    """Steps from an encoder's q(z|x) towards the posterior.

    Attributes:
        refine_steps: Refine each sentence's q(z|x) by N steps, starting from the encoder's; 0: the encoder alone.
            With svi, elbo-gain (what the steps gain) is measured too. [default: sa-vae as trained, others 0]
        refine: svi: raise the sentence's elbo by gradient steps in mean and variance (for ae, log p(x|z), in the
            mean alone). langevin: a chain from the encoder's mean for each code; it has no kl and no elbo.
            preconditioned: such a chain with steps scaled by the encoder's variances; not for ae, which has none.
            [default: svi]
        refine_rate: Learning rate of svi, or step size of a chain. [default: svi refinement.rate of the run, langevin
            0.01, preconditioned from 0.9 down to 0.12]
    """

    refine_steps: Annotated[int | None, refinement_option(min=0, metavar="N")] = None
    refine: Annotated[
        Literal["svi", "langevin", "preconditioned"] | None, refinement_option(metavar="KIND")
    ] = None
    refine_rate: Annotated[float | None, refinement_option(metavar="R")] = None

    def refinement(self) -> Refinement | None:
        """Return the refinement; None: each method's own. Raise UsageError for options that do not go together."""
        from sritool.inference.refinement import KINDS, Refinement

        steps, kind, rate = self.refine_steps, self.refine, self.refine_rate
        if steps is None:
            if kind is not None or rate is not None:
                raise UsageError("--refine and --refine-rate say how to refine; give --refine-steps as well")
            return None
        if rate is not None and not 0 < rate < float("inf"):
            raise UsageError(f"--refine-rate is {rate}; give more than 0")
        return Refinement(steps, kind or KINDS[0], rate)
