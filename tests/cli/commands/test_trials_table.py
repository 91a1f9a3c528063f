"""The table of a random search, and the record made from it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sritool.analysis.random_search import Result, Search, make_search
from sritool.analysis.reproduction.plan import Request
from sritool.analysis.reproduction.states import State
from sritool.cli.child import Done
from sritool.cli.commands.tune import record_lines, trials_table
from sritool.cli.formats import Best
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.paired import Difference


def search(*over: str) -> Search:
    return make_search(Request("tune", "mine", ("sri",)), over, 3, None, 0, "own")


def measured(found: Search) -> list[Result]:
    """Results ranked: trial 2 is the best, trial 0 is worse, trial 1 is not measured."""
    trained = State(Path("runs/own"), None, epochs=2, steps=40, seconds=90.0)
    training = SimpleNamespace(ended=True, planned=2)
    collapsed: Any = SimpleNamespace(ignores_z=True, training=training)
    better, worse = (Estimate("nll", value, 1.0, "nats", 64, 100, "adaptive") for value in (29.0, 30.0))
    first, second, third = found.trials
    return [
        Result(third, trained._replace(known=collapsed), better, Difference(-1.0, 0.25, 64)),
        Result(first, trained, worse),
        Result(second, State()),
    ]


def test_printed_table_marks_the_best_and_shortens_names() -> None:
    found = search("generator.dropout=0.1..0.3", "sampler.steps=2..9")
    failed = {"own-001": Done(4, "it exploded; do less\n", 1.0, True)}
    table = trials_table(found, measured(found), failed, "table")
    assert list(table.columns)[:5] == ["trial", "dropout", "sampler.steps", "nll", "minus trial 0"]
    best, reference, last = ([*row] for row in table.rows)
    drawn = found.trials[2].drawn
    assert best[:3] == [2, drawn["generator.dropout"], drawn["sampler.steps"]]
    assert best[3:8] == [Best("29.0 ± 1.0"), "−1.00 ± 0.25 *", 2, 40, 1.5]
    assert str(best[8]).endswith(", ignores z")
    assert (reference[0], reference[3], reference[4]) == (0, "30.0 ± 1.0", None)
    assert last[3:] == [None, None, None, None, None, "failed: it exploded"]


def test_ambiguous_settings_keep_their_sections() -> None:
    found = search("generator.dropout=0.1..0.3", "optimizer.clip=1..2")
    assert "clip" in trials_table(found, measured(found), {}, "table").columns
    found = search("training.sentences=9..99", "validation.sentences=9..99")
    assert list(trials_table(found, measured(found), {}, "table").columns)[1:3] == [
        "training.sentences",
        "validation.sentences",
    ]


def test_settings_named_like_a_column_keep_their_sections() -> None:
    found = search("training.epochs=2..10", "training.minutes=1..9")
    table = trials_table(found, measured(found), {}, "table")
    assert list(table.columns)[1:3] == ["training.epochs", "training.minutes"]
    assert [*table.rows[0]][1:3] == [found.trials[2].drawn[name] for name in table.columns[1:3]]


def test_table_for_programs_has_full_numbers() -> None:
    found = search("generator.dropout=0.1..0.3")
    table = trials_table(found, measured(found), {}, "tsv")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["run"], row["nll"], row["nll se"]) == ("own-002", 29.0, 1.0)
    assert (row["nll diff"], row["nll diff se"], row["seconds"]) == (-1.0, 0.25, 90.0)
    assert row["generator.dropout"] == float(found.trials[2].drawn["generator.dropout"])


def test_record_has_what_is_needed_to_repeat_the_search() -> None:
    found = search("generator.dropout=0.1..0.3")
    table = trials_table(found, measured(found), {}, "markdown")
    text = "".join(record_lines(table, "sritool tune mine", {"processor": "an old one", "torch": "9"}))
    assert all(
        part in text for part in ("\nsritool tune mine\n", "an old one, PyTorch 9.", "| **29.0 ± 1.0** |")
    )
    assert all(f"- {line}\n" in text for line in table.note.split("\n"))
