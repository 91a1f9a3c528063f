"""The tables of `reproduce` as files, and its plan as a table."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from sritool.analysis.latent_map import Point
from sritool.analysis.reproduction.collect import document, key_of
from sritool.analysis.reproduction.outputs import this_machine
from sritool.analysis.reproduction.plan import Plan, PlannedRun, table_name, widened
from sritool.analysis.reproduction.states import State, state_of, train_words
from sritool.analysis.reproduction.time_estimates import Estimates, corpus_of, rounded
from sritool.cli.formats import FOR_PEOPLE, Table, lines_of
from sritool.cli.plots.latent import draw
from sritool.cli.plots.style import save
from sritool.cli.reproduction.page import page_lines, read_document
from sritool.cli.reproduction.tables import figures_table
from sritool.cli.units import format_roughly
from sritool.errors import SritoolError
from sritool.files import cannot_write, write_output
from sritool.locks import Lock


class TableFiles:
    """Writes the results of a plan into a folder: its JSON document, and its table as TSV and Markdown."""

    def __init__(self, plan: Plan, device: str, folder: Path) -> None:
        """Find the corpus; the folder is not made yet.

        Raises:
            UsageError, DataError: The corpus cannot exist, or it lacks labels that are needed.
        """
        corpus_of(plan)
        request = plan.request
        self._stem = folder / "-".join([request.table, Path(request.corpus).name, table_name(request)])
        self._device, self._asked = device, plan

    def write(self, estimate: Literal["all", "new", "none"]) -> dict[str, Any]:
        """Write the results so far, and return them; rows of an earlier document for other methods or seeds stay.

        Args:
            estimate: Runs whose remaining time to estimate by trying: all, those without an estimate in the last
                document (new), or none, to save time.

        Raises:
            SritoolError: The files cannot be written.
            DataError: The earlier document is damaged.
        """
        try:
            self._stem.parent.mkdir(parents=True, exist_ok=True)
            lock = Lock(self._stem.with_name(f".{self._stem.name}.lock"))
            lock.acquire(wait=True)  # another command may be writing its own rows
        except OSError as error:
            raise SritoolError(cannot_write(self._stem.parent, error, "another folder with --out")) from error
        with lock:
            return self._write_all(estimate)

    def _write_all(self, estimate: Literal["all", "new", "none"]) -> dict[str, Any]:
        before = self._before()
        known = {key_of(row): row for row in before.get("rows", ())}
        plan = widened(self._asked, known)
        corpus = corpus_of(plan)
        states = [state_of(plan, run, self._device) for run in plan.runs]
        estimates = Estimates(plan, corpus, self._device) if corpus is not None else None

        def left(run: PlannedRun, state: State) -> float | None:
            row = known.get(run.key, {})
            earlier: float | None = row.get("estimated seconds")
            steps = (not state.trained) + len(state.missing(run))
            if (
                estimate != "all"
                and earlier is not None
                and (row["epochs"][0], len(row["left"])) == (state.epochs, steps)
                and before["machine"] == this_machine(self._device)
            ):
                return earlier
            return None if estimates is None or estimate == "none" else rounded(estimates.left(run, state))

        found = document(plan, states, corpus, self._device, left, before)
        for run, state in zip(plan.runs, states, strict=True):
            self._draw(found, run, state)
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        self._write(".json", [text])
        self._write(".tsv", lines_of(figures_table(found), "tsv"))
        self._write(".md", page_lines([found]))
        return found

    def _draw(self, found: dict[str, Any], run: PlannedRun, state: State) -> None:
        """Draw the aggregate posterior of a run, if it was measured, and name the picture in its row."""
        maps = [one.words for one in run.measures if one.words[0] == "plot"]
        points = state.known.done.get(maps[0]) if maps and state.known is not None else None
        if points is None:
            return
        path = self._stem.with_name(f"{self._stem.name}-{run.short}-s{run.seed}.png")
        save(draw([Point(**point) for point in points], f"{run.name} on {found['corpus']}"), path)
        for row in found["rows"]:
            if key_of(row) == run.key:
                row["picture"] = path.name

    def _write(self, ending: str, lines: Iterable[str]) -> None:
        path = self._stem.with_name(self._stem.name + ending)
        write_output(path, ["".join(lines).encode()])

    def _before(self) -> dict[str, Any]:
        """Return the existing document; {} if there is none. Raises: DataError if it is damaged."""
        path = self._stem.with_name(self._stem.name + ".json")
        return read_document(path) if path.exists() else {}


def plan_table(plan: Plan, device: str, fmt: str, told: Sequence[str]) -> Table:
    """Return the plan, one row per command, with its progress and its remaining time on this machine.

    `told` are lines about the plan, shown before the total time.
    """
    corpus = corpus_of(plan)
    estimates = Estimates(plan, corpus, device) if corpus is not None else None
    rows: list[dict[str, object]] = []
    total = 0.0

    def add(run: str, step: str, state: str, seconds: float | None, words: tuple[str, ...]) -> None:
        nonlocal total
        total += seconds or 0.0
        row: dict[str, object] = {"run": run, "step": step, "state": state}
        if fmt in FOR_PEOPLE:
            row["time"] = None if seconds is None else format_roughly(seconds)
        else:
            row["seconds"] = seconds
        rows.append(row | {"command": shlex.join(["sritool", *plan.locate(words)])})

    told = [*told]
    for run in plan.runs:
        state = state_of(plan, run, device)
        name = state.folder.name if state.folder else run.name
        if state.apart:
            told.append(f"{name}, used for {run.name}, is not as planned: {'; '.join(state.apart)}")
        left: float | None = 0.0
        if not state.trained:
            left = rounded(estimates.training(run, state)) if estimates else None
        add(name, "train", state.progress(run), left, train_words(plan, run, state, state.folder))
        missing = state.missing(run)
        for measure in run.measures:
            due, left = measure in missing, 0.0
            if due:
                left = rounded(estimates.measuring(run, measure)) if estimates else None
            words = plan.measure_words(measure, str(state.folder or plan.request.runs_dir / run.name))
            add(name, words[0], "to do" if due else "done", left, words)
    in_all = (
        f"about {format_roughly(total)} in all on this machine, at most: training may end before its plan"
    )
    if estimates is None:
        in_all = f"no times, as {plan.request.corpus} is not prepared yet: sritool preprocess {plan.request.corpus}"
    elif uncounted := estimates.uncounted():
        in_all += f"; {', '.join(uncounted)} takes longer, as updates of its encoder alone are not counted"
    return Table.of(f"Plan of {plan.request.table}", rows, "\n".join([*told, in_all]))
