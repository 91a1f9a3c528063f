"""What a recipe may hold: settings of methods that there are, and that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sritool.config.presets import PRESETS
from sritool.config.recipes import ALL, DESCRIPTION, OF_PRESET, Recipe
from sritool.config.samplers import SAMPLERS
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.errors import UsageError, quoted, suggestion
from sritool.methods.registry import METHODS

_OWN_SECTIONS = frozenset().union(*(kind.sections for kind in METHODS.values()))


def sections_unread_by(method: str) -> frozenset[str]:
    """Return the tables of settings that some methods read and this one does not."""
    return _OWN_SECTIONS - METHODS[method].sections


def checked(recipe: Recipe) -> Recipe:
    """Return the recipe.

    Raises:
        UsageError: It has a method, a preset, a sampler or a setting that does not exist, or that has no effect.
    """
    tables = dict(recipe.tables)
    if not isinstance(tables.pop(DESCRIPTION, ""), str):
        raise UsageError(f"recipe {recipe.path}: description is no text; give a line in quotes")
    of_presets = _table(recipe, OF_PRESET, tables.pop(OF_PRESET, {}))
    _check_methods(recipe, "", tables, [OF_PRESET, DESCRIPTION])
    for preset, of_preset in of_presets.items():
        if preset not in PRESETS:
            raise UsageError(
                f"recipe {recipe.path}: unknown preset {quoted(preset)}{suggestion(preset, PRESETS)}"
            )
        place = f"{OF_PRESET}.{preset}."
        _check_methods(recipe, place, _table(recipe, place[:-1], of_preset), [])
    return recipe


def _check_methods(recipe: Recipe, place: str, tables: Mapping[str, Any], others: list[str]) -> None:
    for method, settings in tables.items():
        known = [*METHODS, ALL, *others]
        if method not in METHODS and method != ALL:
            raise UsageError(
                f"recipe {recipe.path}: unknown method {quoted(method)}{suggestion(method, known)}"
            )
        values = _table(recipe, f"{place}{method}", settings)
        try:
            built = build(RunConfig, values)
        except UsageError as error:
            raise UsageError(f"recipe {recipe.path}, {place}{method}: {error}") from error
        named = values.get("sampler", {}).get("name")
        if named is not None and named not in SAMPLERS:
            raise UsageError(
                f"recipe {recipe.path}: unknown sampler {quoted(named)}{suggestion(built.sampler.name, SAMPLERS)}"
            )
        unread = sections_unread_by(method) if method != ALL else frozenset()
        for section in values:
            if section in unread or section in ("method", "recipe"):
                raise UsageError(
                    f"recipe {recipe.path}: method {method} has no use for {section}; leave it out of {place}{method}"
                )


def _table(recipe: Recipe, name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise UsageError(f"recipe {recipe.path}: {name} is {quoted(value)}; it should be a table of settings")
