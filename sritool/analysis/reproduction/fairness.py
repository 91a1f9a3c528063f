"""What is the same for all methods of a plan, in words, and what its recipe sets by method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sritool.analysis.reproduction.plan import Plan, is_for
from sritool.analysis.reproduction.tables import forgets_its_start
from sritool.config.settings import RunConfig
from sritool.config.values import plain
from sritool.methods.registry import METHODS
from sritool.training.pretraining import pretraining_epochs

_SIZES = ("embedding", "hidden", "layers")


def _kept_model(select: str, methods: Iterable[str]) -> str:
    """Return which epoch's model the runs of these methods keep."""
    if select == "last":
        return "the model of the last epoch"
    others = [method for method in methods if METHODS[method].chosen_by != "nll"]
    by_others = "".join(f", {method} by {METHODS[method].chosen_by}" for method in others)
    return f"the best epoch by validation {select}{by_others}"


def _compared(config: RunConfig) -> dict[str, Any]:
    """Return the settings in which the methods of a plan should agree; a schedule is one setting."""
    return {
        f"{table}.{name}": value
        for table in ("generator", "optimizer", "training")
        for name, value in plain(getattr(config, table)).items()
        if name not in ("latent", "seed")  # a language model has no z; seeds are the plan's
    }


def _shown(value: Any) -> Any:
    """Return a setting in a note; a schedule by its ends."""
    if not isinstance(value, dict):
        return value
    return " to ".join(dict.fromkeys(f"{value[end]:g}" for end in ("start", "end")))


def fairness(plan: Plan) -> list[str]:
    """Return notes on what is the same for all methods of a plan, and on settings that its recipe sets by method."""
    full = {run.method: run.config for run in plan.runs if not run.variation.name}
    configs = {method: _compared(config) for method, config in full.items()}
    first = next(iter(configs.values()))
    apart = [name for name in first if len({repr(config[name]) for config in configs.values()}) > 1]
    count, patience = first["training.sentences"], first["training.patience"]
    ended = f"after {patience} epochs without a better validation" if patience else "not before its plan ends"
    said = {
        "training.sentences": f"{f'{count:,}' if count else 'all'} training sentences",
        **{f"generator.{name}": f"{name} {first[f'generator.{name}']}" for name in _SIZES},
        "training.epochs": f"after {first['training.epochs']} epochs",
        "training.patience": ended if "training.epochs" in apart or not patience else f"or {ended}",
        "training.select": _kept_model(first["training.select"], configs),
    }

    def same(what: str, *names: str) -> list[str]:
        known = [said[name] for name in names if name not in apart]
        return [f"{what} ({', '.join(known)})"] if known else []

    parts = [
        *(
            same(f"the data: {plan.request.corpus}", "training.sentences")
            or [f"the corpus, {plan.request.corpus}"]
        ),
        *same("the generator", *(f"generator.{name}" for name in _SIZES)),
        *same("when training stops", "training.epochs", "training.patience", "training.select"),
        "the estimator of p(x), adaptive, with its draws",
    ]
    found = [f"planned to be the same for all methods: {'; '.join(parts)}"]
    found += [
        f"before these epochs, {method} trains an autoencoder for {pretraining_epochs(config)} epochs"
        for method, config in full.items()
        if METHODS[method].pretrains and not (config.pretraining.encoder or config.warm_start.checkpoint)
    ]
    if "kl" in plan.table.columns and any(forgets_its_start(run.config) for run in plan.runs):
        found.append(
            "kl is not measured for sri, whose chain forgets where it began: it would say nothing about x "
            "(posterior-kl is the same quantity for all)"
        )
    left_out = dict[str, tuple[str, list[str]]]()
    for text in plan.request.settings:
        without = [method for method in configs if not is_for(text, method, plan.request.methods)]
        if without:
            left_out[text.partition("=")[0].strip()] = text, without
            found.append(
                f"--set {text} is left out for methods that have no use for it: {', '.join(without)}"
            )
    for name in apart:
        text, without = left_out.get(name, ("", []))
        if len({repr(config[name]) for method, config in configs.items() if method not in without}) < 2:
            continue  # the note above says so
        values = ", ".join(f"{method} {_shown(config[name])}" for method, config in configs.items())
        source = f"--set {text}" if text else f"the recipe {plan.request.recipe}"
        found.append(f"{source} sets {name} by method: {values}")
    return found
