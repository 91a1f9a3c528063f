"""`sritool fit-prior`: fits a Gaussian prior to the codes of training sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from sritool.cli.formats import FOR_PEOPLE, Table
from sritool.cli.options.files import DataDirOpt, NewCheckpointOptions, OutputOptions
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions
from sritool.cli.render import emit_panels
from sritool.cli.signatures import in_panel
from sritool.cli.streams import say
from sritool.cli.tables.figures import figure_columns
from sritool.errors import SritoolError

if TYPE_CHECKING:
    from sritool.analysis.fitted_prior import FittedPrior

measure_option = in_panel("Measurement")


def fit_prior(
    *,
    model: ModelOptions,
    sentences: Annotated[int, measure_option(min=2)] = 1000,
    limit: Annotated[int, measure_option(min=2)] = 256,
    seed: SeedOpt = 0,
    new: NewCheckpointOptions,
    data_dir: DataDirOpt = Path("data"),
    output: OutputOptions,
) -> None:
    """Fit a Gaussian prior to the codes of training sentences, where N(0, I) does not fit them.

    The codes are draws of p(z|x). The Gaussian is folded into the generator's maps of z and into the encoder, so that
    NEW.pt is a checkpoint like any other, with the prior N(0, I). It cannot be resumed.

    sritool fit-prior runs/captions-ae --write fitted.pt

    nll: -log p(x) of validation sentences, nats per sentence, from the same draws for both priors. change: what the
    fitted prior adds to it, with the error of the paired difference; below 0 is better. ess: effective sample size.
    Nothing is written unless the nll falls by more than two standard errors. An encoder with variances gets a
    diagonal Gaussian, which keeps its q(z|x) diagonal; ae without noise and sri get a full covariance.

    Args:
        sentences: Training sentences to fit to.
        limit: Validation sentences to judge it by.
    """
    from sritool.analysis import fitted_prior
    from sritool.evaluation.evaluations_on_record import load_hashed
    from sritool.runs.names import run_name

    form = output.format()
    where = model.open_device()
    path = model.find("fitting the prior of")
    new.check(path)
    with new.hold():
        opened = load_hashed(path, where)
        with output.progress() as report:
            fitted = fitted_prior.fit_prior(opened, sentences, limit, seed, data_dir, report)
        # Before the table, as its reader may stop early: `| head -1`.
        if new.write is not None and fitted.is_better:
            fitted_prior.write_fitted(opened, fitted, new.write)
    title = (
        f"{run_name(path)} on {opened.checkpoint.corpus.name}, fitted to {fitted.trained} training sentences, "
        f"judged by {fitted.before.sentences} validation sentences"
    )
    emit_panels([prior_table(fitted, title, form)], form)
    if new.write is not None and not fitted.is_better:
        raise SritoolError(
            f"{new.write} was not written, as the fitted prior brings no clear gain; keep using {path}"
        )
    if new.write is not None:
        say(f"wrote {new.write} with the fitted prior")


def prior_table(fitted: FittedPrior, title: str, fmt: str) -> Table:
    """Return one row per prior; figures and their errors in one column for people, in two for programs."""
    people = fmt in FOR_PEOPLE
    found = (
        ("N(0, I)", fitted.before, None, fitted.size_before),
        ("fitted", fitted.after, fitted.change, fitted.size_after),
    )
    rows = [
        {
            "prior": prior,
            **figure_columns("nll", nll, people),
            **figure_columns("change", change, people),
            "ess": f"{size:.1f}" if people else size,
        }
        for prior, nll, change, size in found
    ]
    return Table.of(title, rows, verdict(fitted))


def verdict(fitted: FittedPrior) -> str:
    """Return one line on whether the fitted prior is worth keeping."""
    if fitted.is_better:
        return "the fitted prior lowers the nll by more than two standard errors"
    if fitted.is_standard:
        return "N(0, I) fits the codes within the noise of their moments"
    return "the fitted prior does not lower the nll by more than two standard errors"
