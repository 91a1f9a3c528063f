"""Tables of `sritool classify`: for people, models by numbers of labels; for programs, one figure per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import FOR_PEOPLE, Best, Table

if TYPE_CHECKING:
    from sritool.analysis.classification import Classification
    from sritool.analysis.classifiers import Accuracy


_FEW = 500  # test sentences; with fewer, the uncertainty exceeds the differences between methods


def accuracy_table(found: Classification, fmt: str) -> Table:
    """Return accuracies: for people, models by numbers of labels; for programs, one row per figure."""
    if fmt not in FOR_PEOPLE:
        return Table("", *for_programs(found), "\n".join(found.notes))
    columns = sorted({row.labels for row in found.rows if row.labels is not None})
    names = list(dict.fromkeys((row.name, row.method) for row in found.rows))
    by_place = {(row.name, row.labels): row for row in found.rows}
    rows: list[list[object]] = []
    for name, method in names:
        cells = [by_place.get((name, labels)) or by_place.get((name, None)) for labels in columns]
        shown = name if method in name else f"{name} ({method})"
        rows.append([shown, *(accuracy_cell(row, found.rows) if row else None for row in cells)])
    title = f"Accuracy in % on {found.data}, {found.tested:,} of {found.of:,} sentences, by number of labels"
    notes = [legend(found), *found.notes]
    return Table(title, ["", *(f"{labels:,}" for labels in columns)], rows, "\n".join(notes))


def for_programs(found: Classification) -> tuple[list[str], list[list[object]]]:
    """Return columns and rows, one figure per row."""
    columns = ["run", "method", "classifier", "labels", "used", "draws", "accuracy", "se", "low", "high"]
    columns += ["sd", "least", "most"]
    rows: list[list[object]] = []
    for row in found.rows:
        labels = [row.labels, row.used if row.labels is not None else None]
        figures = [len(row.shares), row.value, row.standard_error, *row.interval, row.deviation]
        figures += [min(row.shares), max(row.shares)] if len(row.shares) > 1 else [None, None]
        beside = [found.tested, found.of, len(found.classes), found.data]
        rows.append([row.name, row.method or None, row.classifier, *labels, *figures, *beside])
    return [*columns, "sentences", "of", "classes", "data"], rows


def accuracy_cell(row: Accuracy, rows: Sequence[Accuracy]) -> object:
    """Return a cell, marked if it is the best of several models at this number of labels."""
    rivals = [other for other in rows if other.method and other.labels == row.labels]
    best = len(rivals) > 1 and bool(row.method) and row.value == max(other.value for other in rivals)
    return Best(percent(row)) if best else percent(row)


def percent(row: Accuracy) -> str:
    """Format `71.2 ± 0.4 (70.8–71.9)`, mean, deviation and range of draws, or `71.2 (69.1–73.2)`, with interval."""
    if row.deviation is not None:
        spread = f"{100 * row.deviation:.1f} ({100 * min(row.shares):.1f}–{100 * max(row.shares):.1f})"
        return f"{100 * row.value:.1f} ± {spread if row.deviation else 0}"
    if row.labels is None:
        return f"{100 * row.value:.1f}"
    bounds = row.interval
    return f"{100 * row.value:.1f} ({100 * bounds.low:.1f}–{100 * bounds.high:.1f})"


def legend(found: Classification) -> str:
    """Explain `±` and brackets."""
    draws = sorted({len(row.shares) for row in found.rows if len(row.shares) > 1})
    over = " or ".join(map(str, draws))
    several = f"± standard deviation over {over} draws (0: seeds), in brackets their range" if draws else ""
    one = "for one draw, in brackets its 95 % interval"
    single = any(len(row.shares) == 1 and row.labels is not None for row in found.rows)
    parts = [several, one if single else ""]
    if found.tested < _FEW:
        widest = max(row.interval.high - row.interval.low for row in found.rows) / 2
        parts.append(f"{found.tested} test sentences alone leave ± {100 * widest:.0f} %")
    return "; ".join(filter(None, parts))


def confusion_tables(found: Classification, fmt: str) -> list[Table]:
    """Return, for people, a table per model and number of labels; for programs, one table with a count per row."""
    rows = [row for row in found.rows if row.method]
    if fmt not in FOR_PEOPLE:
        columns = ["run", "method", "classifier", "labels", "draws", "true", "predicted", "sentences"]
        cells = [
            [row.name, row.method, row.classifier, row.labels, len(row.shares), true, predicted, int(count)]
            for row in rows
            for true, counts in zip(found.classes, row.confusion, strict=True)
            for predicted, count in zip(found.classes, counts, strict=True)
        ]
        return [Table("", columns, cells, "\n".join(["sentences are summed over draws", *found.notes]))]
    tables = []
    for row in rows:
        draws = len(row.shares)
        title = f"{row.name}, {row.labels:,} labels ({row.classifier})"
        mean = f", mean of {draws} draws" if draws > 1 else ""
        cells = [
            [name, *(round(count / draws) for count in counts.tolist())]
            for name, counts in zip(found.classes, row.confusion, strict=True)
        ]
        heading = f"{title}{mean}: true class down, predicted across"
        tables.append(Table(heading, ["true, and predicted", *found.classes], cells))
    return tables
