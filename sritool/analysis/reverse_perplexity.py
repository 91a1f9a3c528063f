"""Reverse perplexity: how well a language model that was trained on samples alone predicts real text.

It is low if the samples are both good and varied: words and phrases that they lack cost much on real text. The
language model is small and its settings are fixed, so that figures of several models can be compared. It is trained
on nine tenths of the samples, stopped early by the last tenth, and deleted afterwards.

Source: Zhao, Kim, Zhang, Rush and LeCun 2018, "Adversarially regularized autoencoders", section 5.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sritool.config.settings import (
    GeneratorConfig,
    OptimizerConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
)
from sritool.data.corpus_info import CorpusInfo, SplitInfo
from sritool.data.split import Split
from sritool.data.store import Corpus, content_hash
from sritool.errors import UsageError
from sritool.evaluation.measure import measure
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.settings import EvaluationSettings
from sritool.runs.folder import BEST
from sritool.runs.model import Decoded, Report, TrainedModel, load_model
from sritool.training import events
from sritool.training.loop import Limits, Trainer

VALID_EVERY = 10  # every tenth sample is used for validation
FEWEST = 20  # samples needed
EPOCHS = 40  # at most

LM = RunConfig(
    method="lm",
    generator=GeneratorConfig(embedding=64, hidden=128, latent=0, dropout=0.3),
    optimizer=OptimizerConfig(learning_rate=4e-3),
    training=TrainingConfig(
        epochs=EPOCHS, batch_size=32, patience=2, precision="float32", save_every=1_000_000_000, seed=0
    ),
    validation=ValidationConfig(sentences=512, share=0.0),
)
"""Settings of the language model, the same for every reverse perplexity."""

_NOT_COUNTED = SplitInfo(*[0] * 11)  # training reads no counts


def reverse_perplexity(
    model: TrainedModel,
    sentences: Sequence[Decoded],
    real: Split,
    report: Report,
    label: str = "lm on samples",
) -> Estimate:
    """Return the perplexity of real sentences under a language model trained on these sentences.

    The language model uses the vocabulary of `model`; `label` names the progress messages.
    Raises: UsageError for fewer than `FEWEST` sentences.
    """
    check_enough(len(sentences))
    valid = sentences[::VALID_EVERY]
    train = [sentence for i, sentence in enumerate(sentences) if i % VALID_EVERY]
    corpus = _in_memory(model, {"train": model.split_of(train), "valid": model.split_of(valid)})
    with tempfile.TemporaryDirectory(prefix="sritool-") as folder:
        Trainer(corpus, LM, Path(folder), model.device, Limits(), _shown(report, label, len(train))).run()
        lm = load_model(Path(folder) / BEST, str(model.device))
    settings = EvaluationSettings(("ppl",))
    everything = np.arange(len(real))
    found = measure(lm.method, real, everything, settings, lambda _, *given: report(f"{label}, test", *given))
    return found.estimates[0]


def check_enough(sentences: int) -> None:
    """Check the number of sentences. Raises: UsageError for fewer than `FEWEST`."""
    if sentences < FEWEST:
        needed = f"at least {FEWEST} sentences to train on, not {sentences}"
        raise UsageError(f"reverse-ppl needs {needed}; raise -n")


def _shown(report: Report, label: str, sentences: int) -> Callable[[events.Event], None]:
    """Return a callback that reports training steps as sentences of the epoch."""

    def show(event: events.Event) -> None:
        if isinstance(event, events.Step):
            each = event.steps // event.epochs
            done = (event.step - (event.epoch - 1) * each) / each
            report(f"{label}, epoch {event.epoch} of at most {EPOCHS}", round(done * sentences), sentences)

    return show


def _in_memory(model: TrainedModel, splits: dict[str, Split]) -> Corpus:
    """Wrap splits in a model's vocabulary as a corpus."""
    prepared = model.checkpoint.corpus
    info = CorpusInfo(
        name="samples",
        source="samples",
        tokenizer=model.tokenizer.kind,
        vocabulary=len(model.tokenizer),
        max_length=prepared.max_length,
        min_count=1,
        vocab_size=None,
        lowercase=prepared.lowercase,
        split_punctuation=prepared.split_punctuation,
        drop_long=False,
        labels=(),
        notes=(),
        splits=dict.fromkeys(splits, _NOT_COUNTED),
        content_hash=content_hash(model.tokenizer, splits, ()),
    )
    return Corpus(Path("samples"), info, model.tokenizer, splits=splits)
