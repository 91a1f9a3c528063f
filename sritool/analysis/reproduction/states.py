"""How far each run of a plan is, read from its own folder or from a run used in its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sritool.analysis.reproduction.measures import Measure
from sritool.analysis.reproduction.outputs import Outputs
from sritool.analysis.reproduction.plan import Plan, PlannedRun
from sritool.analysis.reproduction.same_settings import differing
from sritool.analysis.training_cost import Training, training_of
from sritool.config.settings import LikelihoodConfig, RunConfig
from sritool.errors import CheckpointError, UsageError
from sritool.evaluation.collapse import has_collapsed
from sritool.evaluation.evaluate import evaluation_on_record, record_of
from sritool.evaluation.evaluations_on_record import HashedModel, load_hashed
from sritool.evaluation.likelihood_estimators import ESTIMATORS
from sritool.evaluation.sentences import choose_sentences
from sritool.evaluation.settings import EvaluationSettings
from sritool.locks import Lock
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.checkpoint_checks import TrainedOn
from sritool.runs.folder import BEST, LAST, LOCK


class Known(NamedTuple):
    """The model of a run, and its figures on record."""

    path: Path  # of its checkpoint
    content: str  # hash of the checkpoint file
    config: RunConfig
    training: Training
    best_after: float  # seconds of training up to the best epoch
    corpus: TrainedOn
    ignores_z: bool  # at its last validation
    # Words of a measure -> (metrics on record, their evaluation), or the rows that its command printed.
    done: dict[tuple[str, ...], Any]


class State(NamedTuple):
    """How far a run is."""

    folder: Path | None = None  # None: not begun
    known: Known | None = None  # None: no model yet, or still in autoencoder pretraining
    epochs: int = 0  # done
    steps: int = 0
    seconds: float = 0.0  # of training so far
    in_use: bool = False  # by another process
    apart: tuple[str, ...] = ()  # settings that differ from the plan

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return self.known is not None and self.known.training.ended

    def progress(self, run: PlannedRun) -> str:
        """Return the progress of its training, in words."""
        planned = self.known.training.planned if self.known else run.config.training.epochs
        how = "done" if self.trained else f"{self.epochs} of {planned} epochs" if self.folder else "to do"
        return f"{how}, in use by another process" if self.in_use and not self.trained else how

    def missing(self, run: PlannedRun) -> list[Measure]:
        """Return the measures that are still to be done."""
        done = self.known.done if self.known is not None else {}

        def is_done(measure: Measure) -> bool:
            found = done.get(measure.words)
            return found is not None and (not measure.recorded or {*measure.metrics} <= {*found[0]})

        return [measure for measure in run.measures if not is_done(measure)]


def train_words(plan: Plan, run: PlannedRun, state: State, folder: Path | None) -> tuple[str, ...]:
    """Return the command that trains a run, or that resumes the run in `folder` used in its place."""
    if folder is None or state.folder == plan.request.runs_dir / run.name:
        return run.words
    limit = ("--set", "training.minutes=0") if run.config.training.minutes else ()
    return ("train", plan.request.corpus, "--resume", str(folder), "--no-summary", *limit)


def state_of(plan: Plan, run: PlannedRun, device: str = "cpu") -> State:
    """Return how far a run is; figures measured on another kind of device do not count.

    Raises:
        CheckpointError: A checkpoint is damaged.
        UsageError: The folder given in `use` has no checkpoint, or holds a run of another method or corpus.
    """
    folder, named = _folder(plan, run)
    if folder is None:
        return State(in_use=_in_use(plan.request.runs_dir / run.name))
    last = _newest(folder)
    if last is None:
        return State()
    if named:
        _check(plan, run, folder, last)
    known = _known(plan, run, folder, device)
    progress = last.progress
    epochs = 0 if progress.pretraining else progress.epoch
    apart = tuple(differing(last.config, run.config))
    steps, seconds = progress.step, progress.seconds
    return State(folder, known, epochs, steps, seconds, _in_use(folder), apart)


def _folder(plan: Plan, run: PlannedRun) -> tuple[Path | None, bool]:
    """Return the run's folder, and whether it was given in `use`."""
    use, runs_dir = plan.request.use, plan.request.runs_dir
    named = use.get(run.name)
    if named is not None:
        folder = named if named.exists() else runs_dir / named
        if not any((folder / name).is_file() for name in (BEST, LAST)):
            raise UsageError(f"--use {run.short}={named}: there is no run; give the folder of one")
        return folder, True
    own = runs_dir / run.name
    if any((own / name).is_file() for name in (BEST, LAST)):
        return own, False
    if not plan.request.usual:
        return None, False
    usual = runs_dir / f"{Path(plan.request.corpus).name}-{run.method}"  # as train names it
    found = _newest(usual)
    if found and found.config.training.seed == run.seed and not differing(found.config, run.config, False):
        return usual, False
    return None, False


def _newest(folder: Path) -> Checkpoint | None:
    paths = [folder / name for name in (LAST, BEST) if (folder / name).is_file()]
    return load_checkpoint(paths[0]) if paths else None


def _check(plan: Plan, run: PlannedRun, folder: Path, found: Checkpoint) -> None:
    what = ""
    if found.config.method != run.method:
        what = f"of method {found.config.method}"
    elif found.corpus.name != Path(plan.request.corpus).name:
        what = f"on corpus {found.corpus.name}"
    if what:
        raise UsageError(f"--use {run.short}={folder}: the run is {what}; give one as {run.name} is planned")


def _in_use(folder: Path) -> bool:
    """Whether another process trains there."""
    if not (folder / LOCK).is_file():
        return False
    try:
        return not Lock(folder / LOCK).is_free()
    except OSError:  # another user's lock: `train` explains it
        return False


def _known(plan: Plan, run: PlannedRun, folder: Path, device: str) -> Known | None:
    if not (folder / BEST).is_file():
        return None
    try:
        model = load_hashed(folder / BEST, device)
    except CheckpointError:
        if load_checkpoint(folder / BEST).progress.pretraining:
            return None
        raise
    training = training_of(model, plan.request.data_dir)
    done = dict(_on_record(plan, run, model))
    found = model.checkpoint
    best_after = found.progress.seconds
    collapsed = has_collapsed(found)
    return Known(model.path, model.content, found.config, training, best_after, found.corpus, collapsed, done)


def _on_record(plan: Plan, run: PlannedRun, model: HashedModel) -> Iterator[tuple[tuple[str, ...], Any]]:
    outputs = Outputs(model.path)
    for measure in run.measures:
        if measure.recorded:
            settings = settings_of(plan, measure)
            chosen = choose_sentences(model, settings.split, None, settings.limit, plan.request.data_dir)
            kept = record_of(model, chosen, settings)
            missing = kept.missing(settings.metrics)
            present = tuple(name for name in settings.metrics if name not in missing)
            if present:
                yield measure.words, (present, evaluation_on_record(model, chosen, kept, present))
        else:
            rows = outputs.rows(model.content, plan.measure_words(measure, ""))
            if rows is not None:
                yield measure.words, rows


def settings_of(plan: Plan, measure: Measure) -> EvaluationSettings:
    """Return the evaluation settings of a recorded measure of a plan."""
    return EvaluationSettings(
        measure.metrics,
        split=measure.split,
        limit=plan.request.limit,
        data_dir=plan.request.data_dir,
        estimator=measure.estimator,
        likelihood=LikelihoodConfig(samples=ESTIMATORS[measure.estimator].samples),
    )
