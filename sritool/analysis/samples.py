"""Figures of samples: how varied and how likely they are, and what a language model learns from them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.reverse_perplexity import check_enough, reverse_perplexity
from sritool.config.settings import LikelihoodConfig
from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.errors import UsageError, suggestion
from sritool.evaluation.measure import measure
from sritool.evaluation.metrics import mean_and_error
from sritool.evaluation.sentences import Text, prepared_corpus
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.model import Decoded, Report, TrainedModel

METRICS = ("unique", "distinct-1", "distinct-2", "self-bleu", "nll", "reverse-ppl")
ALL = "all"
HOW = {
    "unique": "different sentences / all",
    "distinct-1": "different words / all",
    "distinct-2": "different pairs of words / all",
    "self-bleu": "BLEU-4 against all the others",
}

Words = Sequence[str]
_ORDER = 4  # longest n-grams of BLEU


class Figure(NamedTuple):
    """A figure of a set of sentences."""

    value: float
    standard_error: float  # NaN if there is none
    sentences: int  # number of sentences behind it


class Row(NamedTuple):
    """One figure of the samples and of equally many real sentences."""

    metric: str
    samples: Figure
    real: Figure | None
    how: str


class Real(NamedTuple):
    """Real text in the model's vocabulary."""

    name: str  # `ptb test`, or the name of the file
    split: Split  # all of it; reverse perplexity is measured on it
    training: Split | None  # training split of the prepared corpus, for the language model on real text


class Figures(NamedTuple):
    """Rows in the order of `METRICS`; nll has a second row, per token."""

    rows: list[Row]
    notes: list[str]


def parse_metrics(text: str) -> tuple[str, ...]:
    """Parse comma-separated names, or `all`; the result is in the order of `METRICS`.

    Raises: UsageError if a name is unknown, or there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*METRICS, ALL):
            raise UsageError(f"no metric {name!r} of samples{suggestion(name, (*METRICS, ALL))}")
    if not names:
        raise UsageError(f"--metrics is empty; give some of {', '.join((*METRICS, ALL))}")
    return METRICS if ALL in names else tuple(name for name in METRICS if name in names)


def real_text(model: TrainedModel, text: Text | None, data_dir: Path, training: bool) -> Real:
    """Return the user's text, or the test split of the model's corpus (valid if it has no test split).

    With `training`, the training split is returned too; a user's text has none.
    Raises: DataError if the corpus is missing.
    """
    if text is not None:
        return Real(text.name, model.split(text.lines), None)
    corpus = prepared_corpus(model, data_dir)
    name = corpus.info.held_out
    return Real(f"{corpus.info.name} {name}", corpus.split(name), corpus.split("train") if training else None)


def figures(
    model: TrainedModel,
    sentences: Sequence[Decoded],
    metrics: Sequence[str],
    seed: int,
    report: Report,
    real: Real | None = None,
    reference: bool = False,
) -> Figures:
    """Measure sentences and, with `reference`, equally many real ones.

    The figures depend on the number of sentences. If there are fewer real sentences, only that many samples are
    used, except for reverse perplexity. `real` is needed for reverse perplexity and for `reference`; the seed sets
    the noise of nll.

    Raises: UsageError if there are too few sentences for reverse perplexity.
    """
    if "reverse-ppl" in metrics:
        check_enough(len(sentences))
    rows: list[Row] = []
    notes: list[str] = []
    few, beside = list(sentences), None
    if reference and real is not None:
        few = few[: len(real.split)]
        beside = chosen_sentences(model, real.split, len(few))
        if len(few) < len(sentences):
            notes.append(
                f"{real.name} has {len(few):,} sentences: all figures but reverse-ppl use that many samples"
            )
    for name in (name for name in metrics if name not in ("nll", "reverse-ppl")):
        rows.append(Row(name, varied(name, few), varied(name, beside) if beside else None, HOW[name]))
    if "nll" in metrics:
        own = scores(model, few, seed, report, "samples")
        others = scores(model, beside, seed, report, "real sentences") if beside else (None, None)
        how = f"adaptive, M = {LikelihoodConfig().samples}" if model.latent else "exact"
        rows.append(Row("nll", own[0], others[0], f"nats per sentence, {how}"))
        rows.append(Row("nll-per-token", own[1], others[1], f"nats per token, </s> included, {how}"))
    if "reverse-ppl" in metrics and real is not None:

        def reverse(given: Sequence[Decoded], label: str) -> Figure:
            found = reverse_perplexity(model, given, real.split, report, label)
            return Figure(found.value, found.standard_error, len(given))

        ours, theirs = reverse(sentences, "lm on samples"), None
        if reference and real.training is not None:
            theirs = reverse(chosen_sentences(model, real.training, len(sentences)), "lm on real sentences")
        elif reference:
            notes.append("reverse-ppl of real sentences needs the prepared corpus: leave --text out for it")
        of = f"{real.name}, {real.split.predictions:,} predictions (with </s>)"
        rows.append(Row("reverse-ppl", ours, theirs, f"lm trained on them, of {of}"))
    return Figures(rows, notes)


def varied(name: str, sentences: Sequence[Decoded]) -> Figure:
    """Measure one of the metrics in HOW, which need no model."""
    texts = [sentence.text for sentence in sentences]
    words = [text.split() for text in texts]
    if name == "unique":
        return unique_share(texts)
    return self_bleu(words) if name == "self-bleu" else distinct(words, int(name[-1]))


def scores(
    model: TrainedModel, sentences: Sequence[Decoded], seed: int, report: Report, label: str
) -> tuple[Figure, Figure]:
    """Measure −log p(x) under the model, as `evaluate` does: in nats per sentence, and in nats per token."""
    split = model.split_of(sentences)
    settings = EvaluationSettings(("nll", "ppl"), seed=seed)
    every = np.arange(len(split))
    found = measure(model.method, split, every, settings, lambda _, *given: report(f"nll of {label}", *given))
    nll, ppl = (next(one for one in found.estimates if one.metric == name) for name in settings.metrics)
    per_token = Figure(math.log(ppl.value), ppl.standard_error / ppl.value, len(split))
    return Figure(nll.value, nll.standard_error, len(split)), per_token


def chosen_sentences(model: TrainedModel, split: Split, count: int) -> list[Decoded]:
    """Choose sentences of a split by a fixed seed, as the model's tokenizer spells them."""
    chosen = seeded_choice(len(split), count)
    return list(map(Decoded, model.texts(split, chosen), split.ended[chosen].tolist()))


