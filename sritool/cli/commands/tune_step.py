"""`sritool tune-step`: chooses the step sizes of a model's chain."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from sritool.cli.options import values
from sritool.cli.options.files import DataDirOpt, NewCheckpointOptions, OutputOptions, TextOpt, file_option
from sritool.cli.options.measurement import SeedOpt, Split
from sritool.cli.options.models import ModelOptions
from sritool.cli.render import emit_panels
from sritool.cli.signatures import in_panel
from sritool.cli.streams import announce_stdin, say
from sritool.cli.tables.tune_step import steps_table
from sritool.errors import UsageError

schedule_option = in_panel("Step sizes")
measure_option = in_panel("Measurement")


def tune_step(
    *,
    model: ModelOptions,
    shape: Annotated[
        Literal["checkpoint", "constant", "geometric"] | None, schedule_option(metavar="NAME")
    ] = None,
    grid: Annotated[str | None, schedule_option(metavar="NUMBERS")] = None,
    range_: Annotated[str | None, schedule_option("--range", metavar="LOW:HIGH:COUNT")] = None,
    langevin_steps: Annotated[int | None, schedule_option(min=1)] = None,
    gradient_steps: Annotated[int, schedule_option(min=0)] = 0,
    objective: Annotated[Literal["entropy", "given-noise"], schedule_option(metavar="NAME")] = "entropy",
    allow_folded: Annotated[bool, schedule_option("--allow-folded/--no-folded")] = False,
    temperature: Annotated[float | None, measure_option()] = None,
    limit: Annotated[int, measure_option(min=1)] = 8,
    chains: Annotated[int, measure_option(min=2)] = 200,
    split: Annotated[Split | None, measure_option()] = None,
    text: TextOpt = None,
    seed: SeedOpt = 0,
    new: NewCheckpointOptions,
    plot: Annotated[Path | None, file_option(metavar="FILE")] = None,
    data_dir: DataDirOpt = Path("data"),
    output: OutputOptions,
) -> None:
    """Choose the step sizes of the chain that infers z: those that end nearest to the posterior.

    Nearest means the least KL(q(z|x) || p(z|x)), that is, the highest ELBO of the chain. That ELBO lies between two
    bounds, both in nats per sentence. upper uses the entropy of a Gaussian with the chains' covariance. lower uses
    the entropy given the chain's noise, and prefers steps that are far too small. A star * marks the choice: the
    highest upper bound among schedules that fold nowhere.

    sritool tune-step runs/tiny-sri --write tuned.pt --plot tuned.png

    sritool tune-step --range 0.001:0.3:8 --temperature 1

    Every schedule gets the same sentences, starts and noise, so that the errors of differences (gain) are small.
    recon: -log p(x|z) at the end of the chain. kl: KL of the chain, given its noise, to the prior. folded: steps that
    may not be one-to-one, where lower may be no bound. unstable: steps that would lead uphill without their noise.
    accept: what a Metropolis test (MALA) of each step would accept.

    Args:
        shape: checkpoint: the model's step sizes times a factor. constant: the same size for all steps. geometric:
            from s_0 down to s_K by equal factors, for all pairs. [default: checkpoint; constant with --grid or
            --range]
        grid: Step sizes (or factors) to try, separated by commas. [default: by shape]
        range_: The same, as COUNT numbers from LOW to HIGH in equal ratios.
        langevin_steps: Steps K of the chain. [default: the model's]
        gradient_steps: Improve the best schedule by this many steps of gradient ascent.
        objective: entropy: choose by the upper bound. given-noise: by the lower one, as in the paper.
        allow_folded: Allow the choice of a schedule that folds.
        temperature: Temperature of the chain's noise; the paper uses 1. [default: the model's at evaluation]
        limit: Number of sentences to measure on.
        chains: Chains per sentence; more than the dimensions of z.
        split: Split of the prepared corpus. [default: valid]
        plot: Draw both bounds against the step size: .png, .svg or .pdf.
    """
    from sritool.cli.plots.style import check_picture, save
    from sritool.cli.plots.tune_step import draw, measure
    from sritool.evaluation.sentences import choose_sentences, read_text
    from sritool.evaluation.step_sizes import Tuning, sampler_of, write_tuned
    from sritool.runs.model import load_model

    form = output.format()
    if text is not None and split:
        raise UsageError("--split is for the prepared corpus; leave it or --text out")
    numbers = numbers_of(grid, range_)
    tuning = Tuning(
        shape=shape or ("checkpoint" if numbers is None else "constant"),
        grid=numbers,
        objective=objective,
        allow_folded=allow_folded,
        chains=chains,
        steps=langevin_steps,
        temperature=temperature,
        gradient_steps=gradient_steps,
        seed=seed,
    )
    where = model.open_device()
    path = model.find("tuning")
    new.check(path)
    if plot is not None:
        check_picture(plot, "--plot")
    announce_stdin(text)
    with new.hold():
        opened = load_model(path, where)
        sampler = sampler_of(opened.method)
        own = None if text is None else read_text(Path(text))
        chosen = choose_sentences(opened, split or "valid", own, limit, data_dir)
        tuned, title = measure(opened, chosen, tuning, output.quiet)
        # Before the table, as its reader may stop early: `| head -1`.
        if new.write is not None:
            write_tuned(opened, tuned.chosen.schedule, new.write)
    emit_panels([steps_table(tuned, title, form)], form)
    if new.write is not None:
        usual = sampler.evaluation_temperature
        say(f"wrote {new.write} with the step sizes of {tuned.chosen.label}")
        if tuned.temperature != usual:
            say(
                f"they were chosen at τ {tuned.temperature:g}; {new.write} is evaluated at τ {usual:g} as before"
            )
    if plot is not None:
        save(draw(tuned, title), plot)
        say(f"drew {plot}")


def numbers_of(grid: str | None, range_: str | None) -> tuple[float, ...] | None:
    """Return the numbers of --grid or --range, or None without either; raise UsageError for invalid ones."""
    if grid is not None and range_ is not None:
        raise UsageError("--grid and --range say the same; leave one out")
    if grid is not None:
        return values.numbers(grid, "--grid")
    if range_ is None:
        return None
    try:
        first, last, count = range_.split(":")
        low, high, many = float(first), float(last), int(count)
    except ValueError:
        raise UsageError(
            f"--range {range_!r} cannot be read; write for example --range 0.001:0.1:5"
        ) from None
    if not (0 < low < high < math.inf and 2 <= many <= values.LONGEST_RANGE):
        usual = f"give 0 < LOW < HIGH and a COUNT from 2 to {values.LONGEST_RANGE}"
        raise UsageError(f"--range {range_} is not a range; {usual}")
    from sritool.inference.step_size import geometric

    return geometric(low, high, many)
