"""The table of `sritool compare`, for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Best, Table
from sritool.cli.tables.figures import (
    FOR_PEOPLE,
    HALF,
    RELIABILITY,
    WEIGHTS,
    difference_text,
    figure_cells,
    figure_columns,
    half_of,
    reliability_cells,
    shown,
    weights_of,
    with_error,
)
from sritool.cli.tables.metrics import measured, predicted, predictions_of
from sritool.cli.units import format_duration

if TYPE_CHECKING:
    from sritool.analysis.comparison import Comparison, Row
    from sritool.evaluation.metrics import Estimate

ON_WEIGHTS = ": effective sample size "
"""In the note on a run's weights, which its own table or columns hold."""


def comparison_table(found: Comparison, columns: Sequence[str], fmt: str) -> Table:
    """One row a run; figures and their errors in one column for people, in two for programs.

    Args:
        found: The runs and their figures.
        columns: As `check_columns` takes them.
        fmt: Any format but auto.
    """
    names = shown_columns(found.rows, columns)
    cells = for_people(found, names) if fmt in FOR_PEOPLE else for_programs(found, names)
    notes = [note for note in found.notes if fmt in ("markdown", "latex") or ON_WEIGHTS not in note]
    if fmt in FOR_PEOPLE and any(isinstance(cell, Best) for row in cells[1] for cell in row):
        notes.append("the best of a column stands out; figures that round to the same are equally good")
    return Table(title_of(found), *cells, "\n".join(notes))


def differences_table(found: Comparison, columns: Sequence[str]) -> Table | None:
    """For people: paired differences to the reference, a star beside what is beyond two errors; None without any.

    A figure that is 0 for the reference, as all about z are without z, is its own difference and is left out.
    """
    by_run = {row.name: found.differences(row) for row in found.rows}
    terms = next((row.evaluation.terms for row in found.rows if row.name == found.against), {})
    told = {name for of in by_run.values() for name in of if terms[name].any()}
    names = [name for name in shown_columns(found.rows, columns) if name in told]
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
    """For a terminal: how far each run's likelihood can be believed; None where nothing was weighed."""
    pairs = [(row.name, row.estimate("nll") or row.likelihood) for row in found.rows]
    rows = [(name, e.metric, *weights_of(e)) for name, e in pairs if e and e.reliability]
    return Table("Weights", ("run", "of", *WEIGHTS), rows) if rows else None


