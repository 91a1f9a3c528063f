"""Tables of a reproduction document: for people, ours beside the paper's; for programs, one figure per row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from textwrap import shorten
from typing import Any

from sritool.cli.formats import FOR_PEOPLE, Table, readable
from sritool.cli.tables.figures import difference_text, with_error
from sritool.cli.units import format_roughly

Document = Mapping[str, Any]
Entry = Mapping[str, Any]

PAPER = "paper: "  # prefix of the paper's result in words
LONGEST = 120  # characters of a sentence that are shown
OWN = ", own estimator"  # suffix of a figure by its method's published estimator


def tables_of(found: Document, fmt: str) -> list[Table]:
    """Return all tables of a document, in a format other than auto."""
    if fmt not in FOR_PEOPLE:
        return [figures_table(found)]
    makers = (
        beside_table,
        sentences_table,
        differences_table,
        seeds_table,
        over_seeds_table,
        training_table,
        missing_table,
    )
    return [table for table in (make(found) for make in makers) if table.rows]


def beside_table(found: Document) -> Table:
    """Return our figures, the paper's, and their difference; one row per planned run, even if it has not run yet."""
    entries = found["rows"]
    theirs = {name for entry in entries for name in entry["published"]}
    ours = {name for entry in entries for name in _values(entry)}
    columns: dict[tuple[str, str], list[object]] = {("", "method"): [label(found, one) for one in entries]}
    if any(entry["status"] != "done" for entry in entries):
        columns["", "state"] = [progress_of(entry) for entry in entries]
    shown = [name for name in _columns(found) if name in ours | theirs]
    for name in shown:
        metric = name.removesuffix(OWN)
        figures = [_values(entry).get(name) for entry in entries]
        papers = [entry["published"].get(metric, {}).get("value") for entry in entries]
        columns[name, name] = [figure and cell(figure) for figure in figures]
        if name in theirs:
            columns[name, "paper"] = [paper_cell(name, paper) for paper in papers]
        columns[name, "difference"] = list(map(_difference, figures, papers))
        if not any(columns[name, "difference"]):
            del columns[name, "difference"]
    rows = list(zip(*columns.values(), strict=True)) if shown else []
    says = PAPER + found["the paper says"] if found["the paper says"] else ""
    note = "\n".join(filter(None, [*_notes(found), says]))
    return Table(f"{found['title']}: {found['corpus']}", [name for _, name in columns], rows, note)


def paper_cell(metric: str, value: float | None) -> str | None:
    """Format a figure of the paper with as many decimals as in the paper."""
    places = 0 if metric == "au" else 1 if metric.startswith("accuracy") else 2
    return None if value is None else f"{value:.{places}f}"


def progress_of(entry: Entry) -> str:
    """Return the progress of a run, in words."""
    done, planned = entry["epochs"]
    words = {"done": "done", "not measured": "trained, not measured"}
    begun = done or entry["status"] == "unfinished"
    return words.get(entry["status"]) or (f"{done} of {planned} epochs" if begun else "not run")


def _difference(figure: Mapping[str, Any] | None, paper: float | None) -> str | None:
    """Format our figure minus the paper's; None if one is missing."""
    if figure is None or figure["value"] is None or paper is None:
        return None
    return f"{figure['value'] - paper:+z.2f}".replace("-", "−")


def _columns(found: Document) -> list[str]:
    names = [name + own for name in found["columns"] for own in ("", OWN)]
    return names if "nll" in names else [*names, f"nll{OWN}"]


