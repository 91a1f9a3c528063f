"""`sritool interpolate`: sentences along a path from one code to another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from sritool.cli.formats import Table
from sritool.cli.options.decoding import FEW, DecodingOptions
from sritool.cli.options.files import OutputOptions
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions, report_reading, warn_of_collapse
from sritool.cli.render import emit, emit_all
from sritool.cli.signatures import in_panel
from sritool.cli.streams import announce_stdin
from sritool.errors import DataError, UsageError

if TYPE_CHECKING:
    from sritool.analysis.interpolation import Pair, Smoothness
    from sritool.runs.model import Decoded

path_option = in_panel("Path")
SHOWN = 60  # characters of a sentence in a title


def interpolate(
    *,
    model: ModelOptions,
    between: Annotated[list[str] | None, path_option(metavar='"A" "B"')] = None,
    text: Annotated[str | None, path_option(metavar="FILE|-")] = None,
    n: Annotated[int | None, path_option("--n", "-n", min=1)] = None,
    points: Annotated[int, path_option(min=2)] = 7,
    spherical: Annotated[bool, path_option("--spherical/--linear")] = False,
    chains: Annotated[int | None, path_option(min=1)] = None,
    seed: SeedOpt = 0,
    decoding: DecodingOptions,
    output: OutputOptions,
) -> None:
    """Interpolate between two codes, and decode along the way.

    sritool interpolate runs/tiny-sri --between "a cat sleeps" "the old man sings" --points 9

    sritool interpolate runs/tiny-sri -n 100 --spherical > lines.tsv

    The ends are the codes of two sentences or, by default, two draws from the prior. Beside each sentence is the
    number of words inserted, deleted or replaced since the one before it; = marks a repeated one. The note below
    gives the mean and, for scale, the same for two independent samples of the model.

    Args:
        between: Two sentences to interpolate between; repeatable. [default: draws from the prior]
        text: Pairs of sentences from a file, or - for stdin: one pair per line, separated by a tab.
        n: Number of pairs of draws from the prior. [default: 3]
        points: Number of sentences along the way, including both ends.
        spherical: Go along the arc, with norms between those of the ends, or along the straight line.
        chains: Take the mean of this many draws of z as a sentence's code. [default: the mean of q(z|x), as from
            encode --mean]
    """
    from sritool.analysis import interpolation as task

    form = output.format()
    config = decoding.config()
    pairs = given_pairs(between, text, n)
    if chains is not None and not (pairs or text):
        raise UsageError("--chains is for codes of sentences; leave it out, or give --between or --text")
    opened = model.load("interpolating with")
    opened.require_latent("interpolate")
    if text is not None:
        announce_stdin(text, "pairs of sentences separated by a tab")
        pairs = task.read_pairs(text)
    if pairs:
        report_reading(opened, [sentence for pair in pairs for sentence in pair])
    count = len(pairs) or n or 3
    with output.progress(shown=count * points > FEW) as report:
        if pairs:
            ends = task.sentence_pairs(opened, pairs, chains, seed, report)
        else:
            ends = task.prior_pairs(opened, count, seed)
        lines = task.interpolate(opened, ends, task.Way(points, spherical), config, seed, report)
        texts = [[sentence.text for sentence in line] for line in lines]
        found = task.smoothness(opened, texts, config, seed)
    edits = [task.edits(line) for line in texts]
    cut = decoding.cut_note([sentence for line in lines for sentence in line])
    note = "\n".join(filter(None, [note_on(found), cut]))
    if form == "table":
        emit_all(drawn_tables(pairs, texts, edits, note), form)
    else:
        emit(one_table(lines, edits, note), form)
    warn_of_collapse(opened)


def given_pairs(between: list[str] | None, text: str | None, n: int | None) -> list[Pair]:
    """Return the pairs of --between; raise UsageError for pairs from two sources, or an invalid pair."""
    from sritool.analysis.interpolation import parse_pair

    asked = {"--between": between, "--text": text, "-n": n}
    two = [name for name, value in asked.items() if value is not None][:2]
    if len(two) == 2:
        raise UsageError(f"{two[0]} and {two[1]} both say what to go between; leave one of them out")
    try:
        return [parse_pair(pair, "--between") for pair in between or []]
    except DataError:
        raise UsageError('--between takes two sentences without tabs: --between "one" "other"') from None


def one_table(lines: list[list[Decoded]], edits: list[list[int]], note: str) -> Table:
    """Return a table for programs, one row per sentence."""
    rows = [
        (pair, position, text, None if position == 1 else changed, position > 1 and changed == 0, ended)
        for pair, (line, changes) in enumerate(zip(lines, edits, strict=True), 1)
        for position, ((text, ended), changed) in enumerate(zip(line, [0, *changes], strict=True), 1)
    ]
    return Table("Interpolation", ("pair", "position", "sentence", "edits", "repeated", "ended"), rows, note)


def drawn_tables(pairs: list[Pair], lines: list[list[str]], edits: list[list[int]], note: str) -> list[Table]:
    """Return tables for people, one per pair: the position as a percentage, = for a repeated sentence."""
    from textwrap import shorten

    tables = []
    for number, (line, changes) in enumerate(zip(lines, edits, strict=True)):
        title = f"Pair {number + 1}: draws of the prior"
        if pairs:
            one, other = (shorten(sentence, SHOWN, placeholder=" …") for sentence in pairs[number])
            title = f"Pair {number + 1}: {one} → {other}"
        marks = ["", *(str(changed) if changed else "=" for changed in changes)]
        rows = [
            (f"{100 * i / (len(line) - 1):.0f} %", mark, sentence)
            for i, (mark, sentence) in enumerate(zip(marks, line, strict=True))
        ]
        tables.append(Table(title, ("way", "edits", "sentence"), rows))
    tables[-1] = tables[-1]._replace(note=note)
    return tables


def note_on(found: Smoothness) -> str:
    """Return a note on the smoothness, in one line."""
    pairs = (found.neighbours, found.neighbours_error), (found.strangers, found.strangers_error)
    near, far = (
        f"{value:.1f}" + (f" ± {error:.1f}" if math.isfinite(error) else "") for value, error in pairs
    )
    return (
        f"edits between neighbours: {near}; between two independent samples: {far}; "
        f"distinct sentences of a line: {100 * found.distinct:.0f} %"
    )
