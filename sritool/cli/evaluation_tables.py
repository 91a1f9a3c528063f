"""Tables of `sritool evaluate` beside that of one run's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Table
from sritool.cli.tables import FOR_PEOPLE, RELIABILITY, figure, reliability_cells, with_error

if TYPE_CHECKING:
    from sritool.evaluation.certificate import Certificate
    from sritool.evaluation.evaluate import Evaluation
    from sritool.evaluation.metrics import Estimate


def runs_table(found: Sequence[Evaluation], fmt: str) -> Table:
    """One row a run; figures and their errors in one column for people, in two for programs."""
    metrics = metrics_of(found)
    people = fmt in FOR_PEOPLE
    figures = metrics if people else [name for m in metrics for name in (m, f"{m} se")]
    counts = ["sentences", "of"] if fmt != "table" else []  # which has a title to say it in
    rows: list[list[object]] = []
    for run in found:
        by_name = {estimate.metric: estimate for estimate in run.estimates}
        likelihood = likelihood_of(run)
        row: list[object] = [run.run, run.method]
        for metric in metrics:
            estimate = by_name.get(metric)
            pair = (figure(estimate), estimate.standard_error) if estimate else None
            row += [pair and with_error(*pair)] if people else (pair or [None, None])
        row += [*([measured(run), run.total] if counts else []), (likelihood or run.estimates[0]).estimator]
        rows.append(row if people else [*row, run.data, *reliability_cells(likelihood)])
    columns = ["run", "method", *figures, *counts, "estimator", *([] if people else ["data", *RELIABILITY])]
    return Table(shared_title(found), columns, rows, "\n".join(notes_of(found)))


def metrics_down_table(found: Sequence[Evaluation]) -> Table:
    """The same for people with one column a run, for a terminal on which a row a run is too wide."""
    cells = [{e.metric: with_error(figure(e), e.standard_error) for e in run.estimates} for run in found]
    rows: list[list[object]] = [["method", *(run.method for run in found)]]
    rows += [[metric, *(cell.get(metric) for cell in cells)] for metric in metrics_of(found)]
    rows.append(["estimator", *((likelihood_of(run) or run.estimates[0]).estimator for run in found)])
    return Table(shared_title(found), ["", *(run.run for run in found)], rows, "\n".join(notes_of(found)))


def sentence_table(found: Sequence[Evaluation]) -> Table:
    """A row a sentence; with several runs, the run first."""
    several = len(found) > 1
    names = list(dict.fromkeys(name for run in found for row in run.sentences for name in row))
    names = [*(name for name in names if name != "sentence"), "sentence"]
    rows = [
        [*([run.run] if several else []), *(row.get(name) for name in names)]
        for run in found
        for row in run.sentences
    ]
    return Table(f"Sentences of {found[0].data}", [*(["run"] if several else []), *names], rows)


def curve_table(found: Sequence[Evaluation], fmt: str) -> Table:
    """PPL and NLL against the number of draws, from the same draws: M/8, M/4, M/2, M."""
    people = fmt in FOR_PEOPLE
    rows: list[list[object]] = []
    for run in found:
        for ppl, nll in run.curve:
            pairs = [(e.value, e.standard_error) for e in (ppl, nll)]
            cells = (
                [with_error(*pair) for pair in pairs] if people else [cell for pair in pairs for cell in pair]
            )
            rows.append([run.run, ppl.estimator, ppl.draws, *cells])
    names = ["ppl", "nll"] if people else ["ppl", "ppl se", "nll", "nll se"]
    return Table(
        f"{shared_title(found)}, by draws a sentence",
        ["run", "estimator", "draws", *names],
        rows,
        "\n".join(notes_of(found)),
    )


def certificate_table(found: Sequence[tuple[str, Certificate]], fmt: str) -> Table:
    """log p(x) of sentences of the model itself between its bounds, and whether `adaptive` lies inside."""
    people = fmt in FOR_PEOPLE
    rows: list[list[object]] = []
    for run, bracket in found:
        bounds = [bracket.lower, bracket.adaptive, bracket.upper]
        for e in (*bounds, bracket.width, bracket.above_lower, bracket.below_upper):
            pair = [with_error(e.value, e.standard_error)] if people else [e.value, e.standard_error]
            rows.append([run, e.metric, *pair, e.unit, e.draws, e.estimator])
    first = found[0][1]
    value = ["value ± se"] if people else ["value", "se"]
    title = f"{first.sentences} sentences drawn from each model, {first.rungs} rungs, {first.chains} chains"
    notes = [f"{run}: {bracket.verdict}" for run, bracket in found]
    return Table(title, ["run", "quantity", *value, "unit", "draws", "estimator"], rows, "\n".join(notes))


def metrics_of(found: Sequence[Evaluation]) -> list[str]:
    return list(dict.fromkeys(estimate.metric for run in found for estimate in run.estimates))


def measured(run: Evaluation) -> int:
    """Sentences that were measured."""
    return max((estimate.sentences for estimate in run.estimates), default=0)


def likelihood_of(run: Evaluation) -> Estimate | None:
    by_name = {estimate.metric: estimate for estimate in run.estimates}
    return by_name.get("ppl") or by_name.get("nll")


def shared_title(found: Sequence[Evaluation]) -> str:
    return f"On {found[0].data}, {measured(found[0])} of {found[0].total} sentences"


def notes_of(found: Sequence[Evaluation]) -> list[str]:
    prefix = {run.run: f"{run.run}: " if len(found) > 1 else "" for run in found}
    notes = [prefix[run.run] + note for run in found for note in run.notes]
    for run in found:
        few = [e for e in run.estimates if e.sentences < measured(run)]
        notes += [f"{prefix[run.run]}{e.metric} on {e.sentences}" for e in few]
    return notes
