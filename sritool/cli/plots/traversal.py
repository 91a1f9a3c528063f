"""`sritool plot traversal`: what single dimensions of z do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sritool.cli.opening import open_model, tell_unknown
from sritool.cli.options import DeviceOpt, FormatOpt, GpuOpt, RunsDirOpt, SeedOpt, ThreadsOpt
from sritool.cli.plots.common import Output, PictureOpt, RunArg, ShowDataOpt, TitleOpt
from sritool.cli.render import Table
from sritool.errors import UsageError

COLUMNS = ("dimension", "value", "changed", "sentence")


def traversal(
    run: RunArg = None,
    sentence: Annotated[
        str | None,
        typer.Option(
            "--sentence",
            metavar="TEXT",
            help="Move the code of this sentence.",
            show_default="the prior's first draw, by --seed",
        ),
    ] = None,
    dims: Annotated[
        str | None,
        typer.Option(
            "--dims",
            metavar="NUMBERS",
            help="Dimensions to move it along, from 1, with commas between.",
            show_default="the three that change the most words",
        ),
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="Sentences a dimension.")] = 7,
    reach: Annotated[
        float, typer.Option(min=0.01, help="Largest value, in standard deviations of the prior.")
    ] = 3.0,
    seed: SeedOpt = 0,
    max_length: Annotated[int, typer.Option(min=1, help="Longest sentence, in tokens.")] = 200,
    title: TitleOpt = None,
    output: PictureOpt = None,
    show_data: ShowDataOpt = False,
    gpu: GpuOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = None,
    runs_dir: RunsDirOpt = Path("runs"),
    fmt: FormatOpt = "auto",
) -> None:
    """Latent traversal: what a code decodes to as a coordinate moves.

    sritool plot traversal runs/tiny-sri --sentence "a dog runs" --dims 3,7

    sritool plot traversal --show-data | cut -f2,4

    Decoding is greedy, with one coordinate after another at -3 to 3. Words that the code itself does not decode to
    are bold; changed counts them, or the words that are missing if those are more.
    """
    from sritool.analysis.traversal import traverse
    from sritool.cli.pictures import traversal as picture
    from sritool.evaluation.evaluate import run_name

    out = Output("traversal", output, show_data, fmt)
    wanted = numbers_of(dims)
    model = open_model(run, runs_dir, device, gpu, threads, "drawing")
    if sentence is not None:
        tell_unknown(model, [sentence])
    found = traverse(model, sentence, wanted, points, reach, seed, max_length)
    heading = f"{run_name(model.path)}, {found.source}" if title is None else title
    out.write(lambda: picture.draw(found, heading), Table(heading, COLUMNS, found.steps))


def numbers_of(dims: str | None) -> list[int]:
    """The numbers of --dims. Raises: UsageError."""
    try:
        found = [int(word) for word in (dims or "").split(",") if word.strip()]
    except ValueError:
        raise UsageError(f"--dims {dims!r} cannot be read; write for example --dims 1,5") from None
    if dims is not None and not found:
        raise UsageError("--dims has no number; write for example --dims 1,5")
    return found
