"""`sritool sample`: sentences from the prior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.options import (
    CheckpointArg,
    CountOpt,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    RunsDirOpt,
    SeedOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, resolve_format, say

DECODING = "Decoding"


def sample(
    checkpoint: CheckpointArg = None,
    n: CountOpt = 10,
    seed: SeedOpt = 0,
    greedy: Annotated[
        bool | None,
        typer.Option(
            "--greedy/--ancestral",
            help="The likeliest next word, or one drawn; default: greedy, drawn for a model without z "
            "or where one of the next options is given.",
            show_default=False,
            rich_help_panel=DECODING,
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Of ancestral decoding.", rich_help_panel=DECODING)
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw among the k likeliest words.", rich_help_panel=DECODING)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw among the fewest words with this probability.", rich_help_panel=DECODING),
    ] = None,
    max_length: Annotated[
        int, typer.Option(min=1, help="Longest sentence, in tokens.", rich_help_panel=DECODING)
    ] = 200,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
) -> None:
    """Decode sentences from codes drawn from the prior; the first of more are the same."""
    from sritool.core.decoding import DecodingConfig
    from sritool.core.device import resolve_device, set_threads
    from sritool.errors import UsageError
    from sritool.tasks.model import load_model
    from sritool.tasks.runs import find_checkpoint
    from sritool.tasks.sample import sample as draw_sentences

    resolve_format(fmt)
    where = resolve_device(device, gpu)
    set_threads(threads)
    drawn = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given = {name: value for name, value in drawn.items() if value is not None}
    if greedy and given:
        option = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{option} is for ancestral decoding; leave it or --greedy out")
    path = find_checkpoint(checkpoint, runs_dir)
    if checkpoint is None:
        say(f"sampling from {path}")
    model = load_model(path, str(where))
    if greedy is None:
        greedy = model.latent > 0 and not given
    found = draw_sentences(model, n, seed, DecodingConfig(greedy=greedy, max_length=max_length, **given))  # type: ignore[arg-type]
    note = f"{found.unique} of {n} sentences differ"
    emit(Table("", ("sample",), [[text] for text in found.sentences], note), fmt)
