"""The figures of a run for its page: those on record, each on the most sentences there are, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sritool.core.metrics import Estimate
from sritool.tasks.evaluate import Request, evaluate_model
from sritool.tasks.evaluations import NAME, Evaluations, key_of, metric_of
from sritool.tasks.measure import DEFAULT_METRICS, NEEDS, Report
from sritool.tasks.model import Model
from sritool.tasks.sentences import choose_sentences


def figures_of(
    model: Model, content: str, request: Request, report: Report
) -> tuple[list[Estimate], list[str]]:
    """Every figure on record beside the checkpoint, and the usual ones, measured where they are not.

    Args:    content: hash of the checkpoint's file; request: its limit is for what is measured now.
    Returns: the estimates in the order of a table, and notes on them.
    """
    sets = list(_on_record(model, content, request))
    known = {metric_of(estimate) for estimates, _ in sets for estimate in estimates}
    rest = tuple(name for name in DEFAULT_METRICS if name not in known)
    if rest:
        measured = evaluate_model(model, content, replace(request, metrics=rest), None, "", report)
        sets.append((measured.estimates, measured.notes))
    found = [estimate for estimates, _ in sets for estimate in estimates]
    found.sort(key=lambda estimate: list(NEEDS).index(metric_of(estimate)))
    notes = []
    for estimates, of in sets:
        count = max((estimate.sentences for estimate in estimates), default=0)
        notes += [f"on {count} sentences, {note}" if len(sets) > 1 else note for note in of]
    return found, list(dict.fromkeys(notes))


def _on_record(
    model: Model, content: str, request: Request
) -> Iterator[tuple[Sequence[Estimate], Sequence[str]]]:
    """What is kept of this very checkpoint and split, the whole split first; no metric twice."""
    kind = (model.device.type, str(model.generator.output.dtype))
    known: set[str] = set()
    for limit in (None, *_counts_on_record(model.path)):
        split, chosen, _ = choose_sentences(model, request.split, None, limit, request.data_dir)
        settings = replace(request, limit=limit).settings(len(chosen))
        kept = Evaluations(model.path, key_of(content, model.method, split, chosen, settings, kind))
        names = set(NEEDS) - known - set(kept.missing(NEEDS))
        estimates, notes = kept.get(names)
        if estimates:
            yield estimates, notes
        known |= names


def _counts_on_record(checkpoint: Path) -> list[int]:
    """Numbers of sentences that evaluations.jsonl beside a checkpoint has figures on, the most first."""
    counts = set()
    try:
        lines = checkpoint.with_name(NAME).read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            counts.add(int(json.loads(line)["sentences"]))
        except (ValueError, KeyError, TypeError):
            continue  # damaged: nobody's figures
    return sorted((count for count in counts if count > 0), reverse=True)
