"""Tables of `sritool noisy-recon`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sritool.cli.formats import Table
from sritool.cli.tables.figures import figure_columns, shown

if TYPE_CHECKING:
    from sritool.analysis.noisy_recon import NoisyRecon

CHANGES = {"swap": "swaps", "drop": "words left out", "replace": "words replaced"}


def recon_table(found: Sequence[NoisyRecon]) -> Table:
    """Return recon for people, as in the paper: a row per run, a column per k."""
    columns = ["run", "method", *(f"k = {k}" for k in found[0].counts)]
    rows = [[run.run, run.method, *map(shown, run.recon)] for run in found]
    return Table(f"recon, z inferred after k {changes_of(found[0])}: {measured_on(found[0])}", columns, rows)


def increase_table(found: Sequence[NoisyRecon], beside: Sequence[str] = ()) -> Table:
    """Return, for people, the increase of each k over k = 0, and the cost of another sentence's z."""
    columns = ["run", *(f"k = {k}" for k in found[0].counts[1:]), "permuted"]
    rows = [[run.run, *map(shown, run.increase[1:]), run.permuted and shown(run.permuted)] for run in found]
    return Table("increase over k = 0, paired by sentence", columns, rows, "\n".join(notes_of(found, beside)))


def long_table(found: Sequence[NoisyRecon], beside: Sequence[str] = ()) -> Table:
    """Return, for programs, a row for each run and k."""
    rows = []
    for run in found:
        for place, k in enumerate(run.counts):
            recon = run.recon[place]
            row: dict[str, object] = {"run": run.run, "method": run.method, "noise": run.noise, "k": k}
            row |= figure_columns("recon", recon, people=False)
            row |= figure_columns("increase", run.increase[place], people=False)
            row |= figure_columns("permuted", run.permuted, people=False)
            row |= {"changed": run.changed[place], "short": run.short[place]}
            row |= {"sentences": recon.sentences, "of": run.total, "draws": recon.draws}
            rows.append(row | {"estimator": recon.estimator, "data": run.data})
    return Table.of("recon from noisy sentences", rows, "\n".join(notes_of(found, beside)))


def notes_of(found: Sequence[NoisyRecon], beside: Sequence[str]) -> Iterator[str]:
    """Yield the notes below the figures."""
    yield from beside
    for run in found:
        prefix = f"{run.run}: " if len(found) > 1 else ""
        yield from (prefix + note for note in run.notes)
    first = found[0]
    lacking = [(k, short) for k, short in zip(first.counts, first.short, strict=True) if short]
    if lacking:
        listed = ", ".join(f"{short} at k = {k}" for k, short in lacking)
        yield (
            f"of {first.recon[0].sentences} sentences, too short for k {changes_of(first)}: {listed}; "
            "they have as many as fit"
        )
    yield "permuted: another sentence's z in place of a sentence's own; a model that ignores z has a flat row"


def measured_on(run: NoisyRecon) -> str:
    """Return the data, and how many of its sentences were measured."""
    return f"{run.data}, {run.recon[0].sentences} of {run.total} sentences"


def changes_of(run: NoisyRecon) -> str:
    """Return the name of the changes, in the plural."""
    return CHANGES.get(run.noise, f"changes of {run.noise}")
