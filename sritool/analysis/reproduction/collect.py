"""The document of a table: every figure that is there, beside the paper's; what is not run, with its command.

It is plain values, written as JSON. All tables and pages are made from it and from nothing else.
"""

from __future__ import annotations

import math
import shlex
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sritool._version import __version__
from sritool.analysis.comparison import Row
from sritool.analysis.differences import differences
from sritool.analysis.reproduction.measures import Figure, Measure
from sritool.analysis.reproduction.outputs import Outputs, this_machine
from sritool.analysis.reproduction.plan import (
    RUNS_DIR,
    STEPS,
    TEMPERATURES,
    Plan,
    PlannedRun,
    config_hash,
    fairness,
)
from sritool.analysis.reproduction.published import NAMES, SOURCE, published
from sritool.analysis.reproduction.states import Known, State, settings_of
from sritool.config.recipes import DEFAULT_RECIPE
from sritool.data.store import Corpus
from sritool.evaluation.evaluate import evaluate_model
from sritool.evaluation.evaluations import load_hashed
from sritool.evaluation.metrics import Estimate

FORMAT = "sritool reproduction 1"
AGAINST = ("lm", "sri")
"""Methods that the others are compared with, sentence by sentence."""
IN_CORPUS = "(a sentence of the corpus)"

Document = dict[str, Any]
Silent = Callable[[str, int, int], None]


def document(
    plan: Plan,
    states: Sequence[State],
    corpus: Corpus | None,
    device: str,
    left: Callable[[PlannedRun, State], float | None],
) -> Document:
    """Make the document of a plan from what is there; nothing is measured.

    Args:
        plan: All its runs.
        states: How far each is, in the same order.
        corpus: Prepared; None where it is not there.
        device: Where the models run; figures of another kind of device are not found.
        left: Seconds that what is left of a run will take; None: not known.
    """
    rows = [_measured(plan, run, state, device) for run, state in zip(plan.runs, states, strict=True)]
    texts = _texts(corpus) if any(one.get("sentences") for one, _ in rows) else set()
    entries = []
    for run, state, (values, row) in zip(plan.runs, states, rows, strict=True):
        entry = _head(plan, run, state, left) | values
        if row is not None:
            entry["differences"] = list(_differences(plan, run, row, [found for _, found in rows]))
        if "sentences" in entry:
            entry["sentences"] = [IN_CORPUS if text in texts else text for text in entry["sentences"]]
        entries.append(entry)
    request = plan.request
    return {
        "format": FORMAT,
        "table": request.table,
        "title": plan.table.title,
        "source": SOURCE,
        "the paper says": plan.table.says,
        "corpus": request.corpus,
        "recipe": request.recipe,
        "columns": list(plan.table.columns),
        "command": _shown(command_of(plan)),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "sritool": __version__,
        "machine": this_machine(device),
        "the plan": fairness(plan),
        "rows": entries,
        "seeds": list(spread(entries)),
    }


def command_of(plan: Plan) -> list[str]:
    """Return the words that make the table again, without folders, device and time."""
    request = plan.request
    words = ["reproduce", request.table, "--corpus", request.corpus]
    if request.methods != plan.table.methods:
        words += ["--methods", ",".join(request.methods)]
    if request.seeds != (0,):
        words += ["--seeds", ",".join(map(str, request.seeds))]
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
    """What is known of a run whether or not it was trained: its name, its commands, how far it is."""
    measures = [plan.measure_words(one, str(RUNS_DIR / run.name)) for one in run.measures]
    missing = state.missing(run)
    status = "done" if state.trained and not missing else "not run"
    if status != "done" and state.known is not None:
        status = "not measured" if state.trained else "training"
    seconds = None if status == "done" else left(run, state)
    return {
        "method": run.method,
        "name": NAMES[run.method],
        "variation": run.variation.name,
        "seed": run.seed,
        "run": state.folder.name if state.folder else run.name,
        "status": status,
        "epochs": [state.epochs, (state.known.config if state.known else run.config).training.epochs],
        "commands": [_shown(run.words), *map(_shown, measures)],
        "estimated seconds": seconds,
        "not as planned": list(state.apart),
    }


