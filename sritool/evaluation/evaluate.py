"""Evaluation of checkpoints on a split of a prepared corpus, or on any text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.config.settings import LikelihoodConfig
from sritool.data.store import Split
from sritool.errors import DataError, NumericalError, UsageError
from sritool.evaluation import estimators
from sritool.evaluation.certificate import Certificate
from sritool.evaluation.certificate import certify as certify_model
from sritool.evaluation.estimates import likelihood_curve
from sritool.evaluation.measure import (
    DEFAULT_METRICS,
    KL_SENTENCES,
    NEEDS,
    Settings,
    check_metrics,
    measure,
    origin_of,
)
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.record import Evaluations, decisive, key_of, load_hashed
from sritool.evaluation.sentences import Text, choose_sentences, read_text
from sritool.evaluation.unfinished import FinishedBatches, beside
from sritool.inference.refinement import Refinement
from sritool.likelihood.importance import CURVE
from sritool.runs.model import Report, TrainedModel, load_model

PARTS = tuple(ending for ending in CURVE if ending)
CHAINS = 16  # of annealing, each way


@dataclass(frozen=True)
class Request:
    """What to measure, and on what."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    split: str = "test"
    text: Path | None = None  # a file or "-", in place of the split
    limit: int | None = None  # sentences: a seeded choice of a split, the first ones of a text
    likelihood: LikelihoodConfig = LikelihoodConfig()
    chains: int = 2
    seed: int = 0
    batch_size: int = 64
    data_dir: Path = Path("data")
    estimator: str = estimators.DEFAULT
    rungs: int = 200
    memory: int = estimators.MEMORY
    refinement: Refinement | None = None  # of q(z|x); None: each method's own
    again: bool = False  # measure what is on record too: rows of sentences and the curve are not kept

    def settings(self, sentences: int = 0) -> Settings:
        """How to measure so many sentences."""
        return Settings(
            self.metrics,
            self.likelihood,
            self.seed,
            self.chains,
            self.batch_size,
            # `kl` takes K Hessians a sentence, so that it is measured on a few unless a limit asks for more.
            KL_SENTENCES if self.limit is None else sentences,
            self.estimator,
            self.rungs,
            self.memory,
            refinement=self.refinement,
        )


class Evaluation(NamedTuple):
    """One checkpoint's figures."""

    run: str
    method: str
    data: str  # what they were measured on: `ptb test`, or the name of a text
    total: int  # sentences there, whether or not all were measured
    estimates: list[Estimate]
    sentences: list[dict[str, object]]  # a row a sentence: index, nll, …, the text; of what was measured now
    notes: list[str]
    curve: list[
        tuple[Estimate, Estimate]
    ]  # ppl and nll from M/8, M/4, M/2 and M draws; empty if not measured now


def evaluate(checkpoints: Sequence[Path], request: Request, device: str, report: Report) -> list[Evaluation]:
    """Measure each checkpoint on the same sentences with the same noise.

    Raises: UsageError for no or an unknown metric, or the refinement of what has no encoder; DataError if their
            corpora differ, or the corpus is not the one that a model was trained on.
    """
    if not request.metrics:
        raise UsageError(f"no metric to measure; give some of {', '.join(NEEDS)}")
    check_metrics(request.metrics)
    estimators.check_estimator(request.estimator)
    models = [load_hashed(path, device) for path in checkpoints]
    for model, _ in models:
        estimators.check_estimator(request.estimator, model.method)
        if request.refinement is not None:
            model.method.refined(request.refinement)  # refused before anything is measured
    if request.text is None:
        require_one_corpus([model for model, _ in models])
    text = read_text(request.text) if request.text else None
    found = []
    while models:  # each is let go when it is measured
        model, content = models.pop(0)
        label = f"{run_name(model.path)}: " if len(checkpoints) > 1 else ""
        found.append(evaluate_model(model, content, request, text, label, report))
    if not any(evaluation.estimates for evaluation in found):
        raise UsageError(f"{found[0].notes[0]}; give other metrics")
    return found


def evaluate_model(
    model: TrainedModel, content: str, request: Request, text: Text | None, label: str, report: Report
) -> Evaluation:
    """Measure one checkpoint: what is on record beside it is looked up, the rest is measured and kept.

    Args: content: hash of the checkpoint's file; label: goes before what is reported.
    """
    split, chosen, data = choose_sentences(model, request.split, text, request.limit, request.data_dir)
    settings = request.settings(len(chosen))
    kept = record_of(model, content, split, chosen, settings, request.again)
    wanted = settings.metrics if request.again else kept.missing(settings.metrics)
    measured, notes = None, []
    if wanted:
        finished = FinishedBatches(_unfinished(model, content, split, chosen, settings, tuple(wanted)))
        try:
            measured = measure(
                *(model.method, split, chosen, settings._replace(metrics=wanted)),
                lambda stage, done, total: report(label + stage, done, total),
                finished,
            )
        except NumericalError as error:
            raise NumericalError(f"{run_name(model.path)}: {error}") from error
        kept.add(wanted, measured, _about(model, data, chosen, len(split), settings))
        finished.remove()
        notes = _of_finished(finished)
    estimates, of_figures = kept.get(settings.metrics)
    notes = [*of_figures, *notes, *_of_record(kept, settings.metrics, wanted)]
    columns = measured.rows if measured else {}
    origin = origin_of(model.method, settings)
    curve = likelihood_curve(columns, origin) if "log_likelihood" in columns else []
    rows = _rows(model, split, chosen, columns, text and text.lines)
    name = model.method.name
    return Evaluation(run_name(model.path), name, data, len(split), estimates, rows, notes, curve)


