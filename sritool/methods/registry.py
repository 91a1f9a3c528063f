"""Training methods by name."""

from __future__ import annotations

import difflib

from sritool.core.config import RunConfig
from sritool.errors import UsageError
from sritool.methods.base import Method
from sritool.methods.lm import LanguageModel
from sritool.methods.sri import ShortRunInference

METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (ShortRunInference, LanguageModel)}


def build_method(config: RunConfig, vocabulary_size: int) -> Method:
    """A method with parameters not yet drawn. Raises: UsageError for an unknown name."""
    if config.method not in METHODS:
        near = difflib.get_close_matches(config.method, METHODS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(METHODS)}"
        raise UsageError(f"unknown method {config.method!r}; {hint}")
    return METHODS[config.method](config, vocabulary_size)