def shown_columns(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Those asked for, and the perplexity per original word beside that per token where there is one."""
    names = list(dict.fromkeys(columns))
    if "ppl" in names and any(row.estimate("ppl-word") for row in rows):
        names.insert(names.index("ppl") + 1, "ppl-word")
    return names


def in_order(rows: Sequence[Row], sort: str | None) -> list[Row]:
    """Sorted: the best first where a column has a best, else the lowest; runs without a figure last.

    Args:
        rows: The runs.
        sort: `run`, `method` or a column; None: as they are.
    """
    from sritool.analysis.comparison import BETTER

    if sort is None:
        return list(rows)
    if sort in ("run", "method"):
        return sorted(rows, key=lambda row: row.name if sort == "run" else row.evaluation.method)
    sign = -BETTER.get(sort, -1)

    def key(row: Row) -> float:
        value = value_of(row, sort)
        return math.inf if value is None or math.isnan(value) else sign * value

    return sorted(rows, key=key)


def value_of(row: Row, name: str) -> float | None:
    """The number of a column, None where there is none."""
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


def for_people(found: Comparison, names: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows; the best of a column stands out where its figures compare."""
    from sritool.analysis.comparison import TRAINING_COLUMNS

    metrics = [name for name in names if name not in TRAINING_COLUMNS]
    training = [name for name in names if name in TRAINING_COLUMNS]
    part = any(row.training.sentences < row.training.of for row in found.rows)
    columns = ["run", "method", *(["corpus"] if not found.one_corpus else []), *metrics, "estimator"]
    halves = [half_of(row.evaluation.estimates) for row in found.rows]
    columns += [*([HALF] if any(halves) else []), *(["trained on"] if part else []), *training]
    best = {name: best_of(found, name) for name in names}
    cells: list[list[object]] = []
    for row, half in zip(found.rows, halves, strict=True):

        def cell(name: str, row: Row = row) -> object:
            return Best(cell_of(row, name)) if row.name in best[name] else cell_of(row, name)

        corpus = [row.corpus] if not found.one_corpus else []
        cells.append([row.name, row.evaluation.method, *corpus, *map(cell, metrics), estimator_of(row)])
        cells[-1] += [
            *([half] if any(halves) else []),
            *([row.training.sentences] if part else []),
            *map(cell, training),
        ]
    return columns, cells


def for_programs(found: Comparison, names: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows, in full and with what each figure rests on; after a figure, the paired difference."""
    from sritool.analysis.comparison import TRAINING_COLUMNS
    from sritool.evaluation.paired import PAIRED

    metrics = [name for name in names if name not in TRAINING_COLUMNS]
    training = [name for name in names if name in TRAINING_COLUMNS]
    columns = ["run", "method", "corpus"]
    for name in metrics:
        columns += figure_columns([name], people=False)
        if found.against and name.removesuffix("-word") in PAIRED:
            columns += [f"{name} diff", f"{name} diff se"]
    columns += [
        *(["against"] if found.against else []),
        "estimator",
        "draws",
        "data",
        "sentences",
        "of",
        "predictions",
        *RELIABILITY,
    ]
    columns += ["training sentences", "training split"]
    for name in training:
        columns += {"epochs": ["epochs", "planned epochs"], "time": ["seconds"]}.get(name, [name])
    cells: list[list[object]] = []
    for row in found.rows:
        own, likelihood, differences = row.evaluation, row.likelihood, found.differences(row)
        first = likelihood or next(iter(own.estimates), None)
        line: list[object] = [row.name, own.method, row.corpus]
        for name in metrics:
            line += figure_cells(row.estimate(name), people=False)
            if f"{name} diff" in columns:
                line += differences[name][:2] if name in differences else (None, None)
        line += [found.against] if found.against else []
        line += [first and first.estimator, first and first.draws, own.data, measured(own), own.total]
        line.append(predictions_of(own.estimates))
        line += [*reliability_cells(likelihood), row.training.sentences, row.training.of]
        for name in training:
            line += [value_of(row, name), *([row.training.planned] if name == "epochs" else [])]
        cells.append(line)
    return columns, cells


def cell_of(row: Row, name: str) -> object:
    """A figure as people read it."""
    training = row.training
    if name == "time":
        text = format_duration(training.seconds)
        return text if training.seconds >= 3600 else f"0:{text:0>5}"  # hours for all: 47:36 is none
    if name == "epochs":
        return f"{training.epochs}/{training.planned}"
    if name == "tokens/s":
        return None if training.tokens_per_second is None else round(training.tokens_per_second)
    if name == "parameters":
        return training.parameters
    estimate = row.estimate(name)
    return estimate and shown(estimate)


def estimator_of(row: Row) -> str | None:
    """How log p(x) was estimated, with its draws a sentence."""
    estimate = row.likelihood
    if estimate is None:
        return None
    return f"{estimate.estimator} {estimate.draws}" if estimate.draws else estimate.estimator


def best_of(found: Comparison, name: str) -> set[str]:
    """Return the best runs of a column: several that round to the same, none where all do.

    A use of z that is within two standard errors of none is no merit.
    """
    from sritool.analysis.comparison import BETTER
    from sritool.evaluation.estimates import WEIGHTED

    weighed = name.removesuffix("-word") in WEIGHTED
    if name not in BETTER or not found.one_corpus or (weighed and not found.one_estimator):
        return set()
    values = {row.name: value_of(row, name) for row in found.rows}
    known = {run: value for run, value in values.items() if value is not None and math.isfinite(value)}
    if not known:
        return set()
    winner = max(known, key=lambda run: BETTER[name] * known[run])
    row = next(row for row in found.rows if row.name == winner)
    estimate = row.estimate(name)
    if BETTER[name] > 0 and estimate and estimate.value <= 2 * estimate.standard_error:
        return set()
    places = decimals(estimate) if estimate else 0
    equal = {run for run, value in known.items() if round(value, places) == round(known[winner], places)}
    return equal if len(equal) < len(known) else set()


def decimals(estimate: Estimate) -> int:
    """Places after the point with which an estimate is shown."""
    return len(with_error(estimate.value, estimate.standard_error).partition(" ")[0].partition(".")[2])


def title_of(found: Comparison) -> str:
    """What was measured on."""
    first = found.rows[0].evaluation
    if not found.one_corpus:
        return f"On {first.data.rpartition(' ')[2]} of each run's own corpus"
    if not first.estimates:
        return f"On {first.data}"
    return f"On {first.data}, {measured(first)} of {first.total} sentences{predicted(first.estimates)}"
