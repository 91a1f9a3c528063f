"""The plan of a table: its runs, with stable names, and the commands that train and measure them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from sritool.analysis.reproduction.measures import Measure
from sritool.analysis.reproduction.tables import (
    WORK_ORDER,
    PaperTable,
    Variation,
    measures_of,
    table_of,
    variations,
)
from sritool.config.recipes import DEFAULT_RECIPE, bundled_recipes, read_recipe
from sritool.config.settings import RunConfig
from sritool.config.values import flat, parse_assignment
from sritool.errors import UsageError, suggestion
from sritool.evaluation.record import fingerprint
from sritool.methods.registry import METHODS
from sritool.training.configure import gather, no_use_for, resolve_config
from sritool.training.plan import RUN_NAME

DATA_DIR, RUNS_DIR = Path("data"), Path("runs")
"""Default folders, which a command need not name."""

STEPS, TEMPERATURES = (2, 4, 8, 20), (0.2, 0.5, 0.8, 1.0)


@dataclass(frozen=True)
class Request:
    """What to reproduce."""

    table: str
    corpus: str = ""  # "": the paper's
    methods: tuple[str, ...] = ()  # none: the paper's
    seeds: tuple[int, ...] = (0,)
    recipe: str = DEFAULT_RECIPE
    settings: tuple[str, ...] = ()  # key=value of every run whose method reads it
    steps: tuple[int, ...] = STEPS  # K of the ablation
    temperatures: tuple[float, ...] = TEMPERATURES  # τ of the ablation
    limit: int | None = None  # test sentences
    own: bool = False  # measure by the published estimators too
    # Name of a planned run -> existing run to use for it.
    use: Mapping[str, Path] = field(default_factory=dict)
    usual: bool = True  # use a run of the usual name, like ptb-sri, if it has the plan's settings
    runs_dir: Path = RUNS_DIR
    data_dir: Path = DATA_DIR


class PlannedRun(NamedTuple):
    """A run of the plan."""

    name: str  # of its folder
    method: str
    variation: Variation
    seed: int
    config: RunConfig
    words: tuple[str, ...]  # command that trains it, without folders and device
    measures: tuple[Measure, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """What identifies its row in a table: method, name of the variation, and seed."""
        return self.method, self.variation.name, self.seed

    @property
    def short(self) -> str:
        """The name without corpus, recipe and seed: `sri`, `sri-k2`."""
        return "-".join(filter(None, (self.method, self.variation.name)))


class Plan(NamedTuple):
    """All runs of a table, in the order in which they are trained and measured."""

    request: Request  # with corpus and methods filled in
    table: PaperTable
    runs: list[PlannedRun]

    def locate(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command's words, with the folders added if they are not the default ones."""
        found = list(words)
        if self.request.data_dir != DATA_DIR and words[0] != "interpolate":
            found += ["--data-dir", str(self.request.data_dir)]
        if self.request.runs_dir != RUNS_DIR and words[0] == "train":
            found += ["--runs-dir", str(self.request.runs_dir)]
        return tuple(found)

    def measure_words(self, measure: Measure, run: str) -> tuple[str, ...]:
        """Return the command that measures the run in a folder."""
        command = measure.words[:2] if measure.words[0] == "plot" else measure.words[:1]
        words = (*command, run, *measure.words[len(command) :])
        if self.request.limit and measure.words[0] in ("evaluate", "noisy-recon", "classify"):
            words += ("--limit", str(self.request.limit))
        return words


def make_plan(request: Request) -> Plan:
    """Plan a table.

    Raises: UsageError if a table, method, recipe or setting is unknown, or a name in `use` is not in the plan.
    """
    table = table_of(request.table)
    corpus = request.corpus or table.corpus
    methods = request.methods or tuple(sorted(table.methods, key=WORK_ORDER.index))
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"no method {method!r}{suggestion(method, METHODS)}")
    if table.varied and not all(METHODS[method].has_chain for method in methods):
        raise UsageError(f"{request.table} varies the chain, which only sri has; leave --methods out")
    request = replace(request, corpus=corpus, methods=tuple(dict.fromkeys(methods)))
    runs = [
        _run(request, table, method, variation, seed)
        for seed in request.seeds
        for method in request.methods
        for variation in variations(table, request.steps, request.temperatures)
    ]
    known = [*(run.name for run in runs), *(run.short for run in runs)]
    for run in runs:
        if not run.config.generator.latent and not run.measures and table.measures(request.limit):
            raise UsageError(
                f"{run.method} has no z, which {request.table} is about; leave it out of --methods"
            )
    for name in request.use:
        if name not in known:
            raise UsageError(f"--use {name}=…: the plan has no run of this name{suggestion(name, known)}")
        if name not in known[: len(runs)] and len(request.seeds) > 1:
            raise UsageError(
                f"--use {name}=… does not say which seed; give the full name, as --dry-run shows it"
            )
    used = {run.name: request.use.get(run.name) or request.use.get(run.short) for run in runs}
    use = {name: path for name, path in used.items() if path is not None}
    return Plan(replace(request, use=use), table, runs)


