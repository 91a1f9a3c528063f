"""`sritool recipes`: the named training plans, and what each sets for each method."""

from __future__ import annotations

from typing import Annotated

import typer

from sritool.cli.formats import Table
from sritool.cli.options.files import FormatOpt
from sritool.cli.render import emit, emit_panels, resolve_format
from sritool.errors import UsageError


def recipes(
    name: Annotated[str | None, typer.Argument(metavar="RECIPE", show_default=False)] = None,
    *,
    preset: str | None = None,
    everything: Annotated[bool, typer.Option("--all")] = False,
    fmt: FormatOpt = "auto",
) -> None:
    """List the recipes of `train --recipe`, or show where one differs between methods or from `ours`.

    sritool recipes

    sritool recipes published --preset ptb

    A setting is empty for a method that does not read it.

    Args:
        name: Name of a recipe, or the path of your own TOML file.
        preset: Show it for corpora of this preset: ptb, snli, captions, yelp, yahoo or tiny. [default: captions]
        everything: Also show settings that are the same for all methods and as in `ours`.
    """
    from sritool.analysis.recipes import side_by_side
    from sritool.config.recipes import bundled_recipes, read_recipe
    from sritool.methods.registry import METHODS

    form = resolve_format(fmt)
    if name is None:
        if preset is not None or everything:
            raise UsageError("--preset and --all are for one recipe; name it, or leave them out")
        listed = [(name, read_recipe(name).description) for name in bundled_recipes()]
        emit(Table("", ("recipe", "what it is"), listed), form)
        return
    preset = "captions" if preset is None else preset
    rows = side_by_side(name, preset, everything)
    if form == "table":  # a schedule of many steps would take the width of three methods
        rows = [[_ends(cell) for cell in row] for row in rows]
    emit_panels([Table(f"{name}, for {preset}", ("setting", *METHODS), rows)], form)


def _ends(cell: object) -> object:
    return f"{cell[0]:g}…{cell[-1]:g}" if isinstance(cell, list | tuple) and len(cell) > 1 else cell
