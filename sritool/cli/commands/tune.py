"""`sritool tune`: a random search over settings, by the validation split."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sritool._version import __version__
from sritool.cli.formats import FOR_PEOPLE, Best, Table, exact, markdown_lines
from sritool.cli.options.files import DataDirOpt, OutputOptions, RunsDirOpt, check_writable, file_option
from sritool.cli.options.models import DeviceOptions
from sritool.cli.options.training import PlanOptions
from sritool.cli.render import emit, emit_panels
from sritool.cli.reproduction.tables import machine_line
from sritool.cli.signatures import in_panel
from sritool.cli.streams import say
from sritool.cli.tables.figures import difference_text, figure_columns
from sritool.errors import UsageError

if TYPE_CHECKING:
    from sritool.analysis.random_search import Result, Search
    from sritool.cli.child import Done

MOST_TRIALS = 1000  # names with three digits sort by number
_TAKEN = ("trial", "epochs", "steps", "minutes", "state")  # columns of every search
OF_SETTINGS = (2, 4)
"""Exit codes of a trial that are due to its settings; with any other, the search itself has failed."""
search_option = in_panel("Search")


def tune(
    corpus: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    over: Annotated[list[str] | None, search_option(metavar="KEY=VALUES")] = None,
    method: Annotated[str, search_option("--method", "-m", metavar="NAME")] = "sri",
    epochs: Annotated[int | None, search_option(min=1)] = None,
    trials: Annotated[int, search_option(min=1, max=MOST_TRIALS)] = 12,
    seed: Annotated[int, search_option(min=0)] = 0,
    name: Annotated[str | None, search_option()] = None,
    write: Annotated[Path | None, file_option("--write", metavar="FILE.md")] = None,
    best: Annotated[Path | None, file_option("--best", metavar="FILE.toml")] = None,
    given: PlanOptions,
    device: DeviceOptions,
    data_dir: DataDirOpt = Path("data"),
    runs_dir: RunsDirOpt = Path("runs"),
    output: OutputOptions,
) -> None:
    """Search for better settings: train with values drawn at random, and rank them on the validation split.

    sritool tune tiny --over optimizer.learning_rate=0.001..0.02:log --trials 4 --epochs 2 --budget 9m

    sritool tune mine -m vae-fb --over free_bits.target=2..10 --over generator.dropout=0.1,0.3,0.5 --best best.toml

    Trial 0 is the recipe as it is. What another trial draws depends only on --seed, its number and the setting, so
    that more --trials add to the existing ones. A trial is a plain train command, which --dry-run prints. All trials
    are then measured on the same validation sentences, never on test, by the figure that selects the method's
    best.pt; the difference to trial 0 is taken sentence by sentence.

    Stop it at any moment, with Ctrl-C, SIGTERM or --budget, and give the same command again: it continues where it
    was. Several of these commands may work on one search at the same time, as each skips what another one is
    training. A trial that fails is shown with the reason, and the search continues.

    --best writes the recipe with the settings of the best trial. Those that every method reads are for all methods:
    search with lm, and train any method with them. The number of epochs is the recipe's, not that of --epochs.

    Args:
        corpus: A built-in corpus, or one that you prepared.
        over: A setting to search and its values: a range, like sampler.steps=5..20, with :log uniform in its
            logarithm, like optimizer.learning_rate=0.0005..0.01:log; or choices, like generator.dropout=0.1,0.2,0.4.
            Repeatable.
        method: Method of all trials.
        epochs: Planned epochs of a trial; schedules span them. [default: the recipe's]
        trials: Number of trials, including the recipe as it is (trial 0).
        seed: Seed of the values that trials draw; the training seed is training.seed.
        name: Runs are called NAME-000, NAME-001 and so on. [default: CORPUS-METHOD-tune and a hash of the search]
        write: Write the record of the search to this file, after each trial.
        best: Write the best trial's settings to this file, for train --recipe.
    """
    began = time.monotonic()
    form = output.format()
    from sritool.analysis.random_search import best_of, make_search, recipe_of, results
    from sritool.analysis.reproduction.outputs import this_machine
    from sritool.analysis.reproduction.plan import Request
    from sritool.analysis.reproduction.time_estimates import corpus_of
    from sritool.cli.plan_worker import Worker
    from sritool.cli.reproduction.files import plan_table
    from sritool.config.values import to_toml
    from sritool.files import write_output

    if best is not None and best.suffix != ".toml":
        raise UsageError(f"--best {best} is not a recipe file; give one that ends in .toml")
    for path, named in ((write, "--write"), (best, "--best")):
        if path is not None:
            check_writable(path, named)
    fixed = tuple(given.assignments or ())
    request = Request(
        "tune", corpus, (method,), (), given.recipe, fixed, runs_dir=runs_dir, data_dir=data_dir
    )
    search = make_search(request, over or (), trials, epochs, seed, name)
    corpus_of(search.plan)
    where = device.open_device()
    if given.dry_run:
        not_run = [f"trial {one.number}: {one.state}" for one in search.trials if one.run is None]
        emit(plan_table(search.plan, where, form, not_run), form)
        return
    results(search, where)  # refuses folders of another search before anything is trained
    words = ["sritool", "tune", corpus, "--method", method, "--recipe", given.recipe]
    words += [word for text in over or () for word in ("--over", text)]
    words += [word for text in fixed for word in ("--set", text)]
    words += [*(["--epochs", str(epochs)] if epochs else []), "--trials", str(trials), "--seed", str(seed)]
    words += ["--name", name] if name else []
    words += ["--data-dir", str(data_dir)] if data_dir != Path("data") else []
    words += ["--runs-dir", str(runs_dir)] if runs_dir != Path("runs") else []

    def look() -> list[Result]:
        """Write the record of the trials so far, and return their results."""
        found = results(search, where)
        if write is not None:
            table = trials_table(search, found, worker.failed, "markdown")
            lines = record_lines(table, shlex.join(words), this_machine(where))
            write_output(write, ["".join(lines).encode()])
        return found

    worker = Worker(search.plan, where, device.words(), given.budget, output.quiet, began)
    worker.work(look if write is not None else lambda: None)
    found = look()
    winner = best_of(found)
    if best is not None and winner is not None:
        write_output(best, [to_toml(recipe_of(search, winner)).encode()])
    elif best is not None:
        say(f"{best} is not written, as no trial is measured yet; give the command again", label="warning")
    emit_panels([trials_table(search, found, worker.failed, form)], form)
    if any(winner is None or done.code not in OF_SETTINGS for done in worker.failed.values()):
        raise worker.failure()


def trials_table(search: Search, found: Sequence[Result], failed: Mapping[str, Done], fmt: str) -> Table:
    """Return one row per trial, the best first; `failed` says how the command of a failed run ended."""
    from sritool.analysis.random_search import best_of, verdict

    title = f"Random search: {search.plan.request.corpus}, {search.plan.request.methods[0]}"
    rows = [_for_people(search, one) if fmt in FOR_PEOPLE else _for_programs(search, one) for one in found]
    for row, one in zip(rows, found, strict=True):
        row["state"] = _state(one, failed)
    if fmt in FOR_PEOPLE and best_of(found) is not None:
        rows[0][search.metric] = Best(rows[0][search.metric])
    note = [*verdict(found), *(["*: beyond two standard errors"] if fmt in FOR_PEOPLE else [])]
    return Table.of(title, rows, "\n".join(note))


def _for_people(search: Search, one: Result) -> dict[str, object]:
    state, paired = one.state, one.difference
    cell = paired and difference_text(paired.value, paired.standard_error, paired.is_clear)
    return {
        "trial": one.trial.number,
        **dict(zip(_short(search.keys), map(exact, search.values(one.trial)), strict=True)),
        **figure_columns(search.metric, one.estimate, people=True),
        "minus trial 0": cell,
        "epochs": state.epochs if state.folder else None,
        "steps": state.steps if state.folder else None,
        "minutes": round(state.seconds / 60, 2) if state.folder else None,
    }


def _short(keys: Sequence[str]) -> list[str]:
    """The settings without their sections, where that still tells them from all other columns."""
    last = [key.rpartition(".")[2] for key in keys]
    return [
        key if name in _TAKEN or last.count(name) > 1 else name for key, name in zip(keys, last, strict=True)
    ]


def _for_programs(search: Search, one: Result) -> dict[str, object]:
    state, paired = one.state, one.difference
    return {
        "trial": one.trial.number,
        "run": one.trial.run and one.trial.run.name,
        **dict(zip(search.keys, search.values(one.trial), strict=True)),
        **figure_columns(search.metric, one.estimate, people=False),
        f"{search.metric} diff": paired and paired.value,
        f"{search.metric} diff se": paired and paired.standard_error,
        "epochs": state.epochs,
        "steps": state.steps,
        "seconds": state.seconds,
    }


def _state(one: Result, failed: Mapping[str, Done]) -> str:
    if one.trial.run is None:
        return one.trial.state
    done, progress = failed.get(one.trial.run.name), one.state.progress(one.trial.run)
    if done is not None:
        return f"failed: {done.reason}"
    if progress == "done" and one.estimate is None:
        return "not measured"
    return f"{progress}, ignores z" if one.ignores_z else progress


def record_lines(table: Table, command: str, machine: Mapping[str, str]) -> Iterator[str]:
    """Yield the record of a search in Markdown: the command that repeats it, and its trials for people."""
    yield f"## {table.title}\n\n```sh\n{command}\n```\n\n"
    yield f"{time.strftime('%Y-%m-%d', time.gmtime())}, sritool {__version__}, {machine_line(machine)}.\n\n"
    yield from markdown_lines(table._replace(title=""))
    yield "\n"
    yield from (f"- {line}\n" for line in table.note.split("\n") if line)
