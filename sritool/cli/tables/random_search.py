"""The trials of a random search as a table, and the record of the search in Markdown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sritool._version import __version__
from sritool.cli.formats import FOR_PEOPLE, Best, Table, exact, markdown_lines
from sritool.cli.tables.figures import difference_text, figure_columns
from sritool.cli.tables.reproduction import machine_line

if TYPE_CHECKING:
    from sritool.analysis.random_search import Result, Search
    from sritool.cli.child import Done


def trials_table(search: Search, found: Sequence[Result], failed: Mapping[str, Done], fmt: str) -> Table:
    """Return a row a trial, the best first; `failed` has the runs whose command failed, with how."""
    from sritool.analysis.random_search import verdict

    title = f"Random search: {search.plan.request.corpus}, {search.plan.request.methods[0]}"
    rows = [_for_people(search, one) if fmt in FOR_PEOPLE else _for_programs(search, one) for one in found]
    for row, one in zip(rows, found, strict=True):
        row["state"] = _state(one, failed)
    if fmt in FOR_PEOPLE and found[0].estimate is not None:
        rows[0][search.metric] = Best(rows[0][search.metric])
    note = [*verdict(found), *(["*: beyond two standard errors"] if fmt in FOR_PEOPLE else [])]
    return Table.of(title, rows, "\n".join(note))


def _for_people(search: Search, one: Result) -> dict[str, object]:
    state, paired = one.state, one.difference
    cell = paired and difference_text(paired.value, paired.standard_error, paired.is_clear)
    return {
        "trial": one.trial.number,
        **dict(zip(_short(search.keys), map(exact, search.values(one.trial)), strict=True)),
        **figure_columns(search.metric, one.estimate, people=True),
        "minus trial 0": cell,
        "epochs": state.epochs if state.folder else None,
        "steps": state.steps if state.folder else None,
        "minutes": round(state.seconds / 60, 2) if state.folder else None,
    }


def _short(keys: Sequence[str]) -> list[str]:
    """The settings without their sections, where that tells them from each other and from the other columns."""
    last = [key.rpartition(".")[2] for key in keys]
    return [
        key if name == "steps" or last.count(name) > 1 else name for key, name in zip(keys, last, strict=True)
    ]


def _for_programs(search: Search, one: Result) -> dict[str, object]:
    state, paired = one.state, one.difference
    return {
        "trial": one.trial.number,
        "run": one.trial.run and one.trial.run.name,
        **dict(zip(search.keys, search.values(one.trial), strict=True)),
        **figure_columns(search.metric, one.estimate, people=False),
        f"{search.metric} diff": paired and paired.value,
        f"{search.metric} diff se": paired and paired.standard_error,
        "epochs": state.epochs,
        "steps": state.steps,
        "seconds": state.seconds,
    }


def _state(one: Result, failed: Mapping[str, Done]) -> str:
    if one.trial.run is None:
        return one.trial.state
    done, progress = failed.get(one.trial.run.name), one.state.progress(one.trial.run)
    if done is not None:
        return f"failed: {done.reason}"
    if progress == "done" and one.estimate is None:
        return "not measured"
    return f"{progress}, ignores z" if one.ignores_z else progress


def record_lines(table: Table, command: str, machine: Mapping[str, str]) -> Iterator[str]:
    """Return the record of a search in Markdown, with its trials for people and the command that makes it again."""
    yield f"## {table.title}\n\n```sh\n{command}\n```\n\n"
    yield f"{time.strftime('%Y-%m-%d', time.gmtime())}, sritool {__version__}, {machine_line(machine)}.\n\n"
    yield from markdown_lines(table._replace(title=""))
    yield "\n"
    yield from (f"- {line}\n" for line in table.note.split("\n") if line)
