"""The picture of reconstruction from noisy sentences: the loss, and what noise adds to it, against k."""

from __future__ import annotations

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
        handles = []
        for number, run in enumerate(runs):
            line = sorted((row for row in rows if row.run == run), key=lambda row: row.k)
            style = series(number)
            ks = [row.k for row in line]
            bars = {"capsize": 4, "elinewidth": 1.2}
            drawn = left.errorbar(ks, [r.recon for r in line], [r.recon_se for r in line], **bars, **style)
            right.errorbar(ks, [r.increase for r in line], [r.increase_se for r in line], **bars, **style)
            if line[0].permuted is not None:
                dotted = {**style, "linestyle": ":", "linewidth": 1.2, "markerfacecolor": "none"}
                right.plot([ks[0], ks[-1]], [line[0].permuted] * 2, **dotted)
            handles.append(drawn.lines[0])
        for axes in (left, right):
            name_counts(axes, sorted({row.k for row in rows}))
            axes.set_xlabel(f"k, {CHANGES.get(noise, 'changes')} a sentence")
        left.set_ylabel("recon, −log p(x|z) (nats/sentence)")
        right.set_ylabel("increase over k = 0 (nats/sentence)")
        if title:
            canvas.suptitle(plain(title))
        canvas.legend(
            handles,
            [plain(run) for run in runs],
            loc="outside lower center",
            ncols=min(3, len(runs)),
            title="bars: ± 1 standard error; dotted: the z of another sentence",
        )
    return canvas


def name_counts(axes: Any, counts: Sequence[int]) -> None:
    """All numbers of changes where they have room."""
    from matplotlib.ticker import MaxNLocator

    if len(counts) <= 9 and counts[-1] - counts[0] <= 12:
        axes.set_xticks(counts)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
