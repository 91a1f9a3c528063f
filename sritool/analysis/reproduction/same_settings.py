"""Whether runs have the settings of a plan, by their settings or by a hash of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

from sritool.config.samplers import with_accurate_sampler_name
from sritool.config.settings import Precision, RunConfig
from sritool.config.values import flat
from sritool.evaluation.record import fingerprint
from sritool.training.configure import shown

# Settings that do not make a run differ from the plan: limits and names.
_NO_OUTCOME = re.compile(r"recipe|training\.(minutes|save_every|measure_every|precision)|validation\.final.*")


def config_hash(config: RunConfig) -> str:
    """Return a hash of a run's settings, in 12 hexadecimal digits."""
    return fingerprint(sorted(_settings(config).items(), key=lambda item: item[0]))[:12]


def is_of_plan(settings: str, config: RunConfig) -> bool:
    """Whether a hash of settings is that of a planned run, whatever its machine computed with.

    A model without z is a language model in all epochs, so its share of such epochs does not matter.
    """
    training = config.training
    if training.tune_step_every:
        return True  # training chose the step sizes
    shares = [training.language_model]
    if not config.generator.latent:
        shares += [epochs / training.epochs for epochs in range(training.epochs)]
    alike = (
        replace(
            config, training=replace(training, precision=precision, language_model=share, minutes=minutes)
        )
        for precision in get_args(Precision)
        for share in shares
        for minutes in {training.minutes, 0.0}  # the plan itself trains without a limit
    )
    return settings in map(config_hash, alike)


def _settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings by dotted keys; the sampler has the name that this version gives to its settings."""
    return flat(shown(with_accurate_sampler_name(config)))


def differing(config: RunConfig, planned: RunConfig, validation: bool = True) -> list[str]:
    """Return the settings that differ from the plan, like `training.epochs 30, planned 60`.

    Without `validation`, those that only choose the best epoch are left out.
    """
    own, wanted = _settings(config), _settings(planned)
    if planned.training.tune_step_every:
        wanted.pop("sampler.step_sizes", None)  # found by training
    if not planned.generator.latent:
        wanted.pop("training.language_model")  # a model without z is a language model in all epochs
    names = [name for name in wanted if not _NO_OUTCOME.fullmatch(name) and own.get(name) != wanted[name]]
    names = [name for name in names if validation or not name.startswith("validation.")]
    return [f"{name} {own.get(name)}, planned {wanted[name]}" for name in names]