def _measured(plan: Plan, run: PlannedRun, state: State, device: str) -> tuple[Document, Row | None]:
    """What was measured of a run, and the same to be compared with others sentence by sentence."""
    known = state.known
    if known is None:
        return {}, None
    training = known.training
    values: Document = {
        "settings": config_hash(known.config),
        "machines": Outputs(known.path).machines(),
        "training": {
            "epochs": training.epochs,
            "planned epochs": training.planned,
            "hours": training.seconds / 3600,
            "best after, hours": known.best_after / 3600,
            "tokens/s": training.tokens_per_second,
            "parameters": training.parameters,
            "sentences": training.sentences,
            "of": training.of,
        },
        "notes": [training.left] if training.left else [],
    }
    figures: list[Figure] = []
    row, sentences = None, list[str]()
    for measure in run.measures:
        there = known.done.get(measure.words)
        if there is None:
            continue
        if measure.recorded:
            found = _looked_up(plan, measure, known, there, device)
            own = "--estimator" in measure.words
            figures += [
                _figure(estimate, found.evaluation.total, own) for estimate in found.evaluation.estimates
            ]
            values["notes"] += [note for note in found.evaluation.notes if "measured before" not in note]
            row = row if own else found
        else:
            figures += measure.read(there)
            sentences += measure.sentences(there)
    values["figures"] = [_beside(plan, run, one) for one in figures]
    if sentences:
        values["sentences"] = sentences
    values["notes"] = list(dict.fromkeys(values["notes"]))
    return values, row


def _looked_up(plan: Plan, measure: Measure, known: Known, there: Sequence[str], device: str) -> Row:
    """The figures on record of some metrics, with the terms of each sentence."""
    model, content = load_hashed(known.path, device)
    settings = replace(settings_of(plan, measure), metrics=tuple(there))
    found = evaluate_model(model, content, settings, None, "", _silent, paired=True)
    corpus = model.checkpoint.corpus
    return Row(found.run, str(corpus["name"]), str(corpus["content_hash"]), found, known.training)


def _silent(label: str, done: int, total: int) -> None:
    """Nothing is measured, and nothing is told."""


def _figure(estimate: Estimate, total: int, own: bool) -> Figure:
    return Figure(
        estimate.metric,
        estimate.value,
        estimate.standard_error,
        estimate.estimator,
        estimate.draws,
        estimate.sentences,
        total,
        estimate.reliability.half if estimate.reliability else None,
        own,
    )


def _beside(plan: Plan, run: PlannedRun, figure: Figure) -> Document:
    """A figure with the paper's, where that has one of a run without variation."""
    values = {name: _plain(value) for name, value in figure._asdict().items()}
    theirs = published(plan.request.table, plan.request.corpus, run.method, figure.metric)
    if theirs is not None and not run.variation.name:
        values |= {"published": theirs.value, "source": theirs.source}
    return values


def _plain(value: Any) -> Any:
    """As JSON has it: what is not finite as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _differences(plan: Plan, run: PlannedRun, row: Row, rows: Sequence[Row | None]) -> Iterator[Document]:
    """To the run of each method of AGAINST with the same seed, or with the first; of variations, to the recipe's."""
    for method in AGAINST:
        others = [
            (other.seed == run.seed, found)
            for other, found in zip(plan.runs, rows, strict=True)
            if other.method == method and not other.variation.name and found is not None and found is not row
        ]
        if not others or (method == run.method and not run.variation.name):
            continue
        reference = max(others, key=lambda pair: pair[0])[1]
        for metric, found in differences(row, reference, True).items():
            if metric in plan.table.differences:
                yield {
                    "metric": metric,
                    "against": method,
                    "value": found.value,
                    "standard_error": found.standard_error,
                    "clear": found.is_clear,
                    "sentences": found.sentences,
                }


def spread(entries: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
    """Yield mean, standard deviation and range of each figure over the seeds, where there are several."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for entry in entries:
        for figure in entry.get("figures", ()):
            if not figure["own"] and figure["value"] is not None:
                key = (entry["method"], entry["variation"], figure["metric"])
                values.setdefault(key, []).append(figure["value"])
    for (method, variation, metric), found in values.items():
        if len(found) > 1:
            yield {
                "method": method,
                "variation": variation,
                "metric": metric,
                "seeds": len(found),
                "mean": statistics.fmean(found),
                "sd": statistics.stdev(found),
                "least": min(found),
                "most": max(found),
            }


def _texts(corpus: Corpus | None) -> set[str]:
    """All sentences of a corpus, as its tokenizer spells them."""
    if corpus is None:
        return set()
    return {
        corpus.tokenizer.decode(split.targets(index).tolist())
        for name in corpus.info.splits
        for split in (corpus.split(name),)
        for index in range(len(split))
    }
