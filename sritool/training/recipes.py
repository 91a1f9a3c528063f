"""Checks of a recipe: its methods and settings must exist, and each method must read its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

from sritool.config.presets import PRESETS
from sritool.config.recipes import ALL, DESCRIPTION, OF_PRESET, Recipe
from sritool.config.samplers import SAMPLERS
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.errors import UsageError, quoted, suggestion
from sritool.methods.registry import METHODS

_OWN_SECTIONS = frozenset().union(*(kind.sections for kind in METHODS.values()))


def unread_sections(method: str) -> frozenset[str]:
    """Return the tables of settings that other methods read and this one does not."""
    return _OWN_SECTIONS - METHODS[method].sections


def is_recipe(tables: Mapping[str, Any]) -> bool:
    """Return whether a TOML file holds a recipe, and not settings."""
    has_method = any(key in METHODS or key in (ALL, DESCRIPTION) for key in tables)
    return has_method or isinstance(tables.get(OF_PRESET), Mapping)


def checked(recipe: Recipe) -> Recipe:
    """Return the recipe, checked.

    Raises:
        UsageError: A method, preset, sampler or setting in it does not exist, or has no effect.
    """
    tables = dict(recipe.tables)
    if not is_recipe(tables) and any(field.name in tables for field in dataclasses.fields(RunConfig)):
        _refuse(
            recipe,
            f"this is a file of settings; give train --config {recipe.path}, or name its tables like [all.training]",
        )
    if not isinstance(tables.pop(DESCRIPTION, ""), str):
        _refuse(recipe, "description is not text; give a line in quotes")
    of_presets = _table(recipe, OF_PRESET, tables.pop(OF_PRESET, {}))
    _check_methods(recipe, "", tables, [OF_PRESET, DESCRIPTION])
    for preset, of_preset in of_presets.items():
        if preset not in PRESETS:
            _refuse(recipe, f"unknown preset {quoted(preset)}{suggestion(preset, PRESETS)}")
        place = f"{OF_PRESET}.{preset}"
        _check_methods(recipe, f"{place}.", _table(recipe, place, of_preset), [])
    return recipe


def _check_methods(recipe: Recipe, place: str, tables: Mapping[str, Any], other_keys: list[str]) -> None:
    for method, settings in tables.items():
        if method not in METHODS and method != ALL:
            known = [*METHODS, ALL, *other_keys]
            _refuse(recipe, f"unknown method {quoted(method)}{suggestion(method, known)}")
        values = _table(recipe, f"{place}{method}", settings)
        try:
            sampler = build(RunConfig, values).sampler.name
        except UsageError as error:
            raise UsageError(f"recipe {recipe.path}, {place}{method}: {error}") from error
        if "name" in values.get("sampler", {}) and sampler not in SAMPLERS:
            _refuse(recipe, f"unknown sampler {quoted(sampler)}{suggestion(sampler, SAMPLERS)}")
        unread = unread_sections(method) if method != ALL else frozenset()
        for section in values:
            if section in {*unread, "method", "recipe"}:
                _refuse(recipe, f"method {method} has no use for {section}; leave it out of {place}{method}")


def _table(recipe: Recipe, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(recipe, f"{name} is {quoted(value)}; it should be a table of settings")
    return value


def _refuse(recipe: Recipe, why: str) -> NoReturn:
    raise UsageError(f"recipe {recipe.path}: {why}")
