"""`sritool noisy-recon`: reconstructs clean sentences from noisy ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.formats import FOR_PEOPLE
from sritool.cli.options import values
from sritool.cli.options.files import OutputOptions, check_writable
from sritool.cli.options.measurement import NoiseKind, SentencesOptions, SourceOptions
from sritool.cli.options.models import CheckpointsOptions
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.render import emit, emit_panels
from sritool.cli.streams import announce_stdin
from sritool.cli.tables.noisy_recon import increase_table, long_table, recon_table
from sritool.errors import UsageError


def noisy_recon(
    *,
    device: ProcessOptions,
    models: CheckpointsOptions,
    counts: Annotated[str | None, typer.Option("--k", metavar="LIST")] = None,
    noise: Annotated[NoiseKind | None, typer.Option(metavar="KIND")] = None,
    source: SourceOptions,
    noisy: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    write_noisy: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    chains: Annotated[int, typer.Option(min=1)] = 2,
    sentences: SentencesOptions,
    output: OutputOptions,
) -> None:
    """Measure how well sentences are reconstructed from noisy copies: does z hold the sentence, or its exact words?

    sritool noisy-recon runs/tiny-sri runs/tiny-vae-fb

    sritool noisy-recon --noise drop --k 0,1,2,4,8 --limit 500 --format csv

    z is inferred from the sentence after k changes; recon is -log p(x|z) of the original sentence, in nats (at k = 0
    it is that of evaluate). The steeper a row rises, the more z depends on the changed words. A model that ignores z
    has a flat row too, but then permuted, the cost of another sentence's z, is near 0.

    Version k has one change more than version k - 1. The noise depends on --seed, the sentence and its number, and
    is the same for every model. The noise of the chain or of the encoder is the same for every model and k. Increases
    over k = 0 are paired by sentence. A sentence too short for k changes gets as many as fit: one word cannot be
    swapped. </s> is never changed. Runs without z (lm) are left out.

    To continue a stopped measurement, give the same command again.

    Args:
        counts: Numbers of changes: a list, a range or both, like 0-4 or 1,2,5-8; 0 is always included. [default: 0-4,
            or all of --noisy]
        noise: swap: two words change places; drop: a word is left out; replace: a word of the same text takes its
            place, drawn by its frequency there. [default: swap]
        noisy: Noisy sentences from a file that --write-noisy wrote, in place of --split.
        write_noisy: Write the noisy sentences to this file: TSV of k, index, noisy and clean sentence.
        chains: Codes inferred per sentence, over which the loss is averaged.
    """
    from sritool.analysis import noisy_recon as task
    from sritool.cli.progress import KEPT

    form = output.format()
    if noisy and (source.split or source.text or noise or write_noisy):
        raise UsageError(
            "--noisy gives the noise and the sentences; leave --noise, --split, --text and --write-noisy out"
        )
    chosen = source.settings()
    if write_noisy is not None:
        check_writable(write_noisy, "--write-noisy")
    announce_stdin(source.text)
    request = task.Request(
        kind=noise or "swap",
        counts=values.counts(counts, "--k") if counts is not None else None,
        noisy=noisy,
        chains=chains,
        write=write_noisy,
        **chosen,
        **vars(sentences),
    )
    with device.measuring() as where:
        paths = models.find("reconstructing with")
        with output.progress(KEPT) as report:
            found = task.noisy_recon(paths, request, where, report)
        if form in FOR_PEOPLE:
            emit_panels([recon_table(found.runs), increase_table(found.runs, found.notes)], form)
        else:
            emit(long_table(*found), form)
