"""`sritool sample`: sentences from the prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_model
from sritool.cli.options import (
    CheckpointArg,
    CountOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, resolve_format

DECODING = "Decoding"
FEW = 512  # sentences that are there before a progress bar could be read


def sample(
    checkpoint: CheckpointArg = None,
    n: CountOpt = 10,
    seed: SeedOpt = 0,
    greedy: Annotated[
        bool | None,
        typer.Option(
            "--greedy/--ancestral",
            help="Take the likeliest next word, or draw one.",
            show_default="greedy; ancestral for a model without z and with one of the next options",
            rich_help_panel=DECODING,
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Draw from the words' probabilities sharpened (below 1) or flattened (above).",
            rich_help_panel=DECODING,
            show_default="1",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            min=1, help="Draw among the k likeliest words.", rich_help_panel=DECODING, show_default="all"
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Draw among the fewest words that have this probability together.",
            rich_help_panel=DECODING,
            show_default="1",
        ),
    ] = None,
    max_length: Annotated[
        int, typer.Option(min=1, help="Longest sentence, in tokens.", rich_help_panel=DECODING)
    ] = 200,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Make up sentences: codes drawn from the prior, decoded one a line.

    sritool sample runs/tiny-sri -n 100 --temperature 0.8 | sort -u

    The same seed gives the same sentences, and -n 5 the first five of -n 10.
    """
    from sritool.cli.watch import task_progress
    from sritool.core.decoding import DecodingConfig
    from sritool.errors import UsageError
    from sritool.tasks.sample import sample as draw_sentences

    resolve_format(fmt)
    drawn = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given = {name: value for name, value in drawn.items() if value is not None}
    if greedy and given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option} is for ancestral decoding; leave it or --greedy out")
    model = open_model(checkpoint, runs_dir, device, gpu, threads, "sampling from")
    if greedy is None:
        greedy = model.default_decoding().greedy and not given
    config = DecodingConfig(greedy=greedy, max_length=max_length, **given)  # type: ignore[arg-type]
    with task_progress(quiet or n <= FEW) as report:
        found = draw_sentences(model, n, seed, config, report)
    if fmt == "auto" and resolve_format(fmt) == "tsv":
        fmt = "plain"  # one column of sentences: the next program in the pipe wants no header
    emit(
        Table("", ("sample",), [[text] for text in found.sentences], f"distinct: {found.unique} of {n}"), fmt
    )
