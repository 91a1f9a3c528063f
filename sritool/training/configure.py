"""The settings of a run, by precedence: flags, --set, environment, a TOML file, recipe, named sampler, preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from sritool.config.presets import DEFAULT_PRESET, PRESETS, layered
from sritool.config.recipes import Recipe, read_recipe
from sritool.config.samplers import DEFAULT_SAMPLER, SAMPLERS, base_sampler, with_accurate_sampler_name
from sritool.config.settings import RunConfig
from sritool.config.values import build, flat, merge, parse_assignment, plain, read_toml
from sritool.errors import UsageError, quoted, suggestion
from sritool.methods.registry import METHODS
from sritool.training.recipes import checked, is_recipe, unread_sections

DEFAULT_METHOD = "sri"

_FLAGS = {
    "generator.latent": "--latent",
    "training.tune_step_every": "--tune-step-every",
    "training.tune_objective": "--tune-objective",
    "sampler.name": "--sampler",
    "sampler.steps": "--langevin-steps",
    "sampler.theta_gradient": "--theta-gradient",
    "sampler.words": "--words",
    "kl.ramp": "--ramp",
    "free_bits.target": "--target-kl",
    "pretraining.epochs": "--pretraining-epochs",
    "pretraining.encoder": "--from",
    "warm_start.checkpoint": "--from",
    "warm_start.embeddings": "--embeddings",
    "optimizer.freeze": "--freeze",
}

_HALVING = tuple(f"optimizer.{name}" for name in ("halvings", "halve_from", "keep_halving", "return_to_best"))
_KEPT = {
    "generator": ("embedding", "hidden", "latent", "layers", "residual", "tied_embeddings", "code_bias"),
    "optimizer": ("name", "freeze"),
    "training": ("batch_size", "seed", "sentences", "select"),
    "pretraining": ("keep", "encoder"),
    "warm_start": ("checkpoint", "embeddings"),
    "autoencoder": ("noise",),
}
"""Settings that a resumed run cannot change: weight shapes, its place in the data, how the best model is chosen."""


class Given(NamedTuple):
    """Settings that a user gave, as nested values; they may include `preset`."""

    stored: Mapping[str, Any] = {}  # of a file, overridden by the environment
    typed: Mapping[str, Any] = {}  # of --set, overridden by flags

    def get(self, key: str) -> Any:
        """Return the value of a setting such as sampler.name, None if it was not given."""
        value: Any = merge(self.stored, self.typed)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def gather(
    file: Path | None = None,
    environment: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Given:
    """Gather the settings that a user gave.

    Args:
        file: A TOML file.
        environment: Settings from environment variables, as nested values.
        assignments: Strings `key=value`.
        flags: Settings from flags, as nested values.

    Raises:
        UsageError: The file or an assignment cannot be read, or the file is a recipe.
    """
    typed: dict[str, Any] = {}
    for text in assignments:
        typed = merge(typed, parse_assignment(text))
    of_file = read_toml(file) if file else {}
    if is_recipe(of_file):
        raise UsageError(f"--config {file}: this is a recipe; give --recipe {file}")
    stored = merge(of_file, environment or {})
    return Given(stored, merge(typed, flags or {}))


def resolve_config(
    corpus: str,
    method: str | None = None,
    given: Given | None = None,
    under: RunConfig | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Return the configuration of a run on a corpus.

    Args:
        corpus: Name of the corpus; a preset of the same name is the default one.
        method: Overrides the method in `given`.
        given: Settings that the user gave.
        under: Settings of the run to resume; they apply where the user gave none.
        sizes: Generator sizes of the weights that a new run takes over; they apply where the user gave none.

    Raises:
        UsageError: A name, key or value is unknown, or a resumed run cannot change it.
    """
    given = given or Given()
    method = method or given.get("method") or (under.method if under else DEFAULT_METHOD)
    method = _known("method", method, METHODS)
    if under is not None and method != under.method:
        _refuse_change("method", under.method, method)
    recipe = _recipe(given.get("recipe"))
    base = _base_of_resumed(under, given, recipe) if under else _base_of_new(corpus, method, given, recipe)
    base = merge(base, {"generator": sizes or {}})
    # A settings file may serve every method; typed settings must fit this one.
    without_code = {"generator": {"latent": 0}} if not METHODS[method].has_code else {}
    values = merge(merge(base, given.stored), merge(without_code, given.typed))
    values |= {"method": method, "recipe": recipe.name if recipe else values["recipe"]}
    values.pop("preset", None)
    config = build(RunConfig, values)
    if under is not None:
        config = _with_found_steps(config, under)
    config = with_accurate_sampler_name(config)
    _check_method(config, given)
    return _check_unchanged(config, under) if under else config


def _base_of_new(corpus: str, method: str, given: Given, recipe: Recipe | None) -> dict[str, Any]:
    """Return the settings of a new run that the given ones override, as nested values."""
    preset = given.get("preset") or (corpus if corpus in PRESETS else DEFAULT_PRESET)
    sampler = _sampler(given.get("sampler.name"))
    preset = _known("preset", preset, PRESETS)
    if "sampler" not in METHODS[method].sections:
        sampler = None
    elif sampler is None:
        named = recipe.settings(preset, method).get("sampler", {}).get("name") if recipe else None
        sampler = _sampler(named) or DEFAULT_SAMPLER
    return merge(plain(RunConfig()), layered(preset, sampler, method, recipe))


