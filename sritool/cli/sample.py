"""`sritool sample`: sentences from the prior."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sritool.cli.decoding_options import (
    MAX_LENGTH,
    BeamOpt,
    GreedyOpt,
    MaxLengthOpt,
    TemperatureOpt,
    TopKOpt,
    TopPOpt,
    decoding_config,
)
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

FEW = 512  # sentences that are there before a progress bar could be read


def sample(
    checkpoint: CheckpointArg = None,
    n: CountOpt = 10,
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
    """Make up sentences: codes drawn from the prior, decoded one a line.

    sritool sample runs/tiny-sri -n 100 --temperature 0.8 | sort -u

    The same seed gives the same sentences, and -n 5 the first five of -n 10.
    """
    from sritool.cli.watch import task_progress
    from sritool.tasks.sample import sample as draw_sentences

    resolve_format(fmt)
    config = decoding_config(greedy, temperature, top_k, top_p, beam, max_length)
    model = open_model(checkpoint, runs_dir, device, gpu, threads, "sampling from")
    if greedy is None and beam is None and config.greedy:
        config = replace(config, greedy=model.default_decoding().greedy)
    with task_progress(quiet or n <= FEW) as report:
        found = draw_sentences(model, n, seed, config, report)
    if fmt == "auto" and resolve_format(fmt) == "tsv":
        fmt = "plain"  # one column of sentences: the next program in the pipe wants no header
    emit(
        Table("", ("sample",), [[text] for text in found.sentences], f"distinct: {found.unique} of {n}"), fmt
    )
