"""Preparation of training: settings, the run to resume, and the corpus."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sritool.config.settings import RunConfig
from sritool.config.values import flat, plain, read_toml, to_toml
from sritool.data.corpora.hub import HUB_SETS
from sritool.data.corpora.named import NAMED, named_source
from sritool.data.preprocess import preprocess_corpus
from sritool.data.store import INFO_FILE, Corpus, find_corpus, load_corpus
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.errors import CheckpointError, UsageError, suggestion
from sritool.methods.registry import METHODS
from sritool.model.word_subset import LEAST_GAIN, worthwhile
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.folder import (
    BEST,
    CONFIG,
    LAST,
    LOCK,
    clear_leavings,
    find_checkpoint,
    hold,
    is_abandoned,
    new_run,
    newest_run,
    newest_runs,
    remove_unsaved,
)
from sritool.runs.weights import method_without_memory
from sritool.training.configure import DEFAULT_METHOD, Given, resolve_config, shown
from sritool.training.position import is_over
from sritool.training.sources import with_original_source, with_source
from sritool.training.warm_start import check_fit

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Start(NamedTuple):
    """The user's request."""

    corpus: str
    given: Given = Given()
    resume: str | None = None  # "auto", a path, or None
    name: str | None = None  # of the run folder
    source: Path | None = None  # a checkpoint to take weights from


@dataclass(frozen=True)
class Plan:
    """A run about to begin or to be resumed."""

    start: Start
    config: RunConfig
    folder: Path | None  # of the run to resume
    resume: Checkpoint | None
    stamp: tuple[int, ...] = ()  # identifies the version of the file that `resume` was read from

    def changes(self) -> list[str]:
        """Return the settings that change when the run is resumed, as `optimizer.learning_rate 0.001 → 0.1`."""
        if self.resume is None:
            return []
        before = plain(self.resume.config)
        known, nested, changed = flat(before), Given(before), []
        for key, value in flat(plain(self.config)).items():
            was = known.get(key, nested.get(key))  # the latter if a schedule has begun or ceased to move
            if isinstance(was, dict):
                was = f"{was['start']:g} to {was['end']:g}"
            if was != value:
                changed.append(f"{key} {was} → {value}")
        return changed

    def toml(self) -> str:
        """Return the settings as TOML."""
        return to_toml(shown(self.config))

    @contextlib.contextmanager
    def open_folder(self, runs_dir: Path) -> Iterator[tuple[Plan, Path, bool]]:
        """Open the run's folder for this process alone; remove a new one again if nothing was saved in it.

        Yields the plan (updated if need be), the folder, and whether it is locked; False if there are no locks.

        Raises:
            UsageError: Another process works on the run.
            SritoolError: The folder cannot be written to.
        """
        if self.folder is not None:
            with hold(self.folder) as lock:
                clear_leavings(self.folder)
                # Plan again if another process has saved the run since the plan was made.
                plan = self if _stamp(self.folder) == self.stamp else _plan_of(self.start, self.folder)
                yield plan, self.folder, not lock.unsupported
            return
        new_parent = not runs_dir.exists()
        wanted = runs_dir / _run_name(self.start, self.config.method)
        folder, lock = new_run(wanted)
        with lock:
            try:
                if self.start.resume and folder != wanted and _is_locked(wanted):
                    # Raises an error if another process has begun this run and not saved it yet.
                    hold(wanted).release()
                yield self, folder, not lock.unsupported
            finally:
                if remove_unsaved(folder, lock) and new_parent:
                    with contextlib.suppress(OSError):
                        runs_dir.rmdir()


def plan_run(start: Start, runs_dir: Path, data_dir: Path) -> Plan:
    """Plan a run: its settings and, with `resume`, the run to resume; "auto" begins a new run if there is none.

    Raises:
        UsageError: A name or a setting is unknown, or the run cannot be resumed in this way.
        CheckpointError: The run to resume is damaged.
    """
    check_corpus(start.corpus, data_dir)
    if start.name is not None and not RUN_NAME.fullmatch(start.name):
        raise UsageError(f"--name {start.name!r} cannot name a run; use letters, digits, '.', '_' and '-'")
    return _plan_of(start, _folder_to_resume(start, runs_dir))


def _plan_of(start: Start, folder: Path | None) -> Plan:
    corpus = Path(start.corpus).name
    if folder is None:
        given, sizes = with_source(start.given, start.source)
        return Plan(start, resolve_config(corpus, given=given, sizes=sizes), None, None)
    stamp = _stamp(folder)
    try:
        resume = load_checkpoint(folder / LAST)
    except CheckpointError as error:
        best = f" ({folder / BEST} may still be good)" if (folder / BEST).is_file() else ""
        raise CheckpointError(f"{error}, or start a new run without --resume{best}") from error
    method_without_memory(resume, folder / LAST)
    given, sizes = with_original_source(start.given, start.source, resume.config)
    config = resolve_config(corpus, given=given, under=resume.config, sizes=sizes)
    return Plan(start, config, folder, resume, stamp)


def _is_locked(folder: Path) -> bool:
    """Whether a folder that this user can write to seems to be locked."""
    return (folder / LOCK).exists() and os.access(folder, os.W_OK)