def record_of(
    model: TrainedModel,
    content: str,
    split: Split,
    chosen: NDArray[np.int64],
    settings: Settings,
    again: bool = False,
) -> Evaluations:
    """What is on record beside a checkpoint of these sentences and settings.

    Batches of what is there as a whole are cleared away, unless it is measured `again`: they are of an evaluation
    that was killed just after it was put on record.
    """
    kept = Evaluations(model.path, key_of(content, model.method, split, chosen, settings, model.arithmetic))
    if not again and any(model.path.parent.glob(".evaluate-*.jsonl")):
        for metrics in kept.measured_together():
            with contextlib.suppress(OSError):
                _unfinished(model, content, split, chosen, settings, metrics).unlink(missing_ok=True)
    return kept


def _unfinished(
    model: TrainedModel,
    content: str,
    split: Split,
    chosen: NDArray[np.int64],
    settings: Settings,
    metrics: tuple[str, ...],
) -> Path:
    """Where the batches are kept while these metrics are measured."""
    used = (split.ids, split.offsets, chosen, settings._replace(metrics=metrics), model.arithmetic)
    return beside(model.path, content, *used)


def _about(
    model: TrainedModel, data: str, chosen: NDArray[np.int64], total: int, settings: Settings
) -> dict[str, object]:
    """What a line of the record tells its readers beside the key."""
    used = decisive(settings, model.method, len(chosen))._asdict()
    shown = {name: vars(value) if name == "likelihood" else value for name, value in used.items()}
    if settings.refinement is not None:
        shown["refinement"] = settings.refinement._asdict()
    for unused in ("metrics", "batch_size", "memory"):
        del shown[unused]
    return {
        "checkpoint": model.path.name,
        "method": model.method.name,
        "data": data,
        "sentences": len(chosen),
        "of": total,
        "device": " ".join(model.arithmetic),
        "settings": shown,
    }


def _of_finished(finished: FinishedBatches) -> list[str]:
    if finished.damaged:
        return [f"{finished.path.name} was damaged and is not used: all was measured again"]
    if finished.found:
        return [f"went on after {finished.found} batches of an evaluation that was stopped"]
    return []


def _of_record(kept: Evaluations, metrics: Sequence[str], measured: Sequence[str]) -> Iterator[str]:
    """Which figures were measured before, and what is wrong with the record."""
    known = [name for name in metrics if name not in measured]
    if known:
        what = f"{', '.join(known)}: " if measured else ""
        yield f"{what}measured before, from {kept.path.name}; --again measures anew"
    if kept.damaged:
        yield f"{kept.damaged} damaged lines of {kept.path} are not used"
    if not kept.writable:
        yield f"the figures are not kept, as {kept.path} cannot be written"


def certify(
    checkpoints: Sequence[Path], request: Request, count: int, device: str, report: Report
) -> list[tuple[str, Certificate]]:
    """The bracket of each checkpoint's `adaptive` on `count` sentences of its own, by the run's name.

    Raises: UsageError for a model without z.
    """
    if request.estimator != estimators.DEFAULT:
        raise UsageError(f"--certify is for {estimators.DEFAULT}; leave --estimator out")
    found = []
    for path in checkpoints:
        model = load_model(path, device)
        bracket = certify_model(model, count, request.rungs, CHAINS, request.settings(), report)
        found.append((run_name(path), bracket))
    return found


def run_name(path: Path) -> str:
    """A checkpoint's run folder, or the file's own name where it lies elsewhere."""
    return path.parent.name if path.name in ("best.pt", "last.pt") and path.parent.name else path.name


def require_one_corpus(models: Sequence[TrainedModel], work: str = "evaluate") -> None:
    """Raises: DataError if they were trained on different corpora, so that they have no split in common.

    Args:  work: what is to be done with them, as the advice has it.
    """
    corpora = {model.path: model.checkpoint.corpus for model in models}
    hashes = {corpus["content_hash"] for corpus in corpora.values()}
    if len(hashes) > 1:
        names = ", ".join(f"{run_name(path)}: {corpus['name']}" for path, corpus in corpora.items())
        raise DataError(f"the runs were trained on different corpora ({names}); {work} them one by one")


def _rows(
    model: TrainedModel,
    split: Split,
    chosen: NDArray[np.int64],
    found: Mapping[str, NDArray[np.float64]],
    lines: Sequence[str] | None,
) -> list[dict[str, object]]:
    columns = {
        name: values
        for name, values in found.items()
        if not name.endswith(PARTS) and not np.isnan(values).all()
    }
    if not columns:
        return []
    if "log_likelihood" in columns:
        columns = {"nll": -columns.pop("log_likelihood"), **columns}
    rows = []
    for row, index in enumerate(chosen):
        text = (
            lines[index] if lines is not None else model.tokenizer.decode(split.targets(int(index)).tolist())
        )
        values = {name: float(array[row]) for name, array in columns.items()}
        counts = {name: int(values.pop(name)) for name in ("predictions", "words")}
        rows.append({"index": int(index), **counts, **values, "sentence": text})
    return rows
