"""What a finished run shows: metrics on the test split, samples, one interpolation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.core.decoding import DecodingConfig
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
    data: str  # what was measured on: `tiny test`
    total: int  # sentences there
    decoding: str  # how the samples were decoded
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
    # An untrained model does not know when to end: nothing longer than what it was trained on is shown.
    longest = max(1, int(corpus.split("train").lengths.max()) - 1)
    greedy = DecodingConfig(max_length=longest)
    decoding = greedy if model.latent else DecodingConfig(greedy=False, max_length=longest)
    return Summary(
        measured.estimates,
        f"{corpus.info.name} {name}",
        len(split),
        "greedy, codes from the prior" if model.latent else "words drawn one by one",
        model.sample(SAMPLES, seed, decoding),
        model.interpolate(POINTS, seed, greedy) if model.latent else [],
        measured.notes,
    )
