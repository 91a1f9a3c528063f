"""The picture of reconstruction from noisy sentences: the loss, and what noise adds to it, against k."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sritool.cli.noisy_tables import CHANGES
from sritool.cli.pictures.style import look, new_canvas, plain, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from sritool.cli.plots.noisy_recon import Cells


def draw(rows: Sequence[Cells], title: str) -> Canvas:
    """A line a run, bars of ± 1 standard error; dotted at the right, what another sentence's z costs."""
    runs = list(dict.fromkeys(row.run for row in rows))
    noise = rows[0].noise
    with look():
        canvas, (left, right) = new_canvas((11.5, 5.8), 1, 2, sharex=True)
        handles, names = [], []
        for number, run in enumerate(runs):
            line = sorted((row for row in rows if row.run == run), key=lambda row: row.k)
            style = series(number)
            ks = [row.k for row in line]
            bars = {"capsize": 4, "elinewidth": 1.2}
            drawn = left.errorbar(ks, [r.recon for r in line], [r.recon_se for r in line], **bars, **style)
            right.errorbar(ks, [r.increase for r in line], [r.increase_se for r in line], **bars, **style)
            if line[0].permuted is not None:
                dotted = {**style, "linestyle": ":", "linewidth": 1.2, "markerfacecolor": "none"}
                draw_permuted(right, line, dotted)
            handles.append(drawn.lines[0])
            names.append(plain(run) + (" (ignores z)" if ignores_z(line[0]) else ""))
        for axes in (left, right):
            name_counts(axes, sorted({row.k for row in rows}))
            axes.set_xlabel(f"k, {CHANGES.get(noise, 'changes')} a sentence")
        widen(right, [error for row in rows for error in (row.recon_se, row.increase_se, row.permuted_se)])
        left.set_ylabel("recon, −log p(x|z) (nats/sentence)")
        right.set_ylabel("increase over k = 0 (nats/sentence)")
        if title:
            canvas.suptitle(plain(title))
        canvas.legend(
            handles,
            names,
            loc="outside lower center",
            ncols=min(3, len(runs)),
            title="bars, bands: ± 1 standard error; dotted: the z of another sentence",
        )
    return canvas


def draw_permuted(axes: Any, line: Sequence[Cells], style: dict[str, Any]) -> None:
    """What another sentence's z costs, the same at every k, with its error as a band."""
    cost, error = line[0].permuted, line[0].permuted_se
    assert cost is not None
    ends = [line[0].k, line[-1].k]
    axes.plot(ends, [cost] * 2, **style)
    if error is not None and math.isfinite(error):
        low, high = [cost - error] * 2, [cost + error] * 2
        axes.fill_between(ends, low, high, color=style["color"], alpha=0.15, linewidth=0)


def ignores_z(row: Cells) -> bool:
    """Whether another sentence's z costs nothing, as `evaluate` has it."""
    from sritool.training.validation import COLLAPSE_NATS

    return row.permuted is not None and row.permuted < COLLAPSE_NATS + 2 * (row.permuted_se or 0.0)


def widen(axes: Any, errors: Sequence[float | None]) -> None:
    """An axis as wide as two of the largest standard error: in a narrower one nothing would look like something."""
    low, high = axes.get_ylim()
    most = max((error for error in errors if error is not None and math.isfinite(error)), default=0.0)
    if high - low < 2 * most:
        middle = (low + high) / 2
        axes.set_ylim(middle - most, middle + most)


def name_counts(axes: Any, counts: Sequence[int]) -> None:
    """All numbers of changes where they have room."""
    from matplotlib.ticker import MaxNLocator

    if len(counts) <= 9 and counts[-1] - counts[0] <= 12:
        axes.set_xticks(counts)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
