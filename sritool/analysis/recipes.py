"""Compares the settings of the methods in a recipe."""

from __future__ import annotations

from typing import Any

from sritool.config.recipes import DEFAULT_RECIPE
from sritool.config.values import flat
from sritool.methods.registry import METHODS
from sritool.training.configure import Given, resolve_config, shown


def side_by_side(recipe: str, preset: str, everything: bool = False) -> list[list[Any]]:
    """Return rows of a setting and its value for each method, in the order of METHODS; None: it has no such setting.

    Without `everything`, settings that are the same for all methods and as in the default recipe are left out.

    Raises:
        UsageError: The recipe (a name or a file) or preset does not exist, or the recipe has an error.
    """
    by_method = [_settings(recipe, preset, method) for method in METHODS]
    usual = [_settings(DEFAULT_RECIPE, preset, method) for method in METHODS]
    names = dict.fromkeys(name for settings in by_method for name in settings)
    rows = []
    for name in names:
        values = [settings.get(name) for settings in by_method]
        differ = any(value != other for value in values for other in values if None not in (value, other))
        changed = values != [settings.get(name) for settings in usual]
        if everything or name == "training.epochs" or differ or changed:
            rows.append([name, *values])
    return rows


def _settings(recipe: str, preset: str, method: str) -> dict[str, Any]:
    config = resolve_config(preset, method, Given(stored={"recipe": recipe, "preset": preset}))
    return {name: value for name, value in flat(shown(config)).items() if "." in name}
