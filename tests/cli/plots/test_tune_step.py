"""Step-size schedules as a plot and as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sritool.cli.formats import lines_of
from sritool.cli.tables.tune_step import steps_table, tuned_from_table
from sritool.evaluation.schedule_rows import Figure, Row
from sritool.evaluation.step_sizes import Tuned


def test_picture_shows_folds_and_the_chosen_step() -> None:
    from matplotlib.figure import Figure as Canvas

    from sritool.cli.plots.tune_step import draw_sides

    axes: Any = Canvas().subplots()
    tuned = tuning_result()
    draw_sides(axes, tuned.rows[:3], tuned)
    labels = axes.get_legend_handles_labels()[1]
    assert labels == [
        "upper: entropy of a Gaussian",
        "lower: entropy given the noise",
        "some steps fold",
        "chosen: 0.02",
    ]
    (shade,) = axes.patches
    low, high = shade.get_x(), shade.get_x() + shade.get_width()
    assert 0.02 < low < 0.2 < high
    assert axes.get_ylim()[0] > -200  # the diverging lower bound does not set the axis


def test_legend_covers_no_line() -> None:
    from sritool.cli.plots.style import renderer_of
    from sritool.cli.plots.tune_step import draw

    canvas: Any = draw(tuning_result(), "title")
    (legend,) = canvas.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == len({*names}) == 7
    canvas.draw(renderer_of(canvas))
    place = legend.get_window_extent()
    assert all(axes.get_legend() is None and not axes.bbox.overlaps(place) for axes in canvas.axes)


def tuning_result() -> Tuned:
    """Three step sizes, the last of which folds, and a reference schedule whose chains diverged."""
    nan = float("nan")

    def row(label: str, step: float | None, value: float, folded: float) -> Row:
        pair = Figure(value, 0.5)
        lower = Figure(-900.0 if folded else value - 1, 0.5)
        values = None if step is None else (step,)
        gain = Figure(0.0, 0.0) if label == "0.02" else pair
        return Row(
            label, values, (step or 1.0,) * 2, pair, lower, gain, gain, pair, pair, folded, 0.0, 0.5,
            label == "0.02", step is None,
        )  # fmt: skip

    rows = [row("0.002", 0.002, -32.0, 0.0), row("0.02", 0.02, -30.0, 0.0), row("0.2", 0.2, -31.0, 0.1)]
    rows.append(row("checkpoint", None, nan, nan))
    return Tuned(rows, ("s",), "entropy", 1.0, 8, 200, ["a note"], 1.0)


def test_printed_table_marks_the_chosen_and_diverged_steps() -> None:
    table = steps_table(tuning_result(), "title", "table")
    cells = [[str(cell).strip() for cell in row] for row in table.rows]
    assert cells[1][:3] == ["* 0.02", "-30.00", "0"]
    assert cells[3][1:3] == ["–", "–"]
    assert table.note == "a note"


def test_table_for_programs_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("".join(lines_of(steps_table(tuning_result(), "", "json"), "json")), encoding="utf-8")
    assert tuned_from_table(str(path)).rows[:3] == tuning_result().rows[:3]
