"""Random search over settings: draws the trials, reports their progress, and finds the best one.

A trial is a planned run, like a run of a table of the paper, and the same code trains and measures it. All trials are
measured on the same validation sentences with the same number of draws. The validation figures stored in checkpoints
cannot be compared: their sentences and draws depend on the cost of a training step, which most settings change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sritool.analysis.reproduction.measures import evaluation
from sritool.analysis.reproduction.on_record import measured
from sritool.analysis.reproduction.plan import Plan, PlannedRun, Request, planned_run, recipe_name
from sritool.analysis.reproduction.states import State, state_of
from sritool.analysis.reproduction.tables import PaperTable, Variation, method_of
from sritool.analysis.search_space import EXAMPLES, Over, parse_over, uniform
from sritool.config.presets import DEFAULT_PRESET, PRESETS
from sritool.config.recipes import ALL, DEFAULT_RECIPE, DESCRIPTION, OF_PRESET, read_recipe
from sritool.config.values import flat, merge, parse_assignment, plain
from sritool.errors import UsageError, nearest
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.paired import Difference
from sritool.evaluation.record import fingerprint
from sritool.methods.registry import METHODS
from sritool.training.recipes import unread_sections
from sritool.training.validation import chosen_by


class Trial(NamedTuple):
    """A trial of the search."""

    number: int
    drawn: Mapping[str, str]  # setting -> value, as --set takes it; empty for trial 0
    run: PlannedRun | None  # None: the trial is not trained
    state: str = ""  # why it is not trained


class Search(NamedTuple):
    """A planned random search."""

    plan: Plan  # of the trials that are trained
    metric: str  # that ranks the trials; the same one chooses the method's best.pt
    trials: list[Trial]
    keys: tuple[str, ...]  # settings that are searched
    fixed: tuple[str, ...]  # key=value settings of all trials, without the number of epochs

    def values(self, trial: Trial) -> list[Any]:
        """Return a trial's values of `keys`; for trial 0, the values of the recipe."""
        known = flat(plain(trial.run.config)) if trial.run is not None else {}
        return [known.get(key, trial.drawn.get(key)) for key in self.keys]


class Result(NamedTuple):
    """A trial, how far it is, and its figures so far."""

    trial: Trial
    state: State
    estimate: Estimate | None = None  # None: not measured yet
    difference: Difference | None = None  # to trial 0, sentence by sentence

    @property
    def ignores_z(self) -> bool:
        """Whether its generator ignored z at the last validation."""
        return self.state.known is not None and self.state.known.ignores_z

    @property
    def loss(self) -> float:
        """The figure, signed so that lower is better; ∞ if there is none."""
        if self.estimate is None or not math.isfinite(self.estimate.value):
            return math.inf
        return -self.estimate.value if self.estimate.metric == "elbo" else self.estimate.value


def make_search(
    request: Request, over: Sequence[str], trials: int, epochs: int | None, seed: int, name: str | None
) -> Search:
    """Plan a search; a trial's draws depend only on the seed, its number and the setting's name.

    Args:
        request: The corpus, one method, the recipe and settings of all trials, and folders.
        over: One text per setting, as `parse_over` takes it.
        trials: Number of trials; trial 0 is the unchanged recipe.
        epochs: Epochs of each trial; None: as in the recipe.
        seed: Seed of the draws.
        name: Prefix of the runs' names; None: a prefix that is unique to this search.

    Raises:
        UsageError: A range, its setting, or a setting of all trials is refused.
    """
    fixed, method = request.settings, request.methods[0]
    planned = (f"training.epochs={epochs}",) if epochs else ()
    request = replace(request, settings=(*fixed, *planned), usual=False)
    base = planned_run(request, "trial", method, Variation())
    request = replace(request, limit=base.config.validation.sentences)
    spaces = [_fitting(parse_over(text), request, base) for text in over]
    keys = tuple(space.key for space in spaces)
    if not keys or len({*keys}) < len(keys):
        raise UsageError(f"give each setting that is searched in one --over, like {EXAMPLES}")
    mark = fingerprint(recipe_name(request), seed, *sorted(map(repr, spaces)))[:6]
    stem = name or f"{Path(request.corpus).name}-{method}-tune-{mark}"
    metric = chosen_by(method_of(base.config))
    found: list[Trial] = []
    for number in range(trials):
        drawn = {one.key: one.value(uniform(seed, number, one.key)) for one in spaces if number}
        found.append(_trial(request, f"{stem}-{number:03}", number, drawn, found, metric))
    table = PaperTable("Random search", "", (method,), lambda limit: (), (metric,), differences=(metric,))
    plan = Plan(request, table, [trial.run for trial in found if trial.run is not None])
    return Search(plan, metric, found, keys, fixed)


def _fitting(over: Over, request: Request, base: PlannedRun) -> Over:
    """Check a range or choices; mark an integer setting. Raises: UsageError if the setting refuses a value."""
    key = over.key
    if key in ("method", "recipe", OF_PRESET):
        raise UsageError(f"--over {key}: all trials of a search have one {key}; leave it out")
    known = flat(plain(base.config))
    if "." not in key:
        raise UsageError(f"--over {key}: no such setting; did you mean {nearest(key, known) or EXAMPLES}?")
    for given in (text.partition("=")[0].strip() for text in request.settings):
        if f"{key}.".startswith(f"{given}.") or given.startswith(f"{key}."):
            raise UsageError(
                f"--over {key}: --set or --epochs fixes {given} for all trials; leave one of them out"
            )
    present = known.get(key)
    if type(present) is int and not over.choices:
        if not (over.low.is_integer() and over.high.is_integer()):
            raise UsageError(f"--over {key}: the setting is a whole number; give a range like 5..20")
        over = replace(over, whole=True)
    for text in over.choices or (over.value(0.0), over.value(1.0)):
        try:
            planned_run(request, "trial", base.method, _variation({key: text}))
        except UsageError as error:
            if isinstance(present, str | bool) and not over.choices:
                raise UsageError(
                    f"--over {key}: the setting is not a number; give comma-separated values"
                ) from error
            raise UsageError(f"--over {key}: {error}") from error
    return over


