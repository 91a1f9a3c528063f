"""Evaluation of checkpoints on a split of a prepared corpus, or on any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.core.config import LikelihoodConfig
from sritool.core.importance import CURVE
from sritool.core.metrics import Estimate
from sritool.corpus.store import Split
from sritool.errors import DataError, UsageError
from sritool.tasks import estimators
from sritool.tasks.certify import Certificate
from sritool.tasks.certify import certify as certify_model
from sritool.tasks.figures import likelihood_curve
from sritool.tasks.finished import FinishedBatches, beside
from sritool.tasks.measure import (
    DEFAULT_METRICS,
    KL_SENTENCES,
    NEEDS,
    Measured,
    Report,
    Settings,
    check_metrics,
    measure,
    origin_of,
)
from sritool.tasks.model import Model, load_model
from sritool.tasks.sentences import Text, choose_sentences, read_text

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
        )


class Evaluation(NamedTuple):
    """One checkpoint's figures."""

    run: str
    method: str
    data: str  # what they were measured on: `ptb test`, or the name of a text
    total: int  # sentences there, whether or not all were measured
    estimates: list[Estimate]
    sentences: list[dict[str, object]]  # a row a sentence: index, nll, …, the text
    notes: list[str]
    curve: list[
        tuple[Estimate, Estimate]
    ]  # ppl and nll from M/8, M/4, M/2 and M draws; empty if not measured


def evaluate(checkpoints: Sequence[Path], request: Request, device: str, report: Report) -> list[Evaluation]:
    """Measure each checkpoint on the same sentences with the same noise.

    Raises: UsageError for no or an unknown metric; DataError if their corpora differ, or the corpus is not the
            one that a model was trained on.
    """
    if not request.metrics:
        raise UsageError(f"no metric to measure; give some of {', '.join(NEEDS)}")
    check_metrics(request.metrics)
    estimators.check_estimator(request.estimator)
    models = [load_model(path, device) for path in checkpoints]
    for model in models:
        estimators.check_estimator(request.estimator, model.method)
    _same_corpus(models, request)
    text = read_text(request.text) if request.text else None
    found = []
    while models:  # each is let go when it is measured
        label = f"{run_name(models[0].path)}: " if len(checkpoints) > 1 else ""
        found.append(_evaluate(models.pop(0), request, text, label, report))
    return found


def _evaluate(model: Model, request: Request, text: Text | None, label: str, report: Report) -> Evaluation:
    split, chosen, data = choose_sentences(model, request.split, text, request.limit, request.data_dir)
    settings = request.settings(len(chosen))

    def tell(stage: str, done: int, total: int) -> None:
        report(label + stage, done, total)

    kind = (model.device.type, str(model.generator.output.dtype))
    finished = FinishedBatches(beside(model.path, split.ids, split.offsets, chosen, settings, kind))
    measured = measure(model.method, split, chosen, settings, tell, finished)
    finished.remove()
    notes = list(measured.notes)
    if finished.damaged:
        notes.append(f"{finished.path.name} was damaged and is not used: all was measured again")
    elif finished.found:
        notes.append(f"went on after {finished.found} batches of an evaluation that was stopped")
    origin = origin_of(model.method, settings)
    curve = likelihood_curve(measured.rows, origin) if "log_likelihood" in measured.rows else []
    rows = _rows(model, split, chosen, measured, text and text.lines)
    name = model.method.name
    return Evaluation(run_name(model.path), name, data, len(split), measured.estimates, rows, notes, curve)


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


def _same_corpus(models: Sequence[Model], request: Request) -> None:
    if request.text is not None:
        return
    corpora = {model.path: model.checkpoint.corpus for model in models}
    hashes = {corpus["content_hash"] for corpus in corpora.values()}
    if len(hashes) > 1:
        names = ", ".join(f"{run_name(path)}: {corpus['name']}" for path, corpus in corpora.items())
        raise DataError(f"the runs were trained on different corpora ({names}); evaluate them one by one")


def _rows(
    model: Model,
    split: Split,
    chosen: NDArray[np.int64],
    measured: Measured,
    lines: Sequence[str] | None,
) -> list[dict[str, object]]:
    columns = {
        name: values
        for name, values in measured.rows.items()
        if not name.endswith(PARTS) and not np.isnan(values).all()
    }
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
