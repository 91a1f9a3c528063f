"""Gathers the content of a run's report page: figures, curves, sentences, a map of codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sritool._version import __version__
from sritool.analysis.figures_on_record import Figures, figures_of, in_order, notes_on
from sritool.analysis.interpolation import Way, interpolate_once
from sritool.analysis.latent_map import FEWEST_ON_MAP, map_both
from sritool.analysis.training_cost import Training, training_of
from sritool.analysis.training_curves import VALIDATION, Point, points_of, read_records
from sritool.config.settings import RunConfig
from sritool.data.corpus_info import CorpusInfo
from sritool.data.tokenizer import EOS
from sritool.errors import DataError
from sritool.evaluation.collapse import IGNORES_Z, collapse_note, ignores_z
from sritool.evaluation.evaluations_on_record import load_hashed
from sritool.evaluation.metrics import Array, Estimate
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.sentences import choose_sentences, prepared_corpus
from sritool.evaluation.settings import EvaluationSettings
from sritool.model.decoding import DecodingConfig
from sritool.runs.folder import BEST, LAST, METRICS
from sritool.runs.model import Report, TrainedModel
from sritool.runs.names import run_name

POINTS = 9  # of the interpolation
RECONSTRUCTED = 8  # sentences shown with their reconstructions


@dataclass(frozen=True)
class Request:
    """What the page shows."""

    split: str = "test"
    limit: int = 256  # sentences for figures that are not on record
    map_sentences: int = 1000
    samples: int = 500
    sentences: bool = True  # whether sentences of the corpus may be shown
    seed: int = 0
    batch_size: int = 64
    data_dir: Path = Path("data")


class Map(NamedTuple):
    """Posterior means mapped to the plane, and as many draws of the prior, mapped in the same way."""

    places: Array  # [n, 2]
    control: Array  # [n, 2]
    lengths: list[int]  # [n], tokens without </s>
    labels: list[str] | None  # [n]; None if the corpus has none
    sentences: list[str] | None  # [n]; None if they may not be shown
    of: int  # sentences of the split


@dataclass(frozen=True)
class RunReport:
    """Content of the page. Parts that need z are None for a model without z; `left_out` gives the reason."""

    run: str
    path: Path
    posterior: str  # name of its q(z|x)
    config: RunConfig
    corpus: CorpusInfo
    tokenizer: str
    training: Training
    steps: int  # updates of θ before the checkpoint
    epoch: int  # after which the checkpoint was saved
    written: float  # seconds since 1970, UTC
    version: str
    data: str  # corpus and split of the figures: `mine test`
    total: int  # sentences of that split
    figures: list[Figures]
    notes: list[str]
    curves: list[Point]
    samples: list[str]
    interpolation: list[str] | None
    reconstructions: list[tuple[str, str]] | None  # (sentence, its reconstruction)
    map: Map | None
    left_out: dict[str, str]  # missing part -> reason
    request: Request

    @property
    def estimates(self) -> list[Estimate]:
        """All figures in table order."""
        return in_order(self.figures)

    @property
    def ignores_z(self) -> bool:
        """Whether the generator ignores z, by the figures."""
        return ignores_z(self.estimates)


def gather(checkpoint: Path, request: Request, device: str, report: Report) -> RunReport:
    """Measure all parts of the page, or look them up beside the checkpoint.

    Raises:
        DataError: The corpus is missing.
        UsageError: A part refuses the request.
        NumericalError: A figure or code is not finite.
    """
    model = load_hashed(checkpoint, device)
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
    figures = figures_of(model, corpus, measurement, report)
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
    # Notes of new measurements contain the verdict, those on record do not: add it once for all figures.
    notes = [note for note in notes_on(figures) if IGNORES_Z not in note]
    notes += filter(None, [collapse_note(model.checkpoint, in_order(figures))])
    if training.left:
        notes.append(training.left)
    progress = model.checkpoint.progress
    return RunReport(
        run=run_name(model.path),
        path=model.path,
        posterior=model.method.posterior_name if model.latent else "",
        config=model.checkpoint.config,
        corpus=corpus.info,
        tokenizer=model.tokenizer.kind,
        training=training,
        steps=progress.step,
        epoch=progress.epoch,
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
    """Return the map, and its first sentences with their reconstructions."""
    split, chosen, _ = choose_sentences(model, request.split, None, request.map_sentences, request.data_dir)
    codes = codes_of_split(model, split, chosen, CodeSettings(), request.batch_size, report)[:, 0]
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
    """Return the training curves of the checkpoint's run; without a metrics.jsonl, of its validations alone.

    For a model without z, the curves about z (always 0) and the reconstruction (equal to the NLL) are left out.
    """
    path = model.path.with_name(METRICS)
    records = read_records(path)[0] if model.path.name in (BEST, LAST) and path.is_file() else []
    if not any(record["kind"] == "epoch" for record in records):
        stored = (record for record in model.checkpoint.metrics if isinstance(record.get("step"), int))
        records = [{"kind": "epoch", **record} for record in stored]
    without_z = {name for name in VALIDATION if name != "nll"}
    found = points_of(run_name(model.path), records)
    return [point for point in found if model.latent or point.metric not in without_z]
