"""`sritool decode`: decodes codes into sentences."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import typer

from sritool.cli.formats import FOR_PEOPLE
from sritool.cli.options.decoding import FEW, DecodingOptions, given_codes
from sritool.cli.options.files import OutputOptions
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions, warn_of_collapse
from sritool.cli.render import emit
from sritool.cli.streams import say


def decode(
    *,
    model: ModelOptions,
    codes: Annotated[str, typer.Option(metavar="FILE|-")] = "-",
    seed: SeedOpt = 0,
    decoding: DecodingOptions,
    output: OutputOptions,
) -> None:
    """Decode codes into sentences, one for each; greedily unless an option says otherwise.

    sritool encode runs/tiny-sri < lines.txt | sritool decode runs/tiny-sri

    sritool decode runs/tiny-sri --codes codes.npy --temperature 0.8

    The sentences come in the order of the codes; in a pipe, one per line and nothing else, as soon as they are known.

    Args:
        codes: Codes from a file, or - for stdin: TSV, CSV or numbers separated by spaces, with or without a header,
            JSON lines with z, or .npy.
    """
    form = output.lines_format()
    whole = form in FOR_PEOPLE
    config = decoding.config()
    opened = model.load("decoding with")
    given = given_codes(opened, codes)
    with output.progress(shown=len(given) > FEW) as report:
        parts = opened.decode_parts(given, config, seed, report=report)
        found = [*chain.from_iterable(parts)] if whole else decoding.emit_parts("sentence", parts, form)
    if whole:
        emit(decoding.table("sentence", found, form), form)
    elif note := decoding.cut_note(found):
        say(note)
    warn_of_collapse(opened)
