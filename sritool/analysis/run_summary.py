"""Summary of a finished run: metrics on the test split, samples, one interpolation."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import NamedTuple

from sritool.analysis.interpolation import Way, interpolate_once
from sritool.config.settings import LikelihoodConfig, ValidationConfig
from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.evaluation.collapse import collapse_note
from sritool.evaluation.measure import Measured, measure
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.notes import Note
from sritool.evaluation.settings import DEFAULT_METRICS, EvaluationSettings
from sritool.methods.base import Method
from sritool.model.decoding import DecodingConfig
from sritool.runs.folder import BEST
from sritool.runs.model import Report, load_model
from sritool.training.validation import Level, affordable, from_dear_to_cheap, passes_of

SAMPLES = 5
POINTS = 7
LEAST = 16  # sentences that are measured even if time is short
ENOUGH = 100  # sentences to reach before spending time on more draws per sentence
_CAUTION = 0.8  # share of the remaining time that the measurement may use


class Summary(NamedTuple):
    """Content of the summary that `sritool train` prints at the end."""

    estimates: list[Estimate]
    data: str  # corpus and split of the figures: `tiny test`
    total: int  # sentences of that split
    decoding: str  # how the samples were decoded
    samples: list[str]
    interpolation: list[str]  # empty for a language model
    notes: list[str]


def summarise(
    corpus: Corpus, folder: Path, device: str, seed: int, report: Report, seconds: float = math.inf
) -> Summary:
    """Measure best.pt on randomly chosen test sentences (validation without a test split), and draw samples.

    The whole summary may take `seconds`: as many sentences are measured as fit, at most
    `validation.final_sentences`. The seed sets the noise and the samples; the sentences are chosen by a fixed seed.
    """
    began = time.monotonic()
    model = load_model(folder / BEST, device)
    name = corpus.info.held_out
    split = corpus.split(name)
    # An untrained model may never end a sentence: samples are at most as long as the training sentences.
    longest = max(1, int(corpus.split("train").lengths.max()) - 1)
    greedy = DecodingConfig(max_length=longest)
    decoding = greedy if model.latent else DecodingConfig(greedy=False, max_length=longest)
    samples = model.sample(SAMPLES, seed, decoding)
    interpolation = interpolate_once(model, Way(POINTS), seed, greedy) if model.latent else []
    settings = model.checkpoint.config.validation
    measured = _measure(model.method, split, settings, seed, report, began + seconds)
    verdict = filter(None, [collapse_note(model.checkpoint, measured.estimates)])
    return Summary(
        measured.estimates,
        f"{corpus.info.name} {name}",
        len(split),
        "greedy, codes from the prior" if model.latent else "words drawn one by one",
        samples,
        interpolation,
        [*verdict, *(note.text for note in measured.notes)],
    )


def _measure(
    method: Method, split: Split, settings: ValidationConfig, seed: int, report: Report, end: float
) -> Measured:
    """Measure as many sentences and draws as fit before `end`, judged by the time of the first few sentences."""
    most = min(settings.final_sentences, len(split))
    # `au` needs many chains if the method has no exact mean.
    metrics = tuple(name for name in DEFAULT_METRICS if name != "au" or method.has_exact_mean)

    def measured(sentences: int, likelihood: LikelihoodConfig) -> Measured:
        wanted = EvaluationSettings(metrics, likelihood=likelihood, seed=seed)
        return measure(method, split, seeded_choice(len(split), sentences), wanted, report)

    if end == math.inf:
        return measured(most, settings.likelihood)

    def cost(likelihood: LikelihoodConfig) -> float:
        return passes_of(method, metrics, likelihood, float(split.lengths.mean()))

    least, cheapest = min(most, LEAST), from_dear_to_cheap(settings.likelihood)[-1]
    began = time.monotonic()
    first = measured(least, cheapest)
    a_pass = (time.monotonic() - began) / (least * cost(cheapest))
    passes = max(0.0, _CAUTION * (end - time.monotonic())) / a_pass
    likelihood = affordable(passes, cost, min(most, ENOUGH), settings.likelihood).likelihood
    level = Level(min(most, max(LEAST, int(passes / cost(likelihood)))), likelihood)
    found = first if level == Level(least, cheapest) else measured(level.sentences, level.likelihood)
    if level == Level(most, settings.likelihood):
        return found
    return found._replace(notes=[Note(_reduced_note(level, most, method), metrics), *found.notes])


def _reduced_note(level: Level, most: int, method: Method) -> str:
    draws = f", {level.likelihood.samples} draws each" if method.latent else ""
    if level.sentences == most:
        what, all_of_it = "fewer draws than", "takes them all"
    else:
        what, all_of_it = f"measured on {level.sentences} of the {most} sentences that", "measures all"
    units = "" if method.has_exact_mean or not method.latent else ", and au"
    return f"{what} the settings ask for{draws}, to keep the summary short; `sritool evaluate` {all_of_it}{units}"
