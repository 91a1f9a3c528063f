"""`sritool sample`: sentences from the prior, or figures about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.formats import FOR_PEOPLE, Table, readable
from sritool.cli.options.decoding import FEW, DecodingOptions, given_codes
from sritool.cli.options.files import DataDirOpt, OutputOptions
from sritool.cli.options.measurement import SeedOpt
from sritool.cli.options.models import ModelOptions, warn_of_collapse
from sritool.cli.render import emit, fits
from sritool.cli.signatures import in_panel
from sritool.cli.streams import announce_stdin, say
from sritool.cli.tables.figures import with_error
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.analysis.class_samples import ClassSamples
    from sritool.analysis.samples import Figure, Figures
    from sritool.runs.model import Decoded

figures_option = in_panel("Figures")
SHOWN, MEASURED = 10, 1000  # sentences without -n


def sample(
    *,
    model: ModelOptions,
    n: Annotated[int | None, typer.Option("--n", "-n", min=1)] = None,
    codes: Annotated[str | None, typer.Option(metavar="FILE|-")] = None,
    label: Annotated[str | None, typer.Option("--class", metavar="LABEL")] = None,
    seed: SeedOpt = 0,
    metrics: Annotated[str | None, figures_option(metavar="NAMES")] = None,
    reference: Annotated[bool, figures_option("--reference")] = False,
    text: Annotated[str | None, figures_option(metavar="FILE|-")] = None,
    decoding: DecodingOptions,
    data_dir: DataDirOpt = Path("data"),
    output: OutputOptions,
) -> None:
    """Sample sentences: codes drawn from the prior, decoded one per line.

    sritool sample runs/tiny-sri -n 100 --temperature 0.8 | sort -u

    sritool sample runs/tiny-sri --metrics unique,distinct-2,self-bleu --reference

    sritool sample runs/tiny-sri --class positive --format tsv

    The same seed gives the same sentences, and -n 5 the first five of -n 10. reverse-ppl trains a small language
    model on the samples and tests it on real text, which takes a while.

    With --class, tables show which class two classifiers take each sample for: one of codes, after the sample is
    encoded again, and one of words alone. The note below gives the share of each, with its 95 % interval.

    Args:
        n: Number of sentences. [default: 10; 1000 for --metrics]
        codes: Decode these codes in place of draws from the prior: a file written by encode.
        label: Sample sentences of this class of a labelled corpus, from codes like those of its training sentences,
            and check them with two classifiers.
        metrics: Print figures about the sentences instead: unique, distinct-1, distinct-2, self-bleu, nll,
            reverse-ppl, separated by commas, or all.
        reference: Also print the same figures for as many real sentences.
        text: The real sentences, one per line, for --reference and reverse-ppl. [default: the test split, or valid
            where there is none]
    """
    from sritool.analysis.class_samples import sample_class, share_notes

    config = decoding.config()
    wanted = wanted_figures(metrics, reference, text, codes, n)
    form = output.format() if wanted else output.lines_format()
    if label is not None and codes is not None:
        raise UsageError("--class draws codes and --codes gives them; leave one of them out")
    opened = model.load("sampling from")
    if decoding.greedy is None and decoding.beam is None and config.greedy:
        config = replace(config, greedy=opened.default_decoding().greedy)
    given = None
    if codes is not None:
        given = given_codes(opened, codes)
        n = len(given)
    n = n or (MEASURED if wanted else SHOWN)
    given = opened.prior(n, seed) if given is None else given
    if not wanted and label is None and form not in FOR_PEOPLE:
        with output.progress(shown=n > FEW) as report:
            parts = opened.decode_parts(given, config, seed, report=report)
            found = decoding.emit_parts("sample", parts, form)
        say("\n".join(filter(None, [unique_note(found), decoding.cut_note(found)])))
        warn_of_collapse(opened)
        return
    of_class = None
    with output.progress(shown=n > FEW or label is not None) as report:
        if label is not None:
            of_class = sample_class(opened, label, n, config, seed, data_dir, report)
        found = of_class.sentences if of_class else opened.decode_whole(given, config, seed, report=report)
    verdicts = share_notes(of_class) if of_class else []
    if not wanted:
        table = decoding.table("sample", found, form, [unique_note(found), *verdicts])
        emit(with_verdicts(table, of_class) if of_class and form != "plain" else table, form)
        warn_of_collapse(opened)
        return
    from sritool.analysis import samples as task
    from sritool.evaluation.sentences import read_text

    real = None
    if reference or "reverse-ppl" in wanted:
        announce_stdin(text)
        own = read_text(Path(text)) if text is not None else None
        real = task.real_text(opened, own, data_dir, reference and "reverse-ppl" in wanted)
    with output.progress() as report:
        figures = task.figures(opened, found, wanted, seed, report, real, reference)
    figures.notes.extend(filter(None, [decoding.cut_note(found), *verdicts]))
    beside = real.name if real and reference else ""
    label_text = f" of class {of_class.label}" if of_class else ""
    emit(figures_table(figures, f"{n:,} samples{label_text} of {opened.path}", beside, form), form)
    warn_of_collapse(opened)


def unique_note(found: Sequence[Decoded]) -> str:
    """Return how many of the sentences differ."""
    return f"unique: {len({sentence.text for sentence in found})} of {len(found)}"


def with_verdicts(table: Table, samples: ClassSamples) -> Table:
    """Return a table of samples with their class, and the class that each classifier finds."""
    verdicts = zip(samples.by_codes, samples.by_words, strict=True)
    rows = [
        [*row, samples.label, by_codes, by_words]
        for row, (by_codes, by_words) in zip(table.rows, verdicts, strict=True)
    ]
    return table._replace(columns=[*table.columns, "class", "by codes", "by words"], rows=rows)


def wanted_figures(
    metrics: str | None, reference: bool, text: str | None, codes: str | None, n: int | None
) -> tuple[str, ...]:
    """Return the names of the figures asked for; raise UsageError for options that would have no effect."""
    from sritool.analysis.samples import parse_metrics

    if codes is not None and n is not None:
        raise UsageError("--codes says how many sentences there are; leave -n out")
    if codes == "-" and text == "-":
        raise UsageError("--codes and --text cannot both be standard input; give one of them a file")
    wanted = () if metrics is None else parse_metrics(metrics)
    if reference and not wanted:
        raise UsageError("--reference is for figures; add --metrics all, or some of them")
    if text is not None and not (reference or "reverse-ppl" in wanted):
        raise UsageError("--text is for --reference and for --metrics reverse-ppl; add one of them")
    return wanted


def figures_table(figures: Figures, title: str, real: str, form: str) -> Table:
    """Return one row per figure, with that of the real text beside it; for people, figure and error share a cell."""
    people, counted = form in FOR_PEOPLE, form != "table"  # a drawn table says the number in its title
    columns = ["metric", *(["value ± se"] if people else ["value", "se"])]
    if real:
        columns += ["real ± se"] if people else ["real", "real se"]
    columns += [*(["n"] if counted else []), "how"]
    rows: list[list[object]] = []
    for row in figures.rows:
        beside = cells(row.real, people) if real else []
        counts = [row.samples.sentences] if counted else []
        rows.append([row.metric, *cells(row.samples, people), *beside, *counts, row.how])
    notes = [*([f"real: {real}"] if real else []), *figures.notes]
    table = Table(title, columns, rows, "; ".join(notes))
    if form != "table" or fits(table):
        return table
    below = [*filter(None, [table.note]), *(f"{row.metric}: {row.how}" for row in figures.rows)]
    return Table(title, columns[:-1], [row[:-1] for row in rows], "\n".join(below))


def cells(figure: Figure | None, people: bool) -> list[object]:
    """Return a figure and its error, for people in one cell.

    The value is NaN where there are too few sentences; an error that is not finite is left out.
    """
    if figure is None:
        return [None] if people else [None, None]
    error = figure.standard_error if math.isfinite(figure.standard_error) else None
    if people:
        return [readable(figure.value) if error is None else with_error(figure.value, error)]
    return [figure.value, error]
