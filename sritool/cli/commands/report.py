"""`sritool report`: one page about a run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.options.files import DataDirOpt, QuietOpt, check_writable, file_option
from sritool.cli.options.measurement import BATCH_SIZE, BatchSizeOpt, SeedOpt, SplitOpt
from sritool.cli.options.models import ModelOptions
from sritool.cli.streams import say, write_bytes
from sritool.errors import UsageError


def report(
    *,
    model: ModelOptions,
    output: Annotated[str, file_option("-o", "--output", metavar="FILE|-")] = "report.html",
    split: SplitOpt = "test",
    limit: Annotated[int, typer.Option(min=2)] = 256,
    map_sentences: Annotated[int, typer.Option(min=3)] = 1000,
    n: Annotated[int, typer.Option("--n", "-n", min=1)] = 500,
    no_sentences: Annotated[bool, typer.Option("--no-sentences")] = False,
    seed: SeedOpt = 0,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    data_dir: DataDirOpt = Path("data"),
    quiet: QuietOpt = False,
) -> None:
    """Write a page about a run: figures, training curves, samples, an interpolation, a map of codes.

    sritool report runs/tiny-sri -o report.html

    It is a single file that opens in any browser and loads nothing else. In the map each point is a sentence: drag to
    zoom, point to read it, search for a word. Figures come from the record in evaluations.jsonl; usual ones that are
    missing there are measured on --limit sentences and recorded.

    The page contains sentences of the corpus, in the map and beside their reconstructions; --no-sentences leaves them
    out.

    Args:
        output: File for the page, replaced if it exists; - for stdout.
        limit: Sentences to measure figures on that are not on record.
        map_sentences: Maximum number of sentences in the map of codes.
        n: Sentences to sample; the page shows the first 20.
        no_sentences: Leave sentences of the corpus out of the page.
    """
    from sritool.analysis.report import Request, gather
    from sritool.cli.progress import KEPT, task_progress
    from sritool.cli.report.page import render, utc
    from sritool.files import write_output

    if output != "-":
        check_writable(Path(output))
    elif sys.stdout.isatty():
        raise UsageError("-o - is for a pipe, and stdout is a terminal; give a file, like -o report.html")
    where = model.open_device()
    path = model.find("reporting on")
    request = Request(split, limit, map_sentences, n, not no_sentences, seed, batch_size, data_dir)
    with task_progress(quiet, KEPT) as progress:
        found = gather(path, request, where, progress)
    content = render(found, utc(time.time())).encode()
    if output == "-":
        write_bytes(content)
    else:
        write_output(Path(output), [content])
    say(f"wrote {'the page' if output == '-' else output}, {len(content) / 1e6:.1f} MB")
    if found.map and found.map.sentences:
        say("the page contains sentences of the corpus; --no-sentences leaves them out")
