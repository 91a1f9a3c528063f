"""Samplers by name: how the chain of short-run inference moves, and which of its points train θ.

Sources: `paper` follows the text of Pang et al. 2021, `authors` and `yelp` their released code. The others are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sritool.config.schedules import Ramp, constant
from sritool.config.settings import RunConfig, SamplerConfig
from sritool.config.values import plain

DEFAULT_SAMPLER = "exponential"

_WORDS = 1000  # of the 5,000 to 20,000 words of the corpora
_AUTHORS_NOISE = (0.8, 0.7, 0.6, 0.5, 0.2, 0.2, 0.1, 0.1, 0.05)  # σ_k = √(2 s_k); the last is repeated
_AUTHORS = SamplerConfig(
    "authors",
    step_sizes=tuple(round(sigma**2 / 2, 9) for sigma in _AUTHORS_NOISE),  # 0.32, not 0.32000000000000006
    # 0.05 for 15 of 60 epochs, then up by 0.05 per epoch to 0.2.
    temperature=Ramp(0.05, 0.2, begin=14 / 60, finish=17 / 60, quantum=0.05),
    evaluation_temperature=0.2,
    chain_dropout=True,
    theta_gradient="path",
    end_weight="1/batch",  # they use a batch mean at z_K, but batch sums along the path
)
_SAMPLERS = (
    SamplerConfig(),  # the paper's; it gives no step size, so the search during training starts from 0.01
    _AUTHORS,
    replace(
        _AUTHORS,
        name="yelp",
        steps=40,
        step_sizes=(0.08,),  # σ = 0.4
        temperature=constant(0.0),
        evaluation_temperature=0.0,
        # Up by 1 / (6 · batches) per update, from 0.1 to 1 after 5.4 of 12 epochs.
        prior_weight=Ramp(0.1, 1.0, finish=5.4 / 12),
    ),
    replace(
        _AUTHORS,
        name="tempered",
        temperature=Ramp(0.2, 0.5, begin=0.5),
        evaluation_temperature=0.5,
        words=_WORDS,
    ),
    SamplerConfig(
        "exponential",
        steps=6,
        step_sizes=(1.0, 0.8, 0.6, 0.5, 0.4, 0.3),  # the first is a Newton step
        # A low τ first lets z encode much of its sentence; at τ = 1, as a draw of the posterior, it loses some of it.
        temperature=Ramp(0.3, 0.9, finish=0.25),
        evaluation_temperature=1.0,
        chain_dropout=True,  # as the authors' code; z then relies on no single dropout mask
        preconditioned=True,
        words=_WORDS,
        exponential=True,
        truncation=2.0,
    ),
    SamplerConfig(
        "preconditioned",
        steps=6,
        # The first is nearly a Newton step; they fall by equal factors.
        step_sizes=(0.9, 0.6, 0.4, 0.27, 0.18, 0.12),
        temperature=Ramp(0.5, 0.8),
        evaluation_temperature=0.8,
        preconditioned=True,
        words=_WORDS,
    ),
)
_BY_NAME = {sampler.name: sampler for sampler in _SAMPLERS}
_SEARCHES = {"paper": {"tune_step_every": 1, "tune_objective": "given-noise"}}
_NO_SEARCH = {"tune_step_every": 0, "tune_objective": "entropy"}

# Complete settings, so that one sampler merged over another replaces all of it.
SAMPLERS: dict[str, dict[str, Any]] = {
    sampler.name: {"sampler": plain(sampler), "training": _SEARCHES.get(sampler.name, _NO_SEARCH)}
    for sampler in _SAMPLERS
}


def base_sampler(sampler: str) -> str:
    """Return the named sampler that a custom one is based on: "authors" for "custom (authors)"."""
    return sampler.removeprefix("custom (").removesuffix(")")


def with_accurate_sampler_name(config: RunConfig) -> RunConfig:
    """Rename a sampler to "custom (NAME)" if its settings differ from those of NAME."""
    name = base_sampler(config.sampler.name)
    if name in SAMPLERS:
        published = _BY_NAME[name]
        if SAMPLERS[name]["training"]["tune_step_every"]:  # a search finds its step sizes
            published = replace(published, step_sizes=config.sampler.step_sizes)
        same = replace(config.sampler, name=name) == published
        name = name if same else f"custom ({name})"
    return replace(config, sampler=replace(config.sampler, name=name))


def with_schedule(config: RunConfig, schedule: Sequence[float]) -> RunConfig:
    """Return the configuration with new step sizes; the sampler is renamed to custom if it now differs."""
    sizes = list(schedule)
    while len(sizes) > 1 and sizes[-1] == sizes[-2]:
        sizes.pop()  # the last one is repeated
    sampler = replace(config.sampler, steps=len(schedule), step_sizes=tuple(sizes))
    return with_accurate_sampler_name(replace(config, sampler=sampler))
