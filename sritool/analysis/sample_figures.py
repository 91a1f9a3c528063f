"""Figures of samples: how varied they are, how likely the model finds them, what a language model learns of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sritool.analysis.reverse_perplexity import check_enough, reverse_perplexity
from sritool.analysis.text_metrics import Figure, distinct, self_bleu, unique_share
from sritool.config.settings import LikelihoodConfig
from sritool.data.sampling import seeded_choice
from sritool.data.store import Split
from sritool.data.tokenizer import EOS
from sritool.errors import UsageError, suggestion
from sritool.evaluation.measure import measure
from sritool.evaluation.sentences import Text, prepared_corpus
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.model import Report, TrainedModel

METRICS = ("unique", "distinct-1", "distinct-2", "self-bleu", "nll", "reverse-ppl")
ALL = "all"


HOW = {
    "unique": "different sentences / all",
    "distinct-1": "different words / all",
    "distinct-2": "different pairs of words / all",
    "self-bleu": "BLEU-4 against all the others",
}


class Row(NamedTuple):
    """One figure of the samples, and of as many real sentences."""

    metric: str
    samples: Figure
    real: Figure | None
    how: str


class Real(NamedTuple):
    """Real text in the model's vocabulary."""

    name: str  # `ptb test`, or the file's
    split: Split  # all of it: what reverse perplexity is of
    training: Split | None  # of the prepared corpus: what real text teaches a language model


class Figures(NamedTuple):
    """Rows in the order of `METRICS`; nll has a second one, per token."""

    rows: list[Row]
    notes: list[str]


def parse_metrics(text: str) -> tuple[str, ...]:
    """Names with commas between, or `all`, in the order of `METRICS`. Raises: UsageError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*METRICS, ALL):
            raise UsageError(f"no metric {name!r} of samples{suggestion(name, (*METRICS, ALL))}")
    if not names:
        raise UsageError(f"--metrics is empty; give some of {', '.join((*METRICS, ALL))}")
    return METRICS if ALL in names else tuple(name for name in METRICS if name in names)


def real_text(model: TrainedModel, text: Text | None, data_dir: Path, training: bool) -> Real:
    """The test split of the model's corpus, or valid where there is none; or a user's own text.

    Args:   training: whether sentences to train on are asked for too.
    Raises: DataError if the corpus is not there.
    """
    if text is not None:
        return Real(text.name, model.split(text.lines), None)
    corpus = prepared_corpus(model, data_dir)
    name = "test" if "test" in corpus.info.splits else "valid"
    return Real(f"{corpus.info.name} {name}", corpus.split(name), corpus.split("train") if training else None)


def figures(
    model: TrainedModel,
    sentences: Sequence[str],
    metrics: Sequence[str],
    seed: int,
    report: Report,
    real: Real | None = None,
    reference: bool = False,
) -> Figures:
    """Figures of sentences, and with `reference` of real ones.

    The figures change with the number of sentences, so that samples and real ones are as many: where there are fewer
    real sentences than samples, only the first samples count, but for reverse perplexity.

    Args: real: needed for reverse perplexity and for `reference`.
    """
    if "reverse-ppl" in metrics:
        check_enough(len(sentences))
    rows: list[Row] = []
    notes: list[str] = []
    few, beside = list(sentences), None
    if reference and real is not None:
        few = few[: len(real.split)]
        beside = chosen_texts(model, real.split, len(few))
        if len(few) < len(sentences):
            notes.append(f"{real.name} has {len(few):,} sentences: all but reverse-ppl is of so many samples")
    for name in (name for name in metrics if name not in ("nll", "reverse-ppl")):
        rows.append(Row(name, varied(name, few), varied(name, beside) if beside else None, HOW[name]))
    if "nll" in metrics:
        own = scores(model, few, seed, report, "samples")
        others = scores(model, beside, seed, report, "real sentences") if beside else (None, None)
        how = f"adaptive, M = {LikelihoodConfig().samples}" if model.latent else "exact"
        for name, value, other, unit in zip(
            ("nll", "nll-per-token"), own, others, ("a sentence", "a token, </s> too"), strict=True
        ):
            rows.append(Row(name, value, other, f"nats {unit}, {how}"))
    if "reverse-ppl" in metrics and real is not None:
        ours = reverse(model, sentences, real, report, "lm on samples")
        theirs = None
        if reference and real.training is not None:
            texts = chosen_texts(model, real.training, len(sentences))
            theirs = reverse(model, texts, real, report, "lm on real sentences")
        elif reference:
            notes.append("reverse-ppl of real sentences needs the prepared corpus: leave --text out for it")
        rows.append(Row("reverse-ppl", ours, theirs, f"lm trained on them, of {real.name}"))
    return Figures(rows, notes)


def reverse(model: TrainedModel, sentences: Sequence[str], real: Real, report: Report, label: str) -> Figure:
    """Perplexity of real text under an lm trained on these sentences."""
    found = reverse_perplexity(model, sentences, real.split, report, label)
    return Figure(found.value, found.standard_error, len(sentences))


def varied(name: str, sentences: Sequence[str]) -> Figure:
    """A figure of text alone."""
    words = [text.split() for text in sentences]
    if name == "unique":
        return unique_share(sentences)
    return self_bleu(words) if name == "self-bleu" else distinct(words, int(name[-1]))


def scores(
    model: TrainedModel, sentences: Sequence[str], seed: int, report: Report, label: str
) -> tuple[Figure, Figure]:
    """−log p(x) under the model, a sentence and a token, as `evaluate` has it."""
    split = model.split(sentences)
    settings = EvaluationSettings(("nll", "ppl"), seed=seed)
    everything = np.arange(len(split))
    found = measure(
        model.method, split, everything, settings, lambda _, *given: report(f"nll of {label}", *given)
    )
    nll = next(each for each in found.estimates if each.metric == "nll")
    ppl = next(each for each in found.estimates if each.metric == "ppl")
    per_token = Figure(math.log(ppl.value), ppl.standard_error / ppl.value, len(split))
    return Figure(nll.value, nll.standard_error, len(split)), per_token


def chosen_texts(model: TrainedModel, split: Split, count: int) -> list[str]:
    """A seeded choice of a split's sentences, as the model would spell them."""
    chosen = seeded_choice(len(split), count)
    return [model.tokenizer.decode(words_of(split, int(index))) for index in chosen]


def words_of(split: Split, index: int) -> list[int]:
    """Ids of a sentence without </s>."""
    return [token for token in split.targets(index).tolist() if token != EOS]
