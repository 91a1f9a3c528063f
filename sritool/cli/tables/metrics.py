"""Tables of metrics, with their errors, that `evaluate` and other commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import FOR_PEOPLE, Table
from sritool.cli.tables.figures import (
    HALF,
    RELIABILITY,
    figure_columns,
    half_of,
    raised_by_half,
    reliability_of,
    shown,
    value_columns,
    weights_of,
)

if TYPE_CHECKING:
    from sritool.evaluation.certificate import Certificate
    from sritool.evaluation.evaluate import Evaluation
    from sritool.evaluation.metrics import Estimate


def metrics_table(
    run: str, data: str, total: int, estimates: Sequence[Estimate], notes: Sequence[str], fmt: str
) -> Table:
    """Return one row per metric, with unit, counts and estimator; without any figure, the columns alone."""
    from sritool.evaluation.metrics import most_sentences

    people = fmt in FOR_PEOPLE
    most = most_sentences(estimates)
    # The title gives the counts; in the other formats, a table is copied without its title.
    counted = fmt != "table" or any(e.sentences < most for e in estimates)
    halves = people and any(e.unsettled is not None for e in estimates)
    rows: list[list[object]] = []
    for e in estimates:
        # To fit into 80 columns; every mean in nats is one over sentences.
        unit = e.unit.removesuffix("/sentence") if fmt == "table" else e.unit
        counts = [e.sentences, total] if counted else []
        half = [raised_by_half(e)] if halves else []
        value = value_columns(e, people).values()
        rows.append([e.metric, *value, *half, unit, *counts, e.draws, e.estimator])
        if not people:
            rows[-1] += [e.predictions, run, data, *reliability_of(e).values(), e.bound or None]
    columns = [
        "metric",
        *(["value ± se"] if people else ["value", "se"]),
        *([HALF] if halves else []),
        "unit",
    ]
    columns += [*(["sentences", "of"] if counted else []), "draws", "estimator"]
    columns += [] if people else ["predictions", "run", "data", *RELIABILITY, "bound"]
    title = f"{run} on {data}, {most} of {total} sentences{predicted(estimates)}"
    return Table(title, columns, rows, "\n".join(notes))


def reliability_table(estimates: Sequence[Estimate]) -> Table | None:
    """Return, for people, the figure at M/2, effective sample size and k̂; None without weights."""
    weighted = [e for e in estimates if e.reliability is not None]
    if not weighted:
        return None
    title = f"Weights of {weighted[0].estimator}, M = {weighted[0].draws} draws per sentence"
    return Table.of(title, [{"metric": e.metric, **weights_of(e)} for e in weighted])


def runs_table(found: Sequence[Evaluation], fmt: str) -> Table:
    """Return one row per run; figure and error share a column for people, and have two columns for programs."""
    people = fmt in FOR_PEOPLE
    halves = {run.run: half_of(run.estimates) for run in found}
    rows = []
    for run in found:
        by_name = {estimate.metric: estimate for estimate in run.estimates}
        row: dict[str, object] = {"run": run.run, "method": run.method}
        for metric in metrics_of(found):
            row |= figure_columns(metric, by_name.get(metric), people)
        if people and any(halves.values()):
            row[HALF] = halves[run.run]
        if fmt != "table":  # a table on a terminal has the counts in its title
            row |= {"sentences": run.measured, "of": run.total}
        row["estimator"] = estimator_of(run)
        if not people:
            row |= {"predictions": predictions_of(run.estimates), "data": run.data}
            row |= reliability_of(run.likelihood)
        rows.append(row)
    return Table.of(shared_title(found), rows, "\n".join(notes_of(found)))


def metrics_down_table(found: Sequence[Evaluation]) -> Table:
    """Return the transposed table for people, one column per run, for a narrow terminal."""
    cells = [{e.metric: shown(e) for e in run.estimates} for run in found]
    rows: list[list[object]] = [["method", *(run.method for run in found)]]
    rows += [[metric, *(cell.get(metric) for cell in cells)] for metric in metrics_of(found)]
    halves = [half_of(run.estimates) for run in found]
    rows += [[HALF, *halves]] if any(halves) else []
    rows.append(["estimator", *(estimator_of(run) for run in found)])
    return Table(shared_title(found), ["", *(run.run for run in found)], rows, "\n".join(notes_of(found)))


def sentence_table(found: Sequence[Evaluation]) -> Table:
    """Return one row per sentence; with several runs, the run comes first."""
    several = len(found) > 1
    rows = [({"run": run.run} if several else {}) | row for run in found for row in run.sentences]
    return Table.of(f"Sentences of {found[0].data}", rows)


def curve_table(found: Sequence[Evaluation], fmt: str) -> Table:
    """Return PPL and NLL from the first M/8, M/4, M/2 and all M draws."""
    people = fmt in FOR_PEOPLE
    rows = []
    for run in found:
        for ppl, nll in run.curve:
            row: dict[str, object] = {"run": run.run, "estimator": ppl.estimator, "draws": ppl.draws}
            row |= figure_columns("ppl", ppl, people) | figure_columns("nll", nll, people)
            rows.append(row if people else row | {"predictions": ppl.predictions})
    return Table.of(f"{shared_title(found)}, by draws per sentence", rows, "\n".join(notes_of(found)))


def certificate_table(found: Sequence[tuple[str, Certificate]], fmt: str) -> Table:
    """Return the bounds of log p(x) on sentences drawn from each model, and whether `adaptive` lies between them."""
    rows = []
    for run, bracket in found:
        bounds = [bracket.lower, bracket.adaptive, bracket.upper]
        for e in (*bounds, bracket.width, bracket.above_lower, bracket.below_upper):
            row = {"run": run, "quantity": e.metric, **value_columns(e, fmt in FOR_PEOPLE)}
            rows.append(row | {"unit": e.unit, "draws": e.draws, "estimator": e.estimator})
    first = found[0][1]
    title = f"{first.sentences} sentences drawn from each model, {first.rungs} rungs, {first.chains} chains"
    return Table.of(title, rows, "\n".join(f"{run}: {bracket.verdict}" for run, bracket in found))


def metrics_of(found: Sequence[Evaluation]) -> list[str]:
    """Return the metrics of all runs, in order of first appearance."""
    return list(dict.fromkeys(estimate.metric for run in found for estimate in run.estimates))


def estimator_of(run: Evaluation) -> str | None:
    """Return the estimator of log p(x), or else of the first figure; None without any figure."""
    figure = run.likelihood or next(iter(run.estimates), None)
    return figure and figure.estimator


def predictions_of(estimates: Iterable[Estimate]) -> int | None:
    """Return the number of tokens that the perplexity averages over, </s> included; None without a perplexity."""
    return next((e.predictions for e in estimates if e.metric == "ppl"), None)


def predicted(estimates: Iterable[Estimate]) -> str:
    """Return `predictions_of` for a title, like `, 82,430 predictions (with </s>)`; "" without it."""
    count = predictions_of(estimates)
    return "" if count is None else f", {count:,} predictions (with </s>)"


def shared_title(found: Sequence[Evaluation]) -> str:
    """Return the title of a table of runs: the data that all were measured on."""
    counts = {predicted(run.estimates) for run in found} - {""}
    shared = counts.pop() if len(counts) == 1 else ""  # else they are in the notes
    most = max(found, key=lambda run: run.measured)  # a run without figures has measured none
    return f"On {most.data}, {most.measured} of {most.total} sentences{shared}"


def notes_of(found: Sequence[Evaluation]) -> list[str]:
    """Return the notes below a table of runs: their own notes, and counts that differ between runs."""
    prefix = {run.run: f"{run.run}: " if len(found) > 1 else "" for run in found}
    notes = [prefix[run.run] + note for run in found for note in run.notes]
    counts = {run.run: predicted(run.estimates).removeprefix(", ") for run in found}
    if len({*counts.values()} - {""}) > 1:
        notes += [prefix[run] + count for run, count in counts.items() if count]
    for run in found:
        few = [e for e in run.estimates if e.sentences < run.measured]
        notes += [f"{prefix[run.run]}{e.metric} on {e.sentences}" for e in few]
    return notes
