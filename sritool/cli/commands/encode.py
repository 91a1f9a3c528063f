"""`sritool encode`: encodes sentences into codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sritool.cli.formats import FOR_PEOPLE, Table
from sritool.cli.options.files import QuietOpt, TextOpt, check_writable, file_option
from sritool.cli.options.measurement import BATCH_SIZE, CHAINS_NEEDED, BatchSizeOpt, SeedOpt
from sritool.cli.options.models import CheckpointOptions, report_reading, warn_of_collapse
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.render import emit, fits, resolve_format, write_lines
from sritool.cli.signatures import refuse_idle, typed
from sritool.cli.streams import announce_stdin, say, write_bytes
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.analysis.codes import Encoded

SHOWN = 6  # dimensions in a table for people

CodesFormatOpt = Annotated[
    Literal["auto", "table", "tsv", "plain", "json", "csv", "npy", "markdown", "latex"],
    file_option(
        "--format",
        "-f",
        help="auto (a table of the first dimensions on a terminal, TSV in a pipe, or by the ending of "
        "--output), table, tsv, plain (TSV without its header), json (lines), npy, csv, markdown or latex.",
        envvar="SRITOOL_FORMAT",
        metavar="FORMAT",
    ),
]


def encode(
    ctx: typer.Context,
    *,
    device: ProcessOptions,
    model: CheckpointOptions,
    text: TextOpt = "-",
    chains: Annotated[int | None, typer.Option(min=1)] = None,
    mean: Annotated[bool, typer.Option("--mean/--draws")] = False,
    chain_dropout: Annotated[bool, typer.Option("--chain-dropout/--no-chain-dropout")] = False,
    seed: SeedOpt = 0,
    output: Annotated[Path | None, file_option("--output", "-o", metavar="FILE")] = None,
    batch_size: BatchSizeOpt = BATCH_SIZE,
    fmt: CodesFormatOpt = "auto",
    quiet: QuietOpt = False,
) -> None:
    """Encode sentences, one per line on stdin or in a file, into their codes z, one row per line.

    sritool encode runs/tiny-sri < lines.txt | sritool decode runs/tiny-sri

    sritool encode runs/tiny-sri --mean -o codes.npy --text lines.txt

    A row has the columns z1, z2, …; with --chains N and without --mean there are N rows for each line, and the
    columns line and chain come first (.npy: lines by chains by dimensions). JSON lines have the sentence too. An
    empty line is an empty sentence. Codes of a long text are kept in latents/ beside the checkpoint, so that the same
    command continues where it was stopped.

    Args:
        chains: Draw this many codes for each sentence, each with its own noise. [default: 1; none with --mean]
        mean: Give one code per sentence, the mean of q(z|x): an encoder's own; for a chain, where it ends without
            noise, or with --chains the mean of that many draws.
        chain_dropout: Drop word features in the steps of a chain, as in training.
        output: Write to a file: .npy, .jsonl, .csv, or else TSV.
    """
    from sritool.analysis.codes import encode_text
    from sritool.cli.progress import task_progress
    from sritool.evaluation.posterior_codes import CodeSettings
    from sritool.runs.model import load_model

    refuse_idle(ctx, [(chain_dropout and mean and chains is None, ("chain_dropout",), CHAINS_NEEDED)])
    if output is not None and "fmt" not in typed(ctx):
        fmt = "auto"  # SRITOOL_FORMAT is only for what is printed
    form = output_form(fmt, output)
    with device.measuring() as where:
        opened = load_model(model.find("encoding with"), where)
        source = "-" if text is None else text
        announce_stdin(source)
        how = CodeSettings(chains or (None if mean else 1), mean, seed, chain_dropout)
        with task_progress(quiet) as report:
            found = encode_text(opened, Path(source), how, batch_size, report)
        if output is not None:
            write(found, form, output)
        else:
            show(found, form)
        warn_of_collapse(opened)
        report_reading(opened, found.sentences)


def output_form(fmt: str, output: Path | None) -> str:
    """Return the format asked for, or that of the file's ending, or that of stdout; refuse npy on a terminal."""
    from sritool.analysis.codes import BY_SUFFIX, FORMS, form_of

    form = resolve_format(fmt)
    if output is None:
        if form == "npy" and sys.stdout.isatty():
            raise UsageError("a terminal cannot show .npy; give -o codes.npy, or redirect the output")
        return form
    check_writable(output)
    by_ending = form_of(output)
    if fmt == "auto":
        return by_ending
    if form not in FORMS:
        raise UsageError(f"codes cannot be written in the format {form}; choose one of {', '.join(FORMS)}")
    if output.suffix.lower() in BY_SUFFIX and by_ending != ("tsv" if form == "plain" else form):
        raise UsageError(
            f"-o {output} and --format {form} contradict each other; give --format {by_ending}, or another ending"
        )
    return form


def write(found: Encoded, form: str, output: Path) -> None:
    """Write the codes into a file."""
    from sritool.analysis.codes import BY_SUFFIX
    from sritool.files import write_output

    write_output(output, [npy(found)] if form == "npy" else (line.encode() for line in lines(found, form)))
    count, rows, latent = found.codes.shape
    unsaid = ", as TSV" if form == "tsv" and output.suffix.lower() not in BY_SUFFIX else ""
    say(f"wrote {output}: {count * rows:,} codes of {latent} dimensions{unsaid}")


def show(found: Encoded, form: str) -> None:
    """Print the codes on stdout."""
    if form in FOR_PEOPLE:
        shown = SHOWN
        while shown > 1 and form == "table" and not fits(first_dimensions(found, shown)):
            shown -= 1
        emit(first_dimensions(found, shown), form)
    elif form == "npy":
        write_bytes(npy(found))
    else:
        write_lines(lines(found, form))
        sys.stdout.flush()


def lines(found: Encoded, form: str) -> Iterator[str]:
    """Return the lines of a file of codes."""
    from sritool.analysis.codes import code_lines

    return code_lines(found.flat, form, found.beside(with_text=form == "json"))


def npy(found: Encoded) -> bytes:
    """Return the content of an .npy file: an array [lines, latent], or [lines, chains, latent]."""
    from sritool.analysis.codes import npy_bytes

    return npy_bytes(found.codes if found.codes.shape[1] > 1 else found.codes[:, 0])


def first_dimensions(found: Encoded, shown: int) -> Table:
    """Return a table for people: the first dimensions, the norm of the code, and the sentence."""
    latent = found.codes.shape[-1]
    beside = found.beside(with_text=True)
    sentences = beside.pop("sentence")
    shown = min(latent, shown)
    names = [*beside, *(f"z{number + 1}" for number in range(shown)), "‖z‖", "sentence"]
    keys = zip(*beside.values(), strict=True) if beside else [()] * len(found.flat)
    rows = [
        [
            *key,
            *(f"{x: z.2f}" for x in code[:shown].tolist()),
            f"{float((code**2).sum() ** 0.5):.2f}",
            sentence,
        ]
        for key, code, sentence in zip(keys, found.flat, sentences, strict=True)
    ]
    note = f"the first {shown} of {latent} dimensions; all of them: --format tsv" if latent > shown else ""
    return Table("Codes", names, rows, note)
