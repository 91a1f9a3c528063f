"""What a page about a trained run shows, gathered: figures, curves, sentences, a map of codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sritool._version import __version__
from sritool.analysis.interpolation import Way, interpolate_once
from sritool.analysis.latent_map import FEWEST_ON_MAP, map_both
from sritool.analysis.training_cost import Training, training_of
from sritool.analysis.training_curves import VALIDATION, Point, points_of, read_records
from sritool.config.settings import RunConfig
from sritool.data.corpus_info import CorpusInfo
from sritool.data.tokenizer import EOS
from sritool.errors import DataError
from sritool.evaluation.collapse import IGNORES_Z, collapse_note, ignores_z
from sritool.evaluation.evaluate import evaluate_model, record_of, run_name
from sritool.evaluation.evaluations import NAME, Evaluations, load_hashed, metric_of
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.record import Record
from sritool.evaluation.sentences import choose_sentences, prepared_corpus
from sritool.evaluation.settings import DEFAULT_METRICS, NEEDS, EvaluationSettings
from sritool.model.decoding import DecodingConfig
from sritool.runs.bundled import records_folder
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.model import Report, TrainedModel

CHAINS = 5  # whose mean is a sentence's place in the map
POINTS = 9  # of the interpolation
WITHOUT_Z = ("ppl", "nll")  # all there is to measure on a language model
WEIGHTED = frozenset(name for name, needs in NEEDS.items() if "likelihood" in needs)
RECONSTRUCTED = 8  # sentences beside what their codes decode to


@dataclass(frozen=True)
class Request:
    """What is to be on the page."""

    split: str = "test"
    limit: int = 256  # sentences that what is not on record is measured on
    map_sentences: int = 1000
    samples: int = 500
    sentences: bool = True  # whether those of the corpus may be shown
    seed: int = 0
    batch_size: int = 64
    data_dir: Path = Path("data")


class Figures(NamedTuple):
    """Figures that were measured together."""

    limit: int | None  # sentences asked for; None: all
    estimates: list[Estimate]
    notes: list[str]


class Map(NamedTuple):
    """Posterior means in the plane, beside as many draws of the prior laid out in the same way."""

    places: NDArray[np.float64]  # [n, 2]
    control: NDArray[np.float64]  # [n, 2]
    lengths: list[int]  # [n], tokens without </s>
    labels: list[str] | None  # [n], where the corpus has them
    sentences: list[str] | None  # [n], where they may be shown
    of: int  # sentences of the split


@dataclass(frozen=True)
class RunReport:
    """A run on a page. A part that needs z is None without it, and `left_out` says so."""

    run: str
    path: Path
    method: str
    posterior: str  # what its q(z|x) is called
    config: RunConfig
    corpus: CorpusInfo
    tokenizer: str
    training: Training
    steps: int  # updates of θ before the checkpoint
    epoch: int  # that it was saved after
    written: float  # seconds since 1970, UTC
    version: str
    data: str  # what was measured on: `mine test`
    total: int  # sentences there
    figures: list[Figures]
    notes: list[str]
    curves: list[Point]
    samples: list[str]
    interpolation: list[str] | None
    reconstructions: list[tuple[str, str]] | None  # a sentence, and its code decoded
    map: Map | None
    left_out: dict[str, str]  # part -> why it is not there
    request: Request

    @property
    def estimates(self) -> list[Estimate]:
        """All figures in the order of a table."""
        return in_order(self.figures)

    @property
    def ignores_z(self) -> bool:
        """Whether its generator does, by the figures."""
        return ignores_z(self.estimates)


def gather(checkpoint: Path, request: Request, device: str, report: Report) -> RunReport:
    """Measure all parts of the page, or look them up beside the checkpoint.

    Args:
        checkpoint: A checkpoint or run folder.
        request: What is on the page.
        device: Where the model runs.
        report: Is told of the sentences done.

    Raises:
        DataError: The corpus is not there.
        UsageError: As the parts have it.
        NumericalError: As the parts have it.
    """
    model, content = load_hashed(checkpoint, device)
    corpus = prepared_corpus(model, request.data_dir)
    if request.split not in corpus.info.splits:
        raise DataError(
            f"corpus {corpus.info.name} has no split {request.split!r}; it has {', '.join(corpus.info.splits)}"
        )
    training = training_of(model, request.data_dir)
    measurement = EvaluationSettings(
        split=request.split,
        limit=request.limit,
        seed=request.seed,
        batch_size=request.batch_size,
        data_dir=request.data_dir,
    )
    figures = figures_of(model, content, measurement, report)
    left_out: dict[str, str] = {}
    codes = model.prior(request.samples, request.seed)
    drawn = model.decode(codes, model.default_decoding(), request.seed, report=report)
    interpolation, reconstructions, plane = None, None, None
    if model.latent:
        interpolation = interpolate_once(model, Way(POINTS), request.seed, DecodingConfig())
        plane, reconstructions = _of_sentences(model, request, report, left_out)
    else:
        why = f"method {model.method.name} has no z"
        left_out |= dict.fromkeys(("metrics of z", "interpolation", "reconstructions", "map"), why)
    # What was measured just now says the verdict already, what was on record does not.
    notes = [note for note in notes_on(figures) if IGNORES_Z not in note]
    notes += filter(None, [collapse_note(model.checkpoint, in_order(figures))])
    if training.left:
        notes.append(training.left)
    progress = model.checkpoint.progress
    return RunReport(
        run=run_name(model.path),
        path=model.path,
        method=model.method.name,
        posterior=model.method.posterior_name if model.latent else "",
        config=model.checkpoint.config,
        corpus=corpus.info,
        tokenizer=model.tokenizer.kind,
        training=training,
        steps=int(progress["step"]),
        epoch=int(progress["epoch"]),
        written=model.path.stat().st_mtime,
        version=__version__,
        data=f"{corpus.info.name} {request.split}",
        total=corpus.info.splits[request.split].sentences,
        figures=figures,
        notes=notes,
        curves=curves_of(model),
        samples=drawn,
        interpolation=interpolation,
        reconstructions=reconstructions,
        map=plane,
        left_out=left_out,
        request=request,
    )


def _of_sentences(
    model: TrainedModel, request: Request, report: Report, left_out: dict[str, str]
) -> tuple[Map | None, list[tuple[str, str]] | None]:
    """The map, and the first of its sentences beside what their codes decode to."""
    split, chosen, _ = choose_sentences(model, request.split, None, request.map_sentences, request.data_dir)
    how = CodeSettings(CHAINS, mean=True, seed=request.seed)
    codes = codes_of_split(model, split, chosen, how, request.batch_size, report)[:, 0]
    texts = model.texts(split, chosen)
    reconstructions = None
    if request.sentences:
        decoded = model.decode(codes[:RECONSTRUCTED], seed=request.seed)
        reconstructions = list(zip(texts[:RECONSTRUCTED], decoded, strict=True))
    else:
        left_out["reconstructions"] = "they show sentences of the corpus"
    if len(chosen) < FEWEST_ON_MAP:
        left_out["map"] = f"{len(chosen)} sentences are too few for one"
        return None, reconstructions
    names = prepared_corpus(model, request.data_dir).info.labels
    labels = None if split.labels is None else [names[int(split.labels[index])] for index in chosen]
    plane = Map(
        *map_both(codes, model.prior(len(codes), request.seed), request.seed, report),
        [int((split.targets(int(index)) != EOS).sum()) for index in chosen],
        labels,
        texts if request.sentences else None,
        len(split),
    )
    return plane, reconstructions


def curves_of(model: TrainedModel) -> list[Point]:
    """Return the curves of the checkpoint's run; without a metrics.jsonl those of its validations alone.

    A language model's figures of z are all 0 and its reconstruction is its NLL: they are left out.
    """
    path = model.path.with_name(METRICS)
    records = read_records(path)[0] if model.path.name in (BEST, LAST) and path.is_file() else []
    if not any(record["kind"] == "epoch" for record in records):
        stored = (record for record in model.checkpoint.metrics if isinstance(record.get("step"), int))
        records = [{"kind": "epoch", **record} for record in stored]
    without_z = {name for name in VALIDATION if name != "nll"}
    found = points_of(run_name(model.path), records)
    return [point for point in found if model.latent or point.metric not in without_z]


def figures_of(
    model: TrainedModel, content: str, request: EvaluationSettings, report: Report
) -> list[Figures]:
    """Take the figures on record, each on the most sentences there are, and measure the usual ones that are missing.

    What is on record of fewer sentences than the request's limit is not taken.

    Args:
        model: A trained model.
        content: Hash of the checkpoint's file.
        request: How figures are measured; its limit is for what is measured now.
        report: Is told of the sentences done.

    Returns:
        Sets that have no metric in common. Either one of them has all metrics of importance weights, or those on
        record and those measured now are of the same sentences: on a page, ppl is exp of the nll below it.
    """
    usual = DEFAULT_METRICS if model.latent else WITHOUT_Z
    sets = list(figures_on_record(model, content, request, usual))
    known = {metric_of(estimate) for figures in sets for estimate in figures.estimates}
    rest = tuple(name for name in usual if name not in known)
    if rest:
        measured = evaluate_model(model, content, replace(request, metrics=rest), None, "", report)
        sets.append(Figures(request.limit, measured.estimates, measured.notes))
    return sets


def in_order(sets: Iterable[Figures]) -> list[Estimate]:
    """Return all estimates in the order of a table."""
    found = [estimate for figures in sets for estimate in figures.estimates]
    return sorted(found, key=lambda estimate: list(NEEDS).index(metric_of(estimate)))


def notes_on(sets: Sequence[Figures]) -> list[str]:
    """Return all notes, each once; with several sets each says on how many sentences."""
    notes = []
    for figures in sets:
        count = max((estimate.sentences for estimate in figures.estimates), default=0)
        notes += [f"on {count} sentences, {note}" if len(sets) > 1 else note for note in figures.notes]
    return list(dict.fromkeys(notes))


def figures_on_record(
    model: TrainedModel, content: str, request: EvaluationSettings, usual: Sequence[str]
) -> Iterator[Figures]:
    """Take what is kept of this very checkpoint and split, the whole split first; no metric twice.

    Args:
        model: A trained model.
        content: Hash of the checkpoint's file.
        request: How figures are measured; what is on record of fewer sentences than its limit is not taken.
        usual: Metrics that are wanted together.

    Raises:
        DataError: The corpus is not there.
    """
    of_interest = set(NEEDS) if model.latent else set(WITHOUT_Z)
    _, enough, _ = choose_sentences(model, request.split, None, request.limit, request.data_dir)
    found: list[tuple[int | None, int, Evaluations]] = []
    for limit in (None, *_counts_on_record(model.path)):
        chosen = choose_sentences(model, request.split, None, limit, request.data_dir)
        count = len(chosen.examples)
        if count >= len(enough):
            found.append((limit, count, record_of(model, content, chosen, replace(request, limit=limit))))
    weighted = [name for name in usual if name in WEIGHTED]
    whole = (count for _, count, kept in found if not kept.missing(weighted))
    of_weighted = next(whole, len(enough))  # else they are measured on as many
    known: set[str] = set()
    for limit, count, kept in found:
        names = of_interest - known - set(kept.missing(NEEDS))
        names -= WEIGHTED if count != of_weighted else set()
        estimates, notes = kept.get(names)
        if estimates:
            yield Figures(limit, estimates, notes)
        known |= names


def _counts_on_record(checkpoint: Path) -> list[int]:
    """Numbers of sentences that evaluations.jsonl beside a checkpoint has figures on, the most first."""
    counts = set(Record(records_folder(checkpoint) / NAME).read(lambda entry: int(entry["sentences"])))
    return sorted((count for count in counts if count > 0), reverse=True)
