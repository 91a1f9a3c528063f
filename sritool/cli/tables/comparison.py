"""The table of `sritool compare`, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import FOR_PEOPLE, Best, Table
from sritool.cli.tables.figures import (
    HALF,
    difference_text,
    figure_columns,
    half_of,
    reliability_of,
    shown,
    weights_of,
    with_error,
)
from sritool.cli.tables.metrics import predicted, predictions_of
from sritool.cli.units import format_duration

if TYPE_CHECKING:
    from sritool.analysis.comparison import Comparison, Row

_WEIGHTS_NOTE = ": effective sample size "
"""Marks the note of `evaluation.notes` on a run's weights, which other formats show in columns of their own."""


def comparison_table(found: Comparison, columns: Sequence[str], fmt: str) -> Table:
    """Return one row per run; figure and error share a column for people, and have two columns for programs."""
    names = shown_columns(found.rows, columns)
    rows = for_people(found, names) if fmt in FOR_PEOPLE else for_programs(found, names)
    notes = [note for note in found.notes if fmt in ("markdown", "latex") or _WEIGHTS_NOTE not in note]
    if fmt in FOR_PEOPLE and any(isinstance(cell, Best) for row in rows for cell in row.values()):
        notes.append(
            "the best figure of a column is marked (bold, or ^); figures that round to the same are equally good"
        )
    return Table.of(title_of(found), rows, "\n".join(notes))


def differences_table(found: Comparison, columns: Sequence[str]) -> Table | None:
    """Return, for people, paired differences to the reference, with a star beyond two errors; None without any.

    Metrics that are 0 for the reference, like those of z for a model without z, are left out: there, the difference
    equals the figure.
    """
    by_run = {row.name: found.differences(row) for row in found.rows}
    terms = next((row.evaluation.terms for row in found.rows if row.name == found.against), {})
    informative = {name for of in by_run.values() for name in of if terms[name].any()}
    names = [name for name in shown_columns(found.rows, columns) if name in informative]
    if not names:
        return None
    rows = []
    for run, of in by_run.items():
        cells = [
            (one := of.get(name)) and difference_text(one.value, one.standard_error, one.is_clear)
            for name in names
        ]
        rows += [[run, *cells]] if of else []
    note = f"*: more than two standard errors from {found.against}, on the same sentences"
    return Table(f"Differences to {found.against}, sentence by sentence", ["run", *names], rows, note)


def weights_table(found: Comparison) -> Table | None:
    """Return, for a terminal, the reliability of each run's likelihood; None if no figure has weights."""
    pairs = [(row.name, row.estimate("nll") or row.evaluation.likelihood) for row in found.rows]
    rows = [{"run": name, "of": e.metric, **weights_of(e)} for name, e in pairs if e and e.reliability]
    return Table.of("Weights", rows) if rows else None


