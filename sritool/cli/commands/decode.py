"""`sritool decode`: sentences for codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.decoding_options import (
    FEW,
    MAX_LENGTH,
    BeamOpt,
    GreedyOpt,
    MaxLengthOpt,
    TemperatureOpt,
    TopKOpt,
    TopPOpt,
    decoding_config,
)
from sritool.cli.opening import open_model, tell_typed
from sritool.cli.options import (
    CheckpointArg,
    DeviceOpt,
    FormatOpt,
    GpuOpt,
    QuietOpt,
    RunsDirOpt,
    SeedOpt,
    ThreadsOpt,
)
from sritool.cli.render import Table, emit, resolve_format


def decode(
    checkpoint: CheckpointArg = None,
    codes: Annotated[
        str,
        typer.Option(
            "--codes",
            metavar="FILE|-",
            help="Codes from a file, or - for stdin: TSV, CSV or numbers with spaces between, with or without a "
            "header, JSON lines with z, or .npy.",
        ),
    ] = "-",
    seed: SeedOpt = 0,
    greedy: GreedyOpt = None,
    temperature: TemperatureOpt = None,
    top_k: TopKOpt = None,
    top_p: TopPOpt = None,
    beam: BeamOpt = None,
    max_length: MaxLengthOpt = MAX_LENGTH,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Decode codes into sentences, one for each, greedily unless told otherwise.

    sritool encode runs/tiny-sri < lines.txt | sritool decode runs/tiny-sri

    sritool decode runs/tiny-sri --codes codes.npy --temperature 0.8

    The sentences come in the order of the codes, in a pipe alone, one a line.
    """
    from sritool.analysis.code_files import read_codes
    from sritool.cli.progress import task_progress

    form = resolve_format(fmt)
    config = decoding_config(greedy, temperature, top_k, top_p, beam, max_length)
    model = open_model(checkpoint, runs_dir, device, gpu, threads, "decoding with")
    model.require_latent("decode codes")
    tell_typed(codes, "codes, numbers with spaces between")
    given = read_codes(codes, model.latent)
    with task_progress(quiet or len(given) <= FEW) as report:
        sentences = model.decode(given, config, seed, report=report)
    if fmt == "auto" and form == "tsv":
        form = "plain"  # one column of sentences: the next program in the pipe wants no header
    emit(Table("", ("sentence",), [[text] for text in sentences]), form)
