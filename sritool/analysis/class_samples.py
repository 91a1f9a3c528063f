"""Class-conditional samples: sentences of one class of a labelled corpus, checked by two classifiers.

Codes come from a smooth density, fitted to posterior draws of training sentences of the class. The classifiers never
saw those sentences: one learns from codes, the other from words alone, so that the verdict does not depend on z only.
They learn from equally many sentences of each class, so that no class is favoured.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.classifiers import Classes, Floats, Interval, svm_classes, wilson, word_classes
from sritool.data.sampling import Indices, seeded_choice
from sritool.data.split import Split
from sritool.data.store import Corpus
from sritool.errors import DataError, UsageError, suggestion
from sritool.evaluation.batches import report_as
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_split
from sritool.evaluation.sentences import prepared_corpus
from sritool.model.decoding import DecodingConfig
from sritool.runs.model import Decoded, Report, TrainedModel

FITTED = 1000  # most training sentences of the class that the density is fitted to
FEWEST = 20  # sentences of a class needed to fit the density or to judge the classifiers
LEARNT = {"codes": 1000, "words": 20_000}  # most labelled sentences that each classifier learns from
TESTED = 300  # most real sentences of the class, and of the others, that the classifiers are tested on
DRAW = CodeSettings(chains=1, mean=False)
REAL = "real"  # begins the name of a group of real sentences


class ClassDensity(NamedTuple):
    """A kernel density: one Gaussian per code of the class, with the mean and covariance of the codes."""

    centres: Floats  # codes, moved towards their mean  [m, latent]
    factor: Floats  # L of the covariance L Lᵀ of each Gaussian  [latent, latent]

    def codes(self, noise: Floats, seed: int) -> Floats:
        """Return a code for each row of standard normal noise [n, latent]; the seed chooses the centres."""
        chosen = np.random.default_rng([seed, len(self.centres)]).random(len(noise)) * len(self.centres)
        codes: Floats = self.centres[chosen.astype(np.int64)] + noise @ self.factor.T
        return codes


def fit_density(codes: Floats) -> ClassDensity:
    """Fit a kernel density to codes [n, latent], n ≥ 2, that keeps their mean and covariance.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004). With the bandwidth h of
    Silverman 1986, the covariance of each kernel is h² times that, and the centres are moved towards the mean by
    √(1 − h²) (Liu and West 2001). In many dimensions the density is close to a Gaussian.
    """
    from sklearn.covariance import LedoitWolf

    n, latent = codes.shape
    bandwidth = min(1.0, (4 / (n * (latent + 2))) ** (1 / (latent + 4)))
    fitted = LedoitWolf().fit(codes.astype(np.float64))
    centres = fitted.location_ + (1 - bandwidth**2) ** 0.5 * (codes - fitted.location_)
    factor = bandwidth * np.linalg.cholesky(fitted.covariance_)
    return ClassDensity(centres.astype(np.float32), factor.astype(np.float32))


class Share(NamedTuple):
    """How many sentences of a group a classifier assigns to the class."""

    judge: str  # the classifier: codes or words
    sentences: str  # the group
    right: int
    of: int

    @property
    def value(self) -> float:
        """The share of sentences assigned to the class."""
        return self.right / self.of

    @property
    def interval(self) -> Interval:
        """95 % interval of the share (Wilson)."""
        return wilson(self.right, self.of)


class ClassSamples(NamedTuple):
    """Samples of a class, and the class that each classifier assigns to each of them."""

    label: str
    sentences: list[Decoded]
    by_codes: list[str]
    by_words: list[str]
    # For the samples, real sentences of the class and of others, and samples from the prior.
    shares: list[Share]


def sample_class(
    model: TrainedModel, label: str, n: int, config: DecodingConfig, seed: int, data_dir: Path, report: Report
) -> ClassSamples:
    """Draw n sentences of a class; a larger n begins with the same sentences.

    Raises:
        UsageError: The model has no z, or its corpus has no such label.
        DataError: The corpus is missing, or has too few sentences of the class.
    """
    model.require_latent("sample a class")
    corpus = prepared_corpus(model, data_dir)
    number = class_number(corpus, label)
    labels = _labels(corpus, "train")
    fitted, rest = fit_and_rest(labels, number, corpus.info.labels[number])
    told = report_as(report, after=" fitted")
    draws = codes_of_split(model, corpus.split("train"), fitted, DRAW, report=told)
    noise = model.prior(n, seed)
    of_class = model.decode_whole(fit_density(draws[:, 0]).codes(noise, seed), config, seed, report=report)
    of_prior = model.decode_whole(noise, config, seed, report=report)
    return _judged(model, corpus, number, rest, [*of_class, *of_prior], report)


def class_number(corpus: Corpus, label: str) -> int:
    """Return the number of a label.

    Raises: UsageError if there is no such label; the message lists the labels.
    """
    names = corpus.info.labels
    if len(names) < 2:
        raise UsageError(
            f"corpus {corpus.info.name} has {'one label only' if names else 'no labels'}, and --class needs two or "
            "more; give a model of a labelled corpus, or leave --class out"
        )
    if label not in names:
        near = suggestion(label, names)
        others = near if near.startswith("; known") else f"{near} The labels are {', '.join(names)}"
        raise UsageError(f"corpus {corpus.info.name} has no class {label!r}{others}")
    return names.index(label)


def fit_and_rest(labels: Classes, number: int, name: str) -> tuple[Indices, Indices]:
    """Choose the sentences of a class to fit the density to; all others are left for the classifiers.

    Raises: DataError if the class has too few sentences.
    """
    members = np.flatnonzero(labels == number)
    if len(members) < FEWEST:
        raise DataError(
            f"class {name} has {len(members)} training sentences, too few to draw from; it takes {FEWEST} or more"
        )
    fitted = seeded_choice(len(labels), min(FITTED, len(members) // 2), among=members)
    return fitted, np.setdiff1d(np.arange(len(labels)), fitted)


def balanced(labels: Classes, count: int, among: Indices) -> Indices:
    """Choose equally many sentences of each class from `among`, at most `count` in all; labels are of all [n]."""
    classes, sizes = np.unique(labels[among], return_counts=True)
    each = min(int(sizes.min()), count // len(classes))
    of_each = (among[labels[among] == number] for number in classes)
    chosen = [seeded_choice(len(labels), each, seed=1, among=these) for these in of_each]
    return np.sort(np.concatenate(chosen))


def _judged(
    model: TrainedModel, corpus: Corpus, number: int, rest: Indices, samples: list[Decoded], report: Report
) -> ClassSamples:
    """Classify samples, n of the class and n of the prior, and real sentences of the class."""
    train, labels, names = corpus.split("train"), _labels(corpus, "train"), corpus.info.labels
    name = corpus.info.held_out
    held_out, is_of_class = corpus.split(name), _labels(corpus, name) == number
    real, other = (
        seeded_choice(len(held_out), TESTED, among=np.flatnonzero(among))
        for among in (is_of_class, ~is_of_class)
    )
    tested = np.concatenate([real, other])
    texts = [sentence.text for sentence in samples]
    read = model.split(texts)

    def codes(split: Split, rows: Indices, what: str, keep: bool = True) -> Floats:
        told = report_as(report, after=f" {what}")
        return codes_of_split(model, split, rows, report=told, keep=keep)[:, 0]

    known = {judge: balanced(labels, count, rest) for judge, count in LEARNT.items()}
    learnt = codes(train, known["codes"], "labelled")
    wanted = codes(read, np.arange(len(read)), "samples", keep=False), codes(held_out, tested, name)
    learnt_texts, wanted_texts = model.texts(train, known["words"]), [*texts, *model.texts(held_out, tested)]
    verdicts = {
        "codes": svm_classes(learnt, labels[known["codes"]], np.concatenate(wanted), kernel="linear", seed=0),
        "words": word_classes(learnt_texts, labels[known["words"]], wanted_texts, seed=0),
    }
    n = len(samples) // 2
    by_codes, by_words = ([names[k] for k in found[:n].tolist()] for found in verdicts.values())
    parts = {
        "samples": slice(0, n),
        f"{REAL} {name} sentences of the class": slice(2 * n, 2 * n + len(real)),
        f"{REAL} {name} sentences of other classes": slice(2 * n + len(real), None),
        "samples of the prior": slice(n, 2 * n),
    }
    shares = [
        Share(judge, part, int((found[rows] == number).sum()), len(found[rows]))
        for judge, found in verdicts.items()
        for part, rows in parts.items()
        if len(found[rows])
    ]
    return ClassSamples(names[number], samples[:n], by_codes, by_words, shares)


def share_notes(samples: ClassSamples) -> list[str]:
    """Return a line per group of sentences with its shares, and a line if the codes do not predict the class."""
    groups: dict[str, list[Share]] = {}
    for share in samples.shares:
        groups.setdefault(share.sentences, []).append(share)
    lines = []
    for sentences, shares in groups.items():
        told = (
            f"{share.value:.0%} by {share.judge} ({share.interval.low:.0%} to {share.interval.high:.0%})"
            for share in shares
        )
        lines.append(f"of {shares[0].of:,} {sentences}, taken for {samples.label}: {', '.join(told)}")
    of_real = [
        share for share in samples.shares if share.judge == "codes" and share.sentences.startswith(REAL)
    ]
    if len(of_real) == 2:
        of_class, of_others = of_real
        few = min(of_class.of, of_others.of)
        if few < FEWEST:
            lines.append(f"{few} real sentences are too few to say whether the codes tell the class")
        elif of_class.interval.low <= of_others.interval.high:
            lines.append(
                "the codes of this model do not tell the class: no choice of codes gives samples of it"
            )
    return lines


def _labels(corpus: Corpus, split: str) -> Classes:
    found = corpus.split(split).labels
    if found is None:
        raise DataError(
            f"corpus {corpus.info.name} has no labels in {split}; prepare it with labels in all splits"
        )
    return found.astype(np.int64)
