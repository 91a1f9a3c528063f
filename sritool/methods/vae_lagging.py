"""`vae-lagging`: a variational autoencoder whose encoder is kept from lagging behind the generator.

While training is aggressive, the encoder alone is updated on one batch after another until its mean loss no longer
falls; then the generator alone, once. That ends when the mutual information of q(z|x) on the validation sentences
stops rising; from then on both are updated together.

Source: He et al. 2019, "Lagging inference networks and posterior collapse in variational autoencoders".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic.dataclasses import dataclass

from sritool.config.settings import RunConfig
from sritool.config.validation import CHECKED, Count, Figure, Flag
from sritool.config.values import build
from sritool.data.batches import Batch
from sritool.likelihood.information import encoder_information
from sritool.methods.base import Clock
from sritool.methods.encoder_method import EncoderMethod
from sritool.model.gaussian import DiagonalGaussian


@dataclass(config=CHECKED)
class Lag:
    """Where the method is; plain values."""

    aggressive: Flag = True
    updates: Count = 0  # of the encoder alone since the generator's last
    caught_up: Flag = False  # the encoder's loss no longer falls: the generator is next
    loss: Figure = 0.0  # sum over the sentences since the last look
    words: Count = 0  # predictions in them
    before: Figure = float("inf")  # mean loss a prediction at the last look
    information: Figure = float("-inf")  # nats, at the last validation


class LaggingVae(EncoderMethod):
    """The ELBO, with encoder-only updates before each of the generator while the encoder lags."""

    name = "vae-lagging"
    sections = frozenset({"kl", "lagging"})

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        self.lag = Lag()

    def beside(self, clock: Clock, batches: int) -> int | None:
        """Any of the epoch's, until the encoder has caught up."""
        if not self.lag.aggressive or self.lag.caught_up:
            return None
        draw = np.random.default_rng([clock.seed, clock.epoch, clock.step, self.lag.updates])
        return int(draw.integers(batches))

    def gradients(self, batch: Batch, clock: Clock) -> dict[str, float]:
        """Of the encoder alone while it catches up; of the generator alone after; of both when that is over."""
        lag, weight = self.lag, self.kl_weight(clock)
        behind = lag.aggressive and not lag.caught_up
        if behind:
            # A batch may come again within an epoch, so that its noise depends on the update too.
            here = f"{clock.step} {lag.updates}"
            streams = clock.stream(f"encoder {here}"), clock.stream(f"dropout {here}")
            found = self.descent(batch, *streams, weight, generator=False)
            self.assign({"encoder": found.encoder, "generator": {}})
            self._look(float(found.recon.sum() + weight * found.kl.sum()), batch.predictions)
        else:
            found = self.descent(batch, clock.stream("encoder"), clock.stream("dropout"), weight)
            encoder = {} if lag.aggressive else found.encoder
            self.assign({"encoder": encoder, "generator": found.generator})
        columns = self.columns(found, weight)
        columns["mean encoder updates"] = float(lag.updates)
        if np.isfinite(lag.information):
            columns["mean MI"] = lag.information
        if not behind:
            lag.updates, lag.caught_up, lag.before = 0, False, float("inf")
        return columns

    def _look(self, loss: float, words: int) -> None:
        """Whether the encoder has caught up, by its mean loss over the updates since the last look."""
        lag, settings = self.lag, self.config.lagging
        lag.updates += 1
        lag.loss, lag.words = lag.loss + loss, lag.words + words
        if lag.updates % settings.judge_every == 0:
            mean = lag.loss / lag.words
            lag.caught_up = mean > lag.before
            lag.before, lag.loss, lag.words = mean, 0.0, 0
        if lag.caught_up or lag.updates >= settings.updates:
            lag.caught_up, lag.loss, lag.words = True, 0.0, 0

    def judge(self, batches: Iterable[Batch], clock: Clock) -> dict[str, float]:
        """Mutual information of q(z|x); training ceases to be aggressive when it has not risen."""
        codes, examples = [], []
        for batch in batches:
            codes.append(self.encoder.run(batch).q)
            examples.append(batch.examples)
        q = DiagonalGaussian(*(torch.cat(parts) for parts in zip(*codes, strict=True)))
        found = encoder_information(q, torch.cat(examples), clock.seed)
        if not found > self.lag.information:  # nor has it risen where it is not finite
            self.lag.aggressive = False
        if np.isfinite(found):
            self.lag.information = found
        return {"MI": found, "aggressive": float(self.lag.aggressive)}

    def state(self) -> dict[str, Any]:
        """Where it is in the inner loop, and whether there still is one."""
        return dataclasses.asdict(self.lag)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on there.

        Raises:
            UsageError: The state is another method's, or damaged.
        """
        self.lag = build(Lag, state)