def unique_share(sentences: Sequence[str]) -> Figure:
    """Return the share of different sentences, in [0, 1]; it falls with the number of sentences."""
    return Figure(len(set(sentences)) / len(sentences), math.nan, len(sentences))


def distinct(sentences: Sequence[Words], n: int) -> Figure:
    """Return the share of different n-grams over all sentences, in [0, 1]; it falls with the number of sentences.

    NaN if no sentence has n words.

    Source: Li, Galley, Brockett, Gao and Dolan 2016, "A diversity-promoting objective function for neural
    conversation models" (distinct-1, distinct-2).
    """
    ngrams = [tuple(words[i : i + n]) for words in sentences for i in range(len(words) - n + 1)]
    value = len(set(ngrams)) / len(ngrams) if ngrams else math.nan
    return Figure(value, math.nan, len(sentences))


def self_bleu(sentences: Sequence[Words]) -> Figure:
    """Return the mean BLEU-4, in 0 … 100, of each sentence against all others; it is high if they are alike.

    Sentence BLEU as sacrebleu computes it with tokenize="none": exponential smoothing, orders up to the sentence's
    length. N-gram counts over all sentences are kept, so that the cost grows with the number of words, not with the
    square of the number of sentences. The figure rises with the number of sentences. The standard error is over
    sentences. NaN for fewer than two.

    Source: Zhu et al. 2018, "Texygen: a benchmarking platform for text generation models"; Papineni et al. 2002; Post
    2018 (sacrebleu).
    """
    if len(sentences) < 2:
        return Figure(math.nan, math.nan, len(sentences))
    from sacrebleu.metrics import BLEU

    counts, lengths = [_ngrams(words) for words in sentences], Counter(len(words) for words in sentences)
    # n-gram -> its two largest counts in single sentences.
    most: dict[tuple[str, ...], tuple[int, int]] = {}
    for own in counts:
        for ngram, count in own.items():
            first, second = most.get(ngram, (0, 0))
            most[ngram] = (count, first) if count > first else (first, max(count, second))
    scores = []
    for words, own in zip(sentences, counts, strict=True):
        correct, total = [0] * _ORDER, [max(0, len(words) - n) for n in range(_ORDER)]
        for ngram, count in own.items():
            first, second = most[ngram]
            correct[len(ngram) - 1] += min(count, second if count == first else first)
        how = {"smooth_method": "exp", "effective_order": True, "max_ngram_order": _ORDER}
        found = BLEU.compute_bleu(correct, total, len(words), _closest(len(words), lengths), **how)
        scores.append(found.score)
    return Figure(*mean_and_error(np.array(scores)), len(scores))


def _ngrams(words: Words) -> Counter[tuple[str, ...]]:
    """Count the n-grams of one to four words."""
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDER + 1) for i in range(len(words) - n + 1))


def _closest(length: int, lengths: Counter[int]) -> int:
    """Return the closest length of another sentence; of two equally close ones, the shorter."""
    others = (each for each, count in lengths.items() if each != length or count > 1)
    return min(others, key=lambda each: (abs(each - length), each))