def _values(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """Return the figures by column name, including those of training."""
    figures = {
        figure["metric"] + (OWN if figure["own"] else ""): figure for figure in entry.get("figures", ())
    }
    training = entry.get("training", {})
    return {name: {"value": training[name], "standard_error": None} for name in training} | figures


def cell(figure: Mapping[str, Any]) -> str:
    """Format a figure with its error, as in every table for people."""
    value, error = figure["value"], figure["standard_error"]
    if value is None:
        return readable(math.nan)
    if not error:  # None, or 0 for an exact count
        return readable(int(value) if value == int(value) else value)
    return with_error(value, error)


def label(found: Document, entry: Entry) -> str:
    """Name a row: the paper's name of the method, the variation, and the seed if there are several."""
    several = len({other["seed"] for other in found["rows"]}) > 1
    varied = entry["variation"].replace("tau", "τ = ").replace("k", "K = ")  # from `k8` and `tau0.5`
    parts = [entry["name"], varied, f"seed {entry['seed']}" if several else ""]
    return ", ".join(filter(None, parts)) + (" †" if entry["status"] == "unfinished" else "")


def _notes(found: Document) -> Iterator[str]:
    by_note: dict[str, list[str]] = {}
    for entry in found["rows"]:
        notes = list(entry.get("notes", ()))
        if entry["not as planned"] and _values(entry):
            notes.append(f"not as planned: {'; '.join(entry['not as planned'])}")
        for note in notes:
            by_note.setdefault(note, []).append(label(found, entry))
    for note, runs in by_note.items():
        yield f"{'; '.join(runs)}: {note}"
    others = [
        one for one in found["rows"] if one.get("planned run", one["run"]) != one["run"] and _values(one)
    ]
    if others:
        used = "; ".join(f"{label(found, one)}: {one['run']}" for one in others)
        yield f"trained by commands of their own, not by this plan: {used}"


def sentences_table(found: Document) -> Table:
    """Return the sentences of Tables 2 and 3, one column per run."""
    entries = [entry for entry in found["rows"] if entry.get("sentences")]
    cut = [
        [shorten(sentence, LONGEST, placeholder=" …") for sentence in entry["sentences"]] for entry in entries
    ]
    rows = [[number, *cells] for number, cells in enumerate(zip_longest(*cut), 1)]
    return Table("Sentences", ["", *(label(found, entry) for entry in entries)], rows)


def differences_table(found: Document) -> Table:
    """Return paired differences, sentence by sentence; one row per run."""
    entries = [entry for entry in found["rows"] if entry.get("differences")]
    present = {(one["metric"], one["against"]) for entry in entries for one in entry["differences"]}
    keys = [(name, to) for to in ("lm", "sri") for name in found["columns"] if (name, to) in present]
    rows = []
    for entry in entries:
        by_key = {(one["metric"], one["against"]): one for one in entry["differences"]}
        shown = (_difference_cell(by_key[key], entry) if key in by_key else None for key in keys)
        rows.append([label(found, entry), *shown])
    columns = ["method", *(f"{metric} − {against}'s" for metric, against in keys)]
    note = (
        "*: beyond two standard errors over sentences, which do not say how far another seed would change it"
    )
    if any(_other_seed(one, entry) for entry in entries for one in entry["differences"]):
        note += "\n(seed N): of the other run, which was not measured with the same seed"
    return Table("Differences, sentence by sentence", columns, rows, note)


def _difference_cell(one: Mapping[str, Any], entry: Entry) -> str:
    text = difference_text(one["value"], one["standard_error"], one["clear"])
    return f"{text} (seed {one['seed']})" if _other_seed(one, entry) else text


def _other_seed(one: Mapping[str, Any], entry: Entry) -> bool:
    return bool(one.get("seed", entry["seed"]) != entry["seed"])


def seeds_table(found: Document) -> Table:
    """Return the spread of the figures over the seeds of a method."""
    rows = [
        {
            "method": ", ".join(filter(None, (one["method"], one["variation"]))),
            "figure": one["metric"],
            "seeds": one["seeds"],
            "mean": one["mean"],
            "standard deviation": one["sd"],
            "least": one["least"],
            "most": one["most"],
        }
        for one in found["seeds"]
        if one["metric"] in found["columns"]
    ]
    return Table.of("Over seeds", rows)


def over_seeds_table(found: Document) -> Table:
    """Return paired differences, averaged over the seeds; a document of an older version has none."""
    rows = [
        {
            "method": ", ".join(filter(None, (one["method"], one["variation"]))),
            "difference": f"{one['metric']} − {one['against']}'s",
            "seeds": one["seeds"],
            "mean": difference_text(one["mean"], one["standard_error"], one["clear"]),
            "standard deviation": one["sd"],
            "least": difference_text(one["least"], 0, clear=False),
            "most": difference_text(one["most"], 0, clear=False),
        }
        for one in found.get("differences over seeds", ())
    ]
    note = "± over sentences, the other columns over seeds; *: beyond two errors of both, √(±² + deviation²/seeds)"
    return Table.of("Differences over seeds, sentence by sentence", rows, note)


def training_table(found: Document) -> Table:
    """Return the training of each run: epochs, hours, speed and machine."""
    rows = [
        {
            "method": label(found, entry),
            "run": entry["run"],
            "epochs": f"{training['epochs']}/{training['planned epochs']}",
            "hours": training["hours"],
            "tokens/s": training["tokens/s"],
            "machine": "; ".join(machine_line(one) for one in entry["machines"]) or None,
            "settings": entry["settings"],
        }
        for entry in found["rows"]
        if (training := entry.get("training"))
    ]
    return Table.of("Training", rows, "machine: where reproduce trained the run; unknown for other runs")


def machine_line(one: Mapping[str, str]) -> str:
    """Return a machine as one line."""
    processor = one.get("gpu") or one.get("processor")
    return ", ".join(filter(None, (processor, f"PyTorch {one.get('torch', '?')}")))


def missing_table(found: Document) -> Table:
    """Return the runs that are not done, with the estimated time and the commands that are left."""
    rows = [
        {
            "method": label(found, entry),
            "state": progress_of(entry),
            "time": None if (left := entry["estimated seconds"]) is None else f"about {format_roughly(left)}",
            "commands that are left": " && ".join(entry["left"]),
        }
        for entry in found["rows"]
        if entry["status"] != "done"
    ]
    return Table.of("Not run", rows)


_FIGURE = ("metric", "value", "standard_error", "own", "estimator", "draws", "sentences", "of", "half")


def figures_table(found: Document) -> Table:
    """Return, for programs, one row per figure; a run without figures has one row too."""
    rows = []
    for entry in found["rows"]:
        differences = {(one["metric"], one["against"]): one for one in entry.get("differences", ())}
        shown = [*entry.get("figures", ())]
        known = {figure["metric"] for figure in shown}
        shown += [{"metric": name} for name in entry["published"] if name not in known]
        for figure in shown or [{}]:
            row = {name: found[name] for name in ("table", "corpus", "recipe")}
            row |= {name: entry[name] for name in ("method", "variation", "seed", "run", "status")}
            row |= {"se" if name == "standard_error" else name: figure.get(name) for name in _FIGURE}
            theirs = entry["published"].get(figure.get("metric"), {})
            row |= {"paper": theirs.get("value"), "source": theirs.get("source")}
            for against in ("lm", "sri"):
                one = {} if figure.get("own") else differences.get((figure.get("metric"), against), {})
                row[f"minus {against}"] = one.get("value")
                row[f"minus {against} se"] = one.get("standard_error")
            row["training hours"] = entry.get("training", {}).get("hours")
            row["settings"] = entry.get("settings")
            row["estimated seconds left"] = entry["estimated seconds"]
            row["commands"] = " && ".join(entry["commands"])
            rows.append(row)
    return Table.of(str(found["title"]), rows)