def widened(plan: Plan, rows: Iterable[tuple[str, str, int]]) -> Plan:
    """Return a plan with more runs of the same table; rows hold method, name of the variation, and seed."""
    request, rows = plan.request, list(rows)
    names = [name for _, name, _ in rows]
    more: dict[str, Iterable[Any]] = {
        "methods": (method for method, _, _ in rows),
        "seeds": (seed for _, _, seed in rows),
        "steps": (int(name[1:]) for name in names if name.startswith("k")),
        "temperatures": (float(name[3:]) for name in names if name.startswith("tau")),
    }
    both: dict[str, Any] = {
        name: tuple(dict.fromkeys((*getattr(request, name), *values))) for name, values in more.items()
    }
    wide = make_plan(replace(request, **both))
    wanted = {*rows, *(run.key for run in plan.runs)}  # not every method with every seed
    return wide._replace(runs=[run for run in wide.runs if run.key in wanted])


def _run(request: Request, table: PaperTable, method: str, variation: Variation, seed: int) -> PlannedRun:
    corpus = Path(request.corpus).name
    name = "-".join(filter(None, (corpus, method, variation.name, recipe_name(request), f"s{seed}")))
    run = planned_run(request, name, method, variation, seed)
    return run._replace(measures=measures_of(table, run.config, request.limit, request.own))


def planned_run(
    request: Request, name: str, method: str, variation: Variation, seed: int | None = None
) -> PlannedRun:
    """Plan the training of a run of this name, without measures; seed None: as in the settings.

    Raises: UsageError if a setting is refused, or the name is not allowed for a run.
    """
    own = [text for text in request.settings if is_for(text, method, request.methods)]
    settings = tuple(word for text in own for word in ("--set", text))
    assignments = [*(word for word in variation.words if "=" in word), *own]
    flags: dict[str, Any] = {"recipe": request.recipe}
    chosen: tuple[str, ...] = ("--method", method, "--recipe", request.recipe)
    if seed is not None:
        flags["training"] = {"seed": seed}
        chosen += ("--seed", str(seed))
    if "--langevin-steps" in variation.words:
        flags["sampler"] = {"steps": int(variation.words[1])}
    given = gather(assignments=assignments, flags=flags)
    config = resolve_config(Path(request.corpus).name, method, given)
    # No time limit, so that all runs stop by the same rule.
    unlimited = ("--set", "training.minutes=0") if config.training.minutes else ()
    if not RUN_NAME.fullmatch(name):
        raise UsageError(f"a run cannot be called {name!r}; give another name, corpus or recipe")
    words = ("train", request.corpus, "--name", name, "--resume", "auto", *chosen)
    words += (*variation.words, *settings, *unlimited, "--no-summary")
    return PlannedRun(name, method, variation, config.training.seed, config, words)


def is_for(setting: str, method: str, methods: Iterable[str]) -> bool:
    """Whether a run gets this setting: not if only other methods of the plan have a use for it."""
    values = flat(parse_assignment(setting))
    readers = [
        name for name in methods if not all(no_use_for(name, key, value) for key, value in values.items())
    ]
    return method in readers or not readers


def recipe_name(request: Request) -> str:
    """Return the recipe's part of a run's name; a hash marks the content of a user's recipe and extra settings."""
    name, parts = request.recipe, list(request.settings)
    if name not in bundled_recipes():
        own = read_recipe(name)
        name, parts = Path(name).stem, [repr(own.tables), *parts]
    return f"{name}-{fingerprint(*parts)[:6]}" if parts else name


def table_name(request: Request) -> str:
    """Return the part of a table's name that says which runs are in it, and how they are measured."""
    limit = [f"limit{request.limit}"] if request.limit else []
    return "-".join([recipe_name(request), *limit, *(["own"] if request.own else [])])