def _base_of_resumed(under: RunConfig, given: Given, recipe: Recipe | None) -> dict[str, Any]:
    """Do the same for a resumed run; naming its present recipe or sampler again changes nothing."""
    if recipe is not None and recipe.name != under.recipe:
        _refuse_change("recipe", under.recipe, recipe.name)
    base, preset, sampler = plain(under), given.get("preset"), _sampler(given.get("sampler.name"))
    if preset:  # sizes and plan; the recipe overrides them, as when the run began
        preset, recipe = _known("preset", preset, PRESETS), recipe or _recipe(under.recipe)
        values = layered(preset, None, under.method, recipe)
        base = merge(base, {key: values[key] for key in values.keys() - {"method", "recipe", "sampler"}})
    if sampler and sampler != base_sampler(under.sampler.name):
        base = merge(base, SAMPLERS[sampler])
    return dict(base)


def _with_found_steps(config: RunConfig, under: RunConfig) -> RunConfig:
    """Keep the step sizes that a searching run has found; given step sizes are only where its search began."""
    searches = config.training.tune_step_every and under.training.tune_step_every
    if not searches or base_sampler(config.sampler.name) != base_sampler(under.sampler.name):
        return config
    sampler = dataclasses.replace(config.sampler, step_sizes=under.sampler.step_sizes)
    return dataclasses.replace(config, sampler=sampler)


def _recipe(name: Any) -> Recipe | None:
    """Return the recipe to build on; None if a stored configuration was made from a user's own recipe."""
    if not name or str(name).startswith("custom ("):
        return None
    return checked(read_recipe(str(name)))


def _sampler(name: Any) -> str | None:
    """Return the named sampler to build on; None for a changed one, whose settings are stored with its name."""
    if name is None or str(name).startswith("custom"):
        return None
    return _known("sampler", name, SAMPLERS)


def _known(kind: str, name: Any, known: Iterable[str]) -> str:
    known = list(known)
    if name in known:
        return str(name)
    raise UsageError(f"unknown {kind} {quoted(name)}{suggestion(str(name), known)}")


def shown(config: RunConfig) -> dict[str, Any]:
    """Return settings as nested values, without those that the method ignores or that only training writes."""
    unused = unread_sections(config.method)
    values = {name: value for name, value in plain(config).items() if name not in unused}
    del values["warm_start"]["digest"]
    return values


def _named(key: str) -> str:
    return f"{_FLAGS[key]} ({key})" if key in _FLAGS else key


def no_use_for(method: str, key: str, value: Any) -> str | None:
    """Return why a method has no use for a setting of this value, such as sampler.steps; None if it may have."""
    kind, section, named = METHODS[method], key.partition(".")[0], _named(key)
    encodes = kind.has_code and not kind.has_chain
    users = ", ".join(name for name, other in METHODS.items() if section in other.sections)
    has_elbo = kind.closed_form_kl and kind.chosen_by == "nll"
    no_code = value and not kind.has_code, f"no z; leave {named} out"
    no_chain = value and not kind.has_chain, f"no chain to tune; leave {named} out"
    no_elbo = "no ELBO to choose by, or one that takes too long; leave training.select out, or take last"
    of_key = {
        "generator.latent": no_code,
        "training.language_model": no_code,
        "training.select": (value == "elbo" and not has_elbo, no_elbo),
        "training.tune_step_every": no_chain,
        "training.tune_objective": no_chain,
        "training.measure_every": (value and not kind.has_chain, f"no chain to measure; leave {named} out"),
        "generator.code_bias": (value and not encodes, f"no encoder; leave {named} out"),
    }
    of_section = section in unread_sections(method), f"no use for {named}, a setting of {users}; leave it out"
    useless, why = of_key.get(key, of_section)
    return f"method {method} has {why}" if useless else None


def _check_method(config: RunConfig, given: Given) -> None:
    """Refuse settings that were typed for this run and would have no effect."""
    typed = flat(given.typed)
    for key, value in typed.items():
        if refusal := no_use_for(config.method, key, value):
            raise UsageError(refusal)
    if config.warm_start.checkpoint and config.pretraining.encoder:
        raise UsageError(
            "warm_start.checkpoint (--from) and pretraining.encoder both say what the run begins from; leave one out"
        )
    if config.warm_start.checkpoint and typed.get("pretraining.epochs"):
        named = _named("pretraining.epochs")
        raise UsageError(
            f"a run that takes over weights is not trained as an autoencoder first; leave {named} out"
        )
    if config.warm_start.checkpoint and typed.get("training.language_model"):
        raise UsageError("a run that takes over weights begins with z; leave training.language_model out")
    if "training.tune_objective" in typed and not config.training.tune_step_every:
        named = _named("training.tune_objective")
        raise UsageError(f"{named} belongs to a search during training; give --tune-step-every too")
    idle = [
        key for key, value in typed.items() if key in _HALVING and value and not config.optimizer.halve_after
    ]
    if idle:
        raise UsageError(f"{_named(idle[0])} belongs to halving the rate; give optimizer.halve_after too")
    if METHODS[config.method].has_code and not config.generator.latent:
        raise UsageError(f"method {config.method} infers z; give --latent of at least 1, or --method lm")


def _refuse_change(key: str, old: object, new: object) -> NoReturn:
    before, now = ("none" if value == "" else value for value in (old, new))
    raise UsageError(
        f"the run to resume has {key} {before}, not {now}; leave that setting out, start a new run without "
        "--resume, or give the new run a name: --name NAME"
    )


def _check_unchanged(config: RunConfig, under: RunConfig) -> RunConfig:
    """Refuse changes that a resumed run cannot make; replace the precision "auto" by the one chosen before."""
    new, old = plain(config), plain(under)
    for section, names in _KEPT.items():
        for name in names:
            if new[section][name] != old[section][name]:
                _refuse_change(f"{section}.{name}", old[section][name], new[section][name])
    if config.training.precision != "auto":
        return config
    training = dataclasses.replace(config.training, precision=under.training.precision)
    return dataclasses.replace(config, training=training)