def shown_columns(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Return the requested columns, with ppl-word added after ppl if a run has it."""
    names = list(dict.fromkeys(columns))
    if "ppl" in names and any(row.estimate("ppl-word") for row in rows):
        names.insert(names.index("ppl") + 1, "ppl-word")
    return names


def in_order(rows: Sequence[Row], sort: str | None) -> list[Row]:
    """Sort the runs: the best first if the column has a best, else the lowest; runs without a figure last."""
    from sritool.analysis.comparison import better

    if sort is None:
        return list(rows)
    if sort in ("run", "method"):
        return sorted(rows, key=lambda row: row.name if sort == "run" else row.evaluation.method)
    sign = -(better(sort) or -1)

    def key(row: Row) -> float:
        value = value_of(row, sort)
        return math.inf if value is None or math.isnan(value) else sign * value

    return sorted(rows, key=key)


def value_of(row: Row, name: str) -> float | None:
    """Return a run's number in a column, or None."""
    training = row.training
    numbers = {
        "parameters": training.parameters,
        "tokens/s": training.tokens_per_second,
        "time": training.seconds,
        "epochs": training.epochs,
    }
    if name in numbers:
        return numbers[name]
    estimate = row.estimate(name)
    return estimate and estimate.value


def for_people(found: Comparison, names: Sequence[str]) -> list[dict[str, object]]:
    """Return one row per run; the best of a column is marked if its figures can be compared."""
    from sritool.analysis.comparison import TRAINING_COLUMNS

    halves = [half_of(row.evaluation.estimates) for row in found.rows]
    part = any(row.training.sentences < row.training.of for row in found.rows)
    best = {name: best_of(found, name) for name in names}
    rows = []
    for run, half in zip(found.rows, halves, strict=True):
        cells = {name: cell_of(run, name) for name in names}
        cells = {name: Best(cell) if run.name in best[name] else cell for name, cell in cells.items()}
        row: dict[str, object] = {"run": run.name, "method": run.evaluation.method}
        row |= {} if found.one_corpus else {"corpus": run.corpus}
        row |= {name: cells[name] for name in names if name not in TRAINING_COLUMNS}
        row["estimator"] = estimator_and_draws(run)
        row |= {HALF: half} if any(halves) else {}
        row |= {"trained on": run.training.sentences} if part else {}
        rows.append(row | {name: cells[name] for name in names if name in TRAINING_COLUMNS})
    return rows


def for_programs(found: Comparison, names: Sequence[str]) -> list[dict[str, object]]:
    """Return one row per run in full, with counts and estimators; a paired difference follows its figure."""
    from sritool.analysis.comparison import TRAINING_COLUMNS
    from sritool.evaluation.metric_table import PAIRED, metric_name

    rows = []
    for run in found.rows:
        own, differences = run.evaluation, found.differences(run)
        first = own.likelihood or next(iter(own.estimates), None)
        row: dict[str, object] = {"run": run.name, "method": own.method, "corpus": run.corpus}
        for name in (name for name in names if name not in TRAINING_COLUMNS):
            row |= figure_columns(name, run.estimate(name), people=False)
            if found.against and metric_name(name) in PAIRED:
                paired = differences.get(name)
                row[f"{name} diff"] = paired and paired.value
                row[f"{name} diff se"] = paired and paired.standard_error
        row |= {"against": found.against} if found.against else {}
        row |= {"estimator": first and first.estimator, "draws": first and first.draws}
        row |= {"data": own.data, "sentences": own.measured, "of": own.total}
        row |= {"predictions": predictions_of(own.estimates), **reliability_of(own.likelihood)}
        row |= {"training sentences": run.training.sentences, "training split": run.training.of}
        for name in (name for name in names if name in TRAINING_COLUMNS):
            row["seconds" if name == "time" else name] = value_of(run, name)
            row |= {"planned epochs": run.training.planned} if name == "epochs" else {}
        rows.append(row)
    return rows


def cell_of(row: Row, name: str) -> object:
    """Format a figure for people."""
    training, value = row.training, value_of(row, name)
    if name == "time":
        text = format_duration(training.seconds)
        return text if text.count(":") == 2 else f"0:{text:0>5}"  # always h:mm:ss
    if name == "epochs":
        return f"{training.epochs}/{training.planned}"
    if estimate := row.estimate(name):
        return shown(estimate)
    return value and round(value)  # a training column


def estimator_and_draws(row: Row) -> str | None:
    """Return the estimator of log p(x), with its draws per sentence."""
    estimate = row.evaluation.likelihood
    if estimate is None:
        return None
    return f"{estimate.estimator} {estimate.draws}" if estimate.draws else estimate.estimator


def best_of(found: Comparison, name: str) -> set[str]:
    """Return the best runs of a column: several if they round to the same, none if all do.

    A figure that should be high but is within two standard errors of 0 is no merit.
    """
    from sritool.analysis.comparison import better
    from sritool.evaluation.metric_table import WEIGHTED, metric_name

    sign, weighed = better(name), metric_name(name) in WEIGHTED
    if not sign or not found.one_corpus or (weighed and not found.one_estimator):
        return set()
    values = {row.name: value_of(row, name) for row in found.rows}
    known = {run: value for run, value in values.items() if value is not None and math.isfinite(value)}
    if not known:
        return set()
    winner = max(known, key=lambda run: sign * known[run])
    row = next(row for row in found.rows if row.name == winner)
    estimate = row.estimate(name)
    if sign > 0 and estimate and estimate.value <= 2 * estimate.standard_error:
        return set()
    # Round to the decimals that are shown.
    text = with_error(estimate.value, estimate.standard_error) if estimate else ""
    places = len(text.partition(" ")[0].partition(".")[2])
    equal = {run for run, value in known.items() if round(value, places) == round(known[winner], places)}
    return equal if len(equal) < len(known) else set()


def title_of(found: Comparison) -> str:
    """Return the title: the data that was measured on."""
    most = max((row.evaluation for row in found.rows), key=lambda run: run.measured)
    if not found.one_corpus:
        return f"On {most.data.rpartition(' ')[2]} of each run's own corpus"
    if not most.estimates:
        return f"On {most.data}"
    return f"On {most.data}, {most.measured} of {most.total} sentences{predicted(most.estimates)}"
