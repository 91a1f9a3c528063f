"""Evaluation of checkpoints on a split of a prepared corpus, or on any text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool.core.checkpoint import load_checkpoint
from sritool.core.config import LikelihoodConfig
from sritool.core.metrics import Estimate
from sritool.corpus.store import Split, find_corpus, load_corpus
from sritool.corpus.textfiles import read_split
from sritool.errors import DataError, UsageError
from sritool.tasks.measure import DEFAULT_METRICS, NEEDS, Measured, Report, Settings, check_metrics, measure
from sritool.tasks.model import Model, load_model

LIMIT_SEED = 0  # of the choice of sentences under a limit: the same for every checkpoint


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


class Evaluation(NamedTuple):
    """One checkpoint's figures."""

    run: str
    method: str
    data: str  # what they were measured on: `ptb test`, or the name of a text
    total: int  # sentences there, whether or not all were measured
    estimates: list[Estimate]
    sentences: list[dict[str, object]]  # a row a sentence: index, nll, …, the text
    notes: list[str]


def evaluate(checkpoints: Sequence[Path], request: Request, device: str, report: Report) -> list[Evaluation]:
    """Measure each checkpoint on the same sentences with the same noise.

    Raises: UsageError for no or an unknown metric; DataError if their corpora differ, or the corpus is not the
            one that a model was trained on.
    """
    if not request.metrics:
        raise UsageError(f"no metric to measure; give some of {', '.join(NEEDS)}")
    check_metrics(request.metrics)
    _same_corpus(checkpoints, request)
    lines = [text.rstrip("\r") for text in read_split(request.text).texts] if request.text else None
    found = []
    for path in checkpoints:
        model = load_model(path, device)
        split, chosen, data = _sentences(model, request, lines)

        def tell(label: str, done: int, total: int, run: str = run_name(path)) -> None:
            report(f"{run}: {label}" if len(checkpoints) > 1 else label, done, total)

        measured = measure(model.method, split, chosen, _settings(request, len(chosen)), tell)
        rows = _rows(model, split, chosen, measured, lines)
        notes = [*measured.notes, *_weak_weights(measured, request.likelihood.samples)]
        name = model.method.name
        found.append(Evaluation(run_name(path), name, data, len(split), measured.estimates, rows, notes))
    return found


def run_name(path: Path) -> str:
    """A checkpoint's run folder, or the file's own name where it lies elsewhere."""
    return path.parent.name if path.name in ("best.pt", "last.pt") and path.parent.name else path.name


def _settings(request: Request, sentences: int) -> Settings:
    # `kl` takes K Hessians a sentence, so that it is measured on a few unless a limit asks for more.
    kl_sentences = {} if request.limit is None else {"kl_sentences": sentences}
    return Settings(
        request.metrics,
        request.likelihood,
        request.seed,
        request.chains,
        request.batch_size,
        **kl_sentences,
    )


def _same_corpus(checkpoints: Sequence[Path], request: Request) -> None:
    if request.text is not None:
        return
    corpora = {path: load_checkpoint(path).corpus for path in checkpoints}
    hashes = {corpus["content_hash"] for corpus in corpora.values()}
    if len(hashes) > 1:
        names = ", ".join(f"{run_name(path)}: {corpus['name']}" for path, corpus in corpora.items())
        raise DataError(f"the runs were trained on different corpora ({names}); evaluate them one by one")


def _sentences(
    model: Model, request: Request, lines: Sequence[str] | None
) -> tuple[Split, NDArray[np.int64], str]:
    """The split, the sentences of it that are measured, and what to call it."""
    if lines is not None:
        split = model.split(lines)
        name = "standard input" if str(request.text) == "-" else str(request.text)
        return split, np.arange(min(len(split), request.limit or len(split))), name
    split = _prepared_split(model, request)
    chosen = np.random.default_rng(LIMIT_SEED).permutation(len(split))[: request.limit]
    return split, np.sort(chosen), f"{model.checkpoint.corpus['name']} {request.split}"


def _prepared_split(model: Model, request: Request) -> Split:
    trained = model.checkpoint.corpus
    path = find_corpus(str(trained["name"]), request.data_dir) or find_corpus(
        str(trained["path"]), request.data_dir
    )
    if path is None:
        raise DataError(
            f"corpus {trained['name']} is not in {request.data_dir}/; prepare it with sritool preprocess, "
            "or give --data-dir or --text FILE"
        )
    corpus = load_corpus(path)
    if corpus.info.content_hash != trained["content_hash"]:
        raise DataError(
            f"the corpus in {path} is not the one that {model.path} was trained on; "
            "prepare that one again, or give --text FILE"
        )
    return corpus.split(request.split)


def _weak_weights(measured: Measured, samples: int) -> list[str]:
    sizes = measured.rows.get("effective_sample_size")
    if sizes is None or np.isnan(sizes).all():
        return []
    mean, worst = float(sizes.mean()), float(np.quantile(sizes, 0.1))
    ll, half = measured.rows["log_likelihood"], measured.rows["log_likelihood_half"]
    return [
        f"adaptive: effective sample size {mean:.0f} of {samples}, worst decile {worst:.0f}; "
        f"nll from half the draws {-half.mean():.3f} against {-ll.mean():.3f}"
    ]


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
        if name != "log_likelihood_half" and not np.isnan(values).all()
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
