"""Collects the document of a table: our figures beside the paper's, and the commands of runs that are missing.

The document consists of plain values, written as JSON. All tables and pages are made from it alone.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sritool._version import __version__
from sritool.analysis.reproduction.fairness import fairness
from sritool.analysis.reproduction.on_record import Document, measured
from sritool.analysis.reproduction.outputs import this_machine
from sritool.analysis.reproduction.over_seeds import differences, differences_over_seeds, spread
from sritool.analysis.reproduction.plan import (
    RUNS_DIR,
    STEPS,
    TEMPERATURES,
    Plan,
    PlannedRun,
    table_name,
)
from sritool.analysis.reproduction.published import NAMES, SOURCE, published
from sritool.analysis.reproduction.same_settings import is_of_plan
from sritool.analysis.reproduction.states import State, train_words
from sritool.config.recipes import DEFAULT_RECIPE
from sritool.data.store import Corpus

FORMAT = "sritool reproduction 1"
Key = tuple[str, str, int]
IN_CORPUS = "(a sentence of the corpus)"


def document(
    plan: Plan,
    states: Sequence[State],
    corpus: Corpus | None,
    device: str,
    left: Callable[[PlannedRun, State], float | None],
    before: Mapping[str, Any],
) -> Document:
    """Make the document of a plan from the figures on record; nothing is measured.

    Args:
        plan: The plan of the table.
        states: State of each run, in the order of the plan.
        corpus: The corpus; None if it is not prepared yet.
        device: Kind of device; figures of another kind are not found.
        left: Returns the seconds that the rest of a run takes, or None if unknown.
        before: An earlier document, or nothing. Its rows are kept for runs that are no longer found.
    """
    rows = [measured(plan, run, state)[0] for run, state in zip(plan.runs, states, strict=True)]
    texts = _texts(corpus) if any(one.get("sentences") for one in rows) else set()
    known = {key_of(row): row for row in before.get("rows", ())}
    entries = []
    for run, state, values in zip(plan.runs, states, rows, strict=True):
        entry = _head(plan, run, state, left) | values
        if "sentences" in entry:
            entry["sentences"] = [IN_CORPUS if text in texts else text for text in entry["sentences"]]
        old = known.get(run.key, {})
        # A row made from another run stays until this one can take its place.
        lost = state.folder is None and "training" in old
        other = old.get("status") == "done" and entry["status"] != "done" and old["run"] != entry["run"]
        entries.append((_marked(run, old) if lost else old) if lost or other else entry)
    request = plan.request
    order = list(dict.fromkeys([*NAMES, *(entry["method"] for entry in entries)]))
    entries.sort(key=lambda entry: (order.index(entry["method"]), entry["seed"]))
    for entry in entries:
        if "terms" in entry or "differences" in entry:
            found = differences(entry, entries)
            entry["differences"] = _updated(entry.get("differences", ()), found, ("metric", "against"))
    of_seeds = before.get("differences over seeds", ()), differences_over_seeds(entries)
    return {
        "format": FORMAT,
        "table": request.table,
        "title": plan.table.title,
        "source": SOURCE,
        "the paper says": plan.table.says,
        "corpus": request.corpus,
        "recipe": request.recipe,
        "name": table_name(request),
        "columns": list(plan.table.columns),
        "command": "\n".join(map(_shown, commands_of(plan))),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "sritool": __version__,
        "machine": this_machine(device),
        "the plan": fairness(plan),
        "rows": entries,
        "seeds": list(spread(entries)),
        "differences over seeds": _updated(*of_seeds, ("method", "variation", "metric", "against")),
    }


def _marked(run: PlannedRun, row: Document) -> Document:
    """Return the row of a run that is gone, with a note if its settings are not those that are planned now."""
    if row["not as planned"] or is_of_plan(row["settings"], run.config):
        return row
    return row | {"not as planned": [f"its settings ({row['settings']}) are not those planned now"]}


def _updated(old: Iterable[Document], new: Iterable[Document], names: Sequence[str]) -> list[Document]:
    """Return the new entries, and those old ones that no new one with the same values of these names replaces."""
    return list({tuple(one[name] for name in names): one for one in (*old, *new)}.values())


def key_of(entry: Mapping[str, Any]) -> Key:
    """Return what identifies a row of a document: method, variation and seed."""
    return entry["method"], entry["variation"], entry["seed"]


def commands_of(plan: Plan) -> list[list[str]]:
    """Return the commands that make the table again, without folders, device and time limit.

    There is one for all methods that have the same seeds.
    """
    seeds: dict[str, set[int]] = {}
    for run in plan.runs:
        seeds.setdefault(run.method, set()).add(run.seed)
    methods: dict[tuple[int, ...], list[str]] = {}
    for method, own in seeds.items():
        methods.setdefault(tuple(sorted(own)), []).append(method)
    return [_command(plan, of, own) for own, of in methods.items()]


def _command(plan: Plan, methods: Sequence[str], seeds: tuple[int, ...]) -> list[str]:
    request = plan.request
    words = ["reproduce", request.table, "--corpus", request.corpus]
    if {*methods} != {*plan.table.methods}:
        words += ["--methods", ",".join(methods)]
    if seeds != (0,):
        words += ["--seeds", ",".join(map(str, seeds))]
    if request.recipe != DEFAULT_RECIPE:
        words += ["--recipe", request.recipe]
    for text in request.settings:
        words += ["--set", text]
    if plan.table.varied and request.steps != STEPS:
        words += ["--steps", ",".join(map(str, request.steps))]
    if plan.table.varied and request.temperatures != TEMPERATURES:
        words += ["--temperatures", ",".join(f"{tau:g}" for tau in request.temperatures)]
    if request.limit:
        words += ["--limit", str(request.limit)]
    return [*words, *(["--estimator", "own"] if request.own else [])]


def _shown(words: Sequence[str]) -> str:
    return shlex.join(["sritool", *words])


def _head(
    plan: Plan, run: PlannedRun, state: State, left: Callable[[PlannedRun, State], float | None]
) -> Document:
    """Return what is known of a run even before training: its name, its commands, its progress."""
    missing = state.missing(run)
    existing, planned = state.folder and RUNS_DIR / state.folder.name, RUNS_DIR / run.name
    commands = [run.words, *(plan.measure_words(one, str(planned)) for one in run.measures)]
    status = "done" if state.trained and not missing else "not run"
    if status != "done" and (state.folder is not None or state.in_use):
        status = "not measured" if state.trained else "unfinished"
    seconds = None if status == "done" else left(run, state)
    return {
        "method": run.method,
        "name": NAMES.get(run.method, run.method),
        "variation": run.variation.name,
        "seed": run.seed,
        "run": state.folder.name if state.folder else run.name,
        "planned run": run.name,
        "status": status,
        "epochs": [state.epochs, state.known.training.planned if state.known else run.config.training.epochs],
        "published": {
            metric: found._asdict()
            for metric in (() if run.variation.name else plan.table.columns)  # the paper has no variations
            if (found := published(plan.request.table, plan.request.corpus, run.method, metric))
        },
        "commands": [_shown(words) for words in commands],
        "left": [
            *([] if state.trained else [_shown(train_words(plan, run, state, existing))]),
            *(_shown(plan.measure_words(one, str(existing or planned))) for one in missing),
        ],
        "estimated seconds": seconds,
        "not as planned": list(state.apart),
    }


def _texts(corpus: Corpus | None) -> set[str]:
    """Return all sentences of a corpus, as its tokenizer spells them."""
    if corpus is None:
        return set()
    return {
        corpus.tokenizer.decode(split.targets(index).tolist())
        for name in corpus.info.splits
        for split in (corpus.split(name),)
        for index in range(len(split))
    }
