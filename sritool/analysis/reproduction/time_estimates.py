"""Estimates how long the rest of a plan takes on this machine, from a few training steps of each kind of run."""

from __future__ import annotations

import math
from dataclasses import replace

from sritool.analysis.classification_data import Request
from sritool.analysis.classification_plan import COUNTS
from sritool.analysis.reproduction.measures import LINES, MAP, POINTS, SAMPLES, SWAPS, Measure
from sritool.analysis.reproduction.plan import Plan, PlannedRun
from sritool.analysis.reproduction.states import State, settings_of
from sritool.data.corpus_info import SplitInfo
from sritool.data.preprocess import tiny_in_memory
from sritool.data.store import Corpus, find_corpus, load_corpus
from sritool.errors import DataError
from sritool.evaluation.settings import DEFAULT_ESTIMATOR
from sritool.model.device import resolve_device
from sritool.training.cost import RunCost, cost_of
from sritool.training.plan import check_corpus
from sritool.training.validation import passes_of

START = 6.0
"""Seconds that a command takes before its work begins, roughly."""

_UNIT_CHAINS = 16  # chains per sentence for `au` in most cases, if there is no exact mean


def corpus_of(plan: Plan) -> Corpus | None:
    """Return the corpus of a plan; None if it is still to be prepared.

    Raises:
        UsageError: The name cannot be that of a corpus.
        DataError: The table needs labels, and the corpus has none.
    """
    name, data_dir = plan.request.corpus, plan.request.data_dir
    check_corpus(name, data_dir)
    path = find_corpus(name, data_dir)
    corpus = load_corpus(path) if path is not None else tiny_in_memory() if name == "tiny" else None
    if corpus is not None and plan.table.labelled and not corpus.info.labels:
        raise DataError(
            f"{plan.request.table} needs labels, and corpus {name} has none; "
            "give --corpus with labels, like yelp"
        )
    return corpus


class Estimates:
    """Time estimates for the steps of a plan, in seconds; each kind of run is timed once."""

    def __init__(self, plan: Plan, corpus: Corpus, device: str) -> None:
        self._plan, self._corpus = plan, corpus
        self._device = resolve_device(device, None)
        self._costs: dict[str, RunCost] = {}

    def training(self, run: PlannedRun, state: State) -> float:
        """Return the seconds left of a run's training, at most: training may end early."""
        if state.trained:
            return 0.0
        planned, cost = run.config.training.epochs, self._cost(run)
        if state.known is not None and state.epochs:
            # From the run's own time so far; epochs with z take longer than those as a language model.
            training, done = state.known.training, state.epochs
            early, late = min(done, cost.early), max(0, done - cost.early)
            as_autoencoder = cost.epochs - planned
            spent = (as_autoencoder + late) * cost.epoch + early * cost.early_epoch
            left = max(1, training.planned - done)
            early_left = max(0, cost.early - done)
            to_come = (left - early_left) * cost.epoch + early_left * cost.early_epoch
            return START + training.seconds * to_come / spent
        validation = 1 + run.config.validation.share
        share = 1.0 - min(state.epochs, planned) / cost.epochs
        return START + validation * cost.seconds * share

    def measuring(self, run: PlannedRun, measure: Measure) -> float:
        """Return the seconds of a measure, by the number of passes through the generator that it needs."""
        passes = self._passes(run, measure)
        cost = self._cost(run)
        a_pass = cost.seconds_a_step / (run.config.training.batch_size * cost.method.work().training)
        return START + passes * a_pass

    def left(self, run: PlannedRun, state: State) -> float:
        """Return the seconds of all that is left of a run."""
        measures = state.missing(run)
        return self.training(run, state) + sum(self.measuring(run, one) for one in measures)

    def uncounted(self) -> list[str]:
        """Return the methods timed so far with extra updates that the estimate leaves out."""
        return sorted({cost.method.name for cost in self._costs.values() if cost.beside})

    def _cost(self, run: PlannedRun) -> RunCost:
        key = repr(replace(run.config, training=replace(run.config.training, seed=0)))
        if key not in self._costs:
            self._costs[key] = cost_of(run.config, self._corpus, self._device)
        return self._costs[key]

    def _split(self, name: str) -> SplitInfo:
        return self._corpus.info.splits[name if name in self._corpus.info.splits else "valid"]

    def _sentences(self, split: str) -> int:
        count = self._split(split).sentences
        return min(count, self._plan.request.limit or count)

    def _chain(self, run: PlannedRun) -> float:
        """Passes for one draw of z per sentence; `work` counts two draws."""
        return self._cost(run).method.work().inference / 2

    def _passes(self, run: PlannedRun, measure: Measure) -> float:
        """Rough number of forward passes of one sentence through the generator for a measure."""
        match measure.words[0]:
            case "evaluate":
                return self._of_evaluation(run, measure)
            case "noisy-recon":
                return 2 * (SWAPS + 2) * (1 + self._chain(run)) * self._sentences("test")
            case "classify":
                return self._of_classification(run)
            case "plot":
                return (1 + self._chain(run)) * min(MAP, self._sentences("test"))
            case "interpolate":
                return 4.0 * LINES * POINTS
            case _:
                return 4.0 * SAMPLES

    def _of_evaluation(self, run: PlannedRun, measure: Measure) -> float:
        settings, method = settings_of(self._plan, measure), self._cost(run).method
        metrics, sentences = settings.metrics, self._sentences(settings.split)
        split = self._split(settings.split)
        length = split.predictions / max(1, split.sentences)
        found = passes_of(method, metrics, settings.likelihood, length) * sentences
        if not method.has_chain:
            return found
        with_density = self._chain(run) * run.config.generator.latent  # one tangent per dimension
        if settings.estimator != DEFAULT_ESTIMATOR:
            return with_density * settings.likelihood.samples * sentences
        found += with_density * settings.kl_count(sentences) * ("kl" in metrics)
        return found + self._chain(run) * _UNIT_CHAINS * sentences * ("au" in metrics)

    def _of_classification(self, run: PlannedRun) -> float:
        most, of = self._sentences("train"), self._split("train").sentences
        in_no_draw = math.prod((1 - count / of) ** Request.draws for count in COUNTS if count <= most)
        sentences = self._sentences("test") + self._sentences("valid") + min(most, Request.train_sentences)
        return (1 + self._chain(run)) * (sentences + of * (1 - in_no_draw))


def rounded(seconds: float) -> float:
    """Round an estimate to two digits; it is not more precise than that."""
    if seconds <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(seconds)) - 1)
    return round(seconds / unit) * unit
