"""What a validation measures: the same sentences and the same noise, for every run and every method."""

from __future__ import annotations

import math

import torch

from sritool.config.settings import LikelihoodConfig
from sritool.data.sampling import seeded_choice
from sritool.data.store import Split
from sritool.data.tokenizer import Tokenizer
from sritool.evaluation.estimates import NATS
from sritool.evaluation.measure import measure
from sritool.evaluation.metrics import Estimate
from sritool.evaluation.settings import EvaluationSettings
from sritool.methods.base import Method
from sritool.model.decoding import DecodingConfig, decode
from sritool.model.random import Stream
from sritool.runs.checkpoint import Checkpoint
from sritool.runs.model import Report

PRETRAINING = ("recon", "permuted", "au")  # what an autoencoder is judged by
SEED = 0  # of the noise
LONGEST_SAMPLE = 60  # tokens
COLLAPSE_NATS = 0.1
COLLAPSE_AFTER = 3  # epochs of warm-up


def chosen_by(method: Method) -> str:
    """The figure of which the best model has the lowest."""
    return "recon" if method.pretraining else method.chosen_by


def validated_metrics(method: Method) -> tuple[str, ...]:
    """What a validation measures."""
    return PRETRAINING if method.pretraining else method.validated


def validate(
    method: Method, split: Split, sentences: int, likelihood: LikelihoodConfig, report: Report
) -> list[Estimate]:
    """Measure the method on a seeded choice of the split's sentences, in float32 and without dropout."""
    chosen = seeded_choice(len(split), sentences)
    settings = EvaluationSettings(validated_metrics(method), likelihood=likelihood, seed=SEED)
    return measure(method, split, chosen, settings, report).estimates


def sample_of(method: Method, tokenizer: Tokenizer) -> str:
    """A sentence from one code of the prior, greedy; drawn word by word where there is no z."""
    device = method.generator.output.device
    z = Stream(SEED, "prior").normal(torch.arange(1), method.latent).to(device)
    config = DecodingConfig(greedy=method.latent > 0, max_length=LONGEST_SAMPLE)
    return tokenizer.decode(decode(method.generator, z, config, Stream(SEED, "decode"))[0])


def collapse(estimates: dict[str, Estimate], epochs_done: int) -> str | None:
    """A warning if, after warm-up, another sentence's code is as good as a sentence's own."""
    permuted = estimates.get("permuted")
    if permuted is None or permuted.draws == 0 or epochs_done < COLLAPSE_AFTER:
        return None
    if not (math.isfinite(permuted.value) and math.isfinite(permuted.standard_error)):
        return None  # nothing is known
    if permuted.value >= COLLAPSE_NATS + 2 * permuted.standard_error:
        return None
    return (
        f"posterior collapse: another sentence's z costs only {permuted.value:z.2f} ± "
        f"{permuted.standard_error:.2f} nats; the generator ignores z"
    )


def has_collapsed(checkpoint: Checkpoint) -> bool:
    """Whether the generator ignored z when it was last validated, by the checkpoint's own record."""
    last = checkpoint.metrics[-1] if checkpoint.metrics else {}
    if "permuted" not in last:
        return False
    value, error = float(last["permuted"]), float(last["permuted se"])
    permuted = Estimate("permuted", value, error, NATS, checkpoint.config.validation.sentences, 1, "")
    return collapse({"permuted": permuted}, COLLAPSE_AFTER) is not None
