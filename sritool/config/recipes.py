"""Recipes: named training plans, one TOML file each.

    description = "…"
    [all.training]              # for every method
    [vae-fb.optimizer]          # for one method, overrides [all]
    [preset.tiny.all.training]  # for the corpora of one preset, overrides both

The bundled recipes are in sritool/recipes/. A recipe is merged over `ours`, the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sritool.config.values import merge, read_toml
from sritool.errors import UsageError, quoted, suggestion

FOLDER = Path(__file__).parents[1] / "recipes"
DEFAULT_RECIPE = "ours"
ALL, OF_PRESET, DESCRIPTION = "all", "preset", "description"
"""Keys of a recipe that are not names of methods."""


class Recipe(NamedTuple):
    """A recipe as read from its file; only its TOML syntax has been checked."""

    name: str  # custom (NAME) for a user's own file
    path: Path
    tables: Mapping[str, Any]

    @property
    def description(self) -> str:
        """One-line description of the recipe."""
        return str(self.tables.get(DESCRIPTION, ""))

    def settings(self, preset: str, method: str) -> dict[str, Any]:
        """Return the recipe's settings for a method, as nested values."""
        of_preset = self.tables.get(OF_PRESET, {}).get(preset, {})
        values: dict[str, Any] = {}
        for tables in (self.tables, of_preset):
            for key in (ALL, method):
                values = merge(values, tables.get(key, {}))
        return values


def bundled_recipes() -> dict[str, Path]:
    """Return the paths of the bundled recipes by name, the default first."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    return {DEFAULT_RECIPE: found.pop(DEFAULT_RECIPE), **found}


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name or by the path of a TOML file.

    Raises:
        UsageError: No recipe has the name, or the file cannot be read.
    """
    bundled = bundled_recipes()
    if name in bundled:
        return Recipe(name, bundled[name], read_toml(bundled[name]))
    path = Path(name)
    if path.suffix != ".toml":
        raise UsageError(
            f"unknown recipe {quoted(name)}{suggestion(name, bundled)} (your own: the path of a .toml file)"
        )
    return Recipe(f"custom ({path.stem})", path, read_toml(path))
