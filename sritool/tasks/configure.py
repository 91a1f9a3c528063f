"""A run's settings by precedence: flags, then --set, then a TOML file, then the preset and the named sampler."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sritool.core.config import RunConfig, build, merge, parse_assignment, plain, read_toml
from sritool.core.presets import DEFAULT_PRESET, DEFAULT_SAMPLER, PRESET_SAMPLERS, PRESETS, SAMPLERS, layered
from sritool.errors import UsageError


def resolve_config(
    corpus: str,
    *,
    method: str | None = None,
    preset: str | None = None,
    sampler: str | None = None,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    under: RunConfig | None = None,
) -> RunConfig:
    """The configuration of a run.

    Args:    corpus: its name, which is also the preset's if there is one; assignments: texts `key=value`; flags:
             nested values; under: settings of the run to be resumed, in place of preset and sampler.
    Raises:  UsageError for an unknown name, key or value.
    """
    values = read_toml(file) if file else {}
    for text in assignments:
        values = merge(values, parse_assignment(text))
    preset = preset or values.pop("preset", None)
    method = method or values.get("method")
    sampler = sampler or _sampler_name(values)
    if under is not None:
        if preset is not None or (method or under.method) != under.method:
            raise UsageError("a resumed run keeps its preset and method; leave --preset and --method out")
        base = plain(under)
        base = merge(base, SAMPLERS[_known("sampler", sampler, SAMPLERS)]) if sampler in SAMPLERS else base
    else:
        preset = _known("preset", preset or (corpus if corpus in PRESETS else DEFAULT_PRESET), PRESETS)
        if sampler is None or sampler.startswith("custom"):  # as a stored configuration calls it
            sampler = PRESET_SAMPLERS.get(preset, DEFAULT_SAMPLER)
        base = layered(preset, _known("sampler", sampler, SAMPLERS), method or "sri")
    return _named_truly(build(RunConfig, merge(merge(base, values), flags or {})))


def _sampler_name(values: Mapping[str, Any]) -> str | None:
    section = values.get("sampler")
    name = section.get("name") if isinstance(section, Mapping) else None
    return str(name) if name is not None else None


def _known(kind: str, name: Any, known: Mapping[str, Any]) -> str:
    if name in known:
        return str(name)
    near = difflib.get_close_matches(str(name), known, n=1)
    raise UsageError(
        f"unknown {kind} {name!r}; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")
    )


def _named_truly(config: RunConfig) -> RunConfig:
    """A sampler that differs from the setting it is named after is called custom, here and in every table."""
    name = config.sampler.name.removeprefix("custom (").removesuffix(")")
    if name in SAMPLERS:
        published = build(RunConfig, {"sampler": SAMPLERS[name]["sampler"]}).sampler
        same = dataclasses.replace(config.sampler, name=name) == published
        name = name if same else f"custom ({name})"
    return dataclasses.replace(config, sampler=dataclasses.replace(config.sampler, name=name))
