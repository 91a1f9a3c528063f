"""What a finished run shows: metrics on the test split, samples, one interpolation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.core.metrics import Estimate
from sritool.corpus.store import Corpus
from sritool.tasks.measure import DEFAULT_METRICS, Report, Settings, measure
from sritool.tasks.model import load_model
from sritool.tasks.runs import BEST

SAMPLES = 5
POINTS = 7


class Summary(NamedTuple):
    """The end of `sritool train`."""

    estimates: list[Estimate]
    split: str
    sentences_in_split: int
    samples: list[str]
    interpolation: list[str]  # empty for a language model
    notes: list[str]


def summarise(corpus: Corpus, folder: Path, device: str, seed: int, limit: int, report: Report) -> Summary:
    """Measure best.pt on a seeded choice of `limit` test sentences (valid without a test split)."""
    model = load_model(folder / BEST, device)
    name = "test" if "test" in corpus.info.splits else "valid"
    split = corpus.split(name)
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:limit])
    config = model.checkpoint.config.validation.likelihood
    measured = measure(model.method, split, chosen, Settings(DEFAULT_METRICS, config, seed), report)
    interpolation = model.interpolate(POINTS, seed) if model.latent else []
    return Summary(
        measured.estimates, name, len(split), model.sample(SAMPLES, seed), interpolation, measured.notes
    )
