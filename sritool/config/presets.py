"""Sizes and training plans by corpus; the settings that a run starts from.

Sources of the sizes: Pang et al. 2021 and Li et al. 2019.
"""

from __future__ import annotations

from typing import Any

from sritool.config.recipes import DEFAULT_RECIPE, Recipe, read_recipe
from sritool.config.samplers import SAMPLERS
from sritool.config.values import merge

PRESETS: dict[str, dict[str, Any]] = {
    "ptb": {"generator": {"embedding": 256, "hidden": 256}},
    "snli": {"generator": {"embedding": 128, "hidden": 512}},
    "captions": {"generator": {"embedding": 128, "hidden": 512}},
    "yelp": {"generator": {"embedding": 128, "hidden": 512}},
    "yahoo": {"generator": {"embedding": 512, "hidden": 1024}},
    "tiny": {
        "generator": {"embedding": 64, "hidden": 128, "dropout": 0.2},
        "training": {"epochs": 8, "minutes": 2.5, "save_every": 100, "measure_every": 20},
        "validation": {"sentences": 128, "final_sentences": 1000},
    },
}

DEFAULT_PRESET = "captions"  # for a user's own corpus


def layered(preset: str, sampler: str | None, method: str, recipe: Recipe | None = None) -> dict[str, Any]:
    """Return the nested values that a run starts from; the user's settings are merged over them.

    The recipe is merged over the default one. `sampler` is None for a method without a chain; a sampler other than
    the recipe's replaces all of the recipe's sampler settings.
    """
    values = merge({"method": method}, PRESETS[preset])
    if sampler:
        values = merge(values, SAMPLERS[sampler])
    for layer in (read_recipe(DEFAULT_RECIPE), *([recipe] if recipe else [])):
        settings = layer.settings(preset, method)
        if sampler and settings.get("sampler", {}).get("name", sampler) != sampler:
            del settings["sampler"]
        values = merge(values, settings) | {"recipe": layer.name}
    return values