def _variation(drawn: Mapping[str, str], name: str = "") -> Variation:
    return Variation(name, tuple(word for key, text in drawn.items() for word in ("--set", f"{key}={text}")))


def _trial(
    request: Request, name: str, number: int, drawn: Mapping[str, str], before: Sequence[Trial], metric: str
) -> Trial:
    try:
        run = planned_run(request, name, request.methods[0], _variation(drawn, f"{number:03}"))
    except UsageError as error:
        if not drawn:
            raise
        return Trial(number, drawn, None, f"failed: {error}")
    for other in before:
        if other.run is not None and other.run.config == run.config:
            return Trial(number, drawn, None, f"as trial {other.number}")
    return Trial(number, drawn, run._replace(measures=(evaluation((metric,), split="valid"),)))


def results(search: Search, device: str) -> list[Result]:
    """Return the results of all trials so far, the best first, unmeasured ones last.

    Raises: UsageError if a folder holds a run whose settings differ from those of the trial of that name.
    """
    found, reference = [], None
    for trial in search.trials:
        state = state_of(search.plan, trial.run, device) if trial.run is not None else State()
        if state.apart:
            other = f"{state.folder} is of another search: it has {state.apart[0]}"
            raise UsageError(f"{other}; give this one another --name")
        row = None
        if trial.run is not None and state.trained:
            _, row = measured(search.plan, trial.run, state)
        if row is None:
            found.append(Result(trial, state))
            continue
        reference = row if trial.number == 0 else reference
        paired = row.minus(reference, True).get(search.metric) if reference is not None else None
        estimate = next(one for one in row.evaluation.estimates if one.metric == search.metric)
        found.append(Result(trial, state, estimate, paired))
    return sorted(found, key=lambda one: (one.loss, one.trial.number))


def best_of(found: Sequence[Result]) -> Result | None:
    """Return the best of the sorted results, or None if none is measured."""
    return found[0] if found[0].loss < math.inf else None


def verdict(found: Sequence[Result]) -> list[str]:
    """Return lines that say how sure it is that the first of the sorted results is the best."""
    best = best_of(found)
    if best is None or best.estimate is None:
        return []
    name, paired = f"trial {best.trial.number}", best.difference
    count = sum(one.loss < math.inf for one in found)
    if best.trial.number == 0:
        left = sum(one.trial.run is not None and one.loss == math.inf for one in found)
        so_far = f" ({count} measured so far, {left} still to be measured)" if left else ""
        line = f"no trial is better than trial 0, the recipe as it is{so_far}"
    elif paired is None:
        line = f"{name} is the best of {count}, and trial 0, the recipe as it is, is not among them"
    elif paired.is_clear:
        line = f"{name} is better than trial 0, the recipe as it is, on these sentences; as the best of {count}, "
        line += "each at its best epoch on them, it looks a little better than it is"
    else:
        line = f"{name} is within two standard errors of trial 0, the recipe as it is: it may be no better"
    return [
        line,
        f"±: standard error over {best.estimate.sentences} validation sentences, the same for all trials; for a "
        "difference, the standard error of the differences sentence by sentence",
        "± leaves out the training seed, which may change the figures as much: train the best trial and trial 0 "
        "again with other seeds, or search --over training.seed=1..1000 to see how much",
    ]


def recipe_of(search: Search, best: Result) -> dict[str, Any]:
    """Return the searched recipe with a trial's settings, as nested values; its epochs are not those of the trials.

    Tables that every method reads are for all methods, as in the trial. Others are for the methods that read them.
    """
    request, values = search.plan.request, dict[str, Any]()
    for text in (*search.fixed, *(f"{key}={text}" for key, text in best.trial.drawn.items())):
        values = merge(values, parse_assignment(text))
    corpus, method = Path(request.corpus).name, request.methods[0]
    preset = values.pop(OF_PRESET, corpus if corpus in PRESETS else DEFAULT_PRESET)
    by_method: dict[str, dict[str, Any]] = {name: {} for name in METHODS}
    if request.recipe != DEFAULT_RECIPE:
        by_method = {name: read_recipe(request.recipe).settings(preset, name) for name in METHODS}
    values = by_method[method] = merge(by_method[method], values)
    if not METHODS[method].has_code and not values.get("generator", {}).get("latent", 1):
        del values["generator"]["latent"]  # fits no other method, and this one needs no setting for it
    own = unread_sections(method) | METHODS[method].sections
    shared = {key: value for key, value in values.items() if isinstance(value, Mapping) and key not in own}
    what = f"Trial {best.trial.number} of a random search of {len(search.trials)} with {method} on {corpus}"
    recipe = {DESCRIPTION: what, ALL: shared}
    for name, kind in METHODS.items():
        recipe[name] = {key: value for key, value in by_method[name].items() if key in kind.sections}
    return {key: value for key, value in recipe.items() if value}