def _stamp(folder: Path) -> tuple[int, ...]:
    """Identity of last.pt, which is a new file after each save."""
    with contextlib.suppress(OSError):
        found = (folder / LAST).stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return ()


def _run_name(start: Start, method: str) -> str:
    return start.name or f"{Path(start.corpus).name}-{method}"


def _folder_to_resume(start: Start, runs_dir: Path) -> Path | None:
    if start.resume is None:
        return None
    if start.resume == "auto":
        if start.name:
            named = runs_dir / start.name
            if (named / LAST).is_file():
                return named
            if not named.exists() or is_abandoned(named):
                return None  # the new run will have this name
        newest = newest_run(runs_dir, _run_name(start, start.given.get("method") or DEFAULT_METHOD))
        if newest is None:
            return None
        folder = newest
    elif start.name is not None:
        raise UsageError(f"--name is for a new run; leave it out, or --resume {start.resume}")
    else:
        path = find_checkpoint(Path(start.resume), runs_dir)
        folder = path.parent
        if Path(start.resume).is_file() and path.name != LAST:
            raise UsageError(f"{path} cannot be resumed; give the run folder: --resume {folder}")
    if not (folder / LAST).is_file():
        raise UsageError(f"{folder} has no {LAST} to go on from; start a new run without --resume")
    return folder


def unfinished_run(plan: Plan, runs_dir: Path) -> Path | None:
    """Return an unfinished run of the plan's corpus and method, whatever its name.

    Reads at most three checkpoints, of the newest runs of this method, because that takes time.
    """
    for folder in [one for one in newest_runs(runs_dir) if _method_of(one) == plan.config.method][:3]:
        with contextlib.suppress(CheckpointError):
            saved = load_checkpoint(folder / LAST)
            if saved.corpus.name == Path(plan.start.corpus).name and not is_over(saved, folder / LAST):
                return folder
    return None


def _method_of(folder: Path) -> str | None:
    with contextlib.suppress(UsageError):
        return read_toml(folder / CONFIG).get("method")
    return None


def check_corpus(name: str, data_dir: Path) -> None:
    """Check, before anything is written, that a corpus is built in or prepared.

    Raises:
        UsageError: There is no corpus of this name.
    """
    if name in NAMED or find_corpus(name, data_dir) is not None:
        return
    if Path(name).is_file():
        raise UsageError(f"{name} is a file; prepare it first: sritool preprocess {name} --name NAME")
    prepared = [path.parent.name for path in data_dir.glob(f"[!.]*/{INFO_FILE}")]
    hint = suggestion(name, [*NAMED, *prepared])
    raise UsageError(f"no corpus {name!r}{hint} (your own text: sritool preprocess FILE --name NAME)")


def corpus_of_run(resume: str | None, runs_dir: Path, data_dir: Path) -> str:
    """Return the name or path of the corpus of the run to resume, for a command that names no corpus.

    Raises:
        UsageError: `resume` is None or "auto", or the name of a corpus.
        CheckpointError: There is no such run, or it is damaged.
    """
    if resume in (None, "auto"):
        raise UsageError("NAME: a value is missing; name the corpus to train on, or the run: --resume RUN")
    try:
        trained = load_checkpoint(find_checkpoint(Path(resume), runs_dir)).corpus
    except CheckpointError:
        if resume in NAMED or find_corpus(resume, data_dir) is not None:
            taken = f"as --resume took {resume!r} for the run to resume"
            raise UsageError(f"NAME: a value is missing, {taken}; give NAME before --resume") from None
        raise
    known = trained.name in NAMED or find_corpus(trained.name, data_dir) is not None
    elsewhere = find_corpus(trained.path, data_dir)
    return trained.name if known or elsewhere is None else str(elsewhere)


def prepare_corpus(plan: Plan, data_dir: Path, source: Path | None, say: Callable[[str], None]) -> Corpus:
    """Return the prepared corpus; prepare a built-in one if that has not been done yet.

    Raises:
        UsageError: The checkpoint that a new run is to begin from does not fit the run or the corpus.
    """
    name = plan.start.corpus
    path = find_corpus(name, data_dir)
    if path is None:
        origin = ", from the Hugging Face hub" if source is None and name in HUB_SETS else ""
        say(f"preparing {name} in {data_dir / name}{origin}")
        path = preprocess_corpus(name, named_source(name, source), data_dir=data_dir).path
    elif source is not None:
        say(f"{path} is prepared already; --from {source} is not read")
    corpus = load_corpus(path)
    given = plan.config.warm_start.checkpoint
    if given and plan.resume is None:
        check_fit(load_checkpoint(Path(given)), Path(given), plan.config, corpus.tokenizer)
    words, predicted = plan.start.given.get("sampler.words"), len(corpus.tokenizer) - FIRST_PREDICTED
    if (
        words
        and METHODS[plan.config.method].has_chain
        and not worthwhile(plan.config.sampler.words, predicted)
    ):
        say(
            f"--words {words} has no effect on a vocabulary of {predicted:,}: the chain sees all words, as drawing "
            f"more than a third of them saves nothing; give at most {predicted // LEAST_GAIN:,}"
        )
    return corpus
