"""`vae-lagging`: a variational autoencoder whose encoder is kept from lagging behind the generator.

While training is aggressive, the encoder alone is updated on one batch after another until its mean loss no longer
falls; then the generator alone, once. This ends when the mutual information of q(z|x) on the validation sentences
falls; from then on both are updated together. As published, mutual information is the mean over small batches of
sentences of similar length: it is at most the logarithm of the batch size, and near that ceiling it soon falls by
chance. Over the whole split it would rise for much longer.

Source: He et al. 2019, "Lagging inference networks and posterior collapse in variational autoencoders".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.config.validation import CHECKED, Count, Figure, Flag
from sritool.config.values import build
from sritool.data.batches import Batch
from sritool.likelihood.information import encoder_information
from sritool.methods.base import Clock
from sritool.methods.encoder_method import EncoderMethod
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream


@dataclass(config=CHECKED)
class Lag:
    """The state of the method, as plain values."""

    aggressive: Flag = True
    updates: Count = 0  # of the encoder alone since the generator's last update
    caught_up: Flag = False  # the encoder's loss no longer falls: the generator is next
    loss: Figure = 0.0  # sum over the sentences since the last check
    words: Count = 0  # predictions in them
    before: Figure = float("inf")  # mean loss per prediction at the last check
    batch_information: Figure = 0.0  # nats, mean over batches of the last epoch's validation sentences
    information: Figure = float("-inf")  # nats, over all of them at once


class LaggingVae(EncoderMethod):
    """The ELBO, with updates of the encoder alone before each update of the generator while the encoder lags."""

    name = "vae-lagging"
    sections = frozenset({"kl", "lagging"})

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        self.lag = Lag()
        self._loss_sums: Tensor | None = None  # loss and predictions of the encoder's last gradients

    def beside(self, clock: Clock, planned: int, batches: int) -> int | None:
        """Return the planned batch first, then random ones of the epoch, until the encoder has caught up."""
        lag = self.lag
        if not lag.aggressive or lag.caught_up:
            return None
        if lag.updates == 0:
            return planned
        draw = np.random.default_rng([clock.seed, clock.epoch, clock.step, lag.updates])
        return int(draw.integers(batches))

    @property
    def updates_beside(self) -> int:
        """The number in the settings while training is aggressive, then 0."""
        return self.config.lagging.updates if self.lag.aggressive else 0

    def end_beside(self) -> None:
        """End aggressive training."""
        self.lag.aggressive = False

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write gradients of the encoder while it catches up, then of the generator; of both once this has ended."""
        lag, weight = self.lag, self.kl_weight(clock)
        behind, self._loss_sums = lag.aggressive and not lag.caught_up, None
        if behind:
            # A batch may occur again within an epoch, so its noise must depend on the update too.
            update = f"{clock.step} {lag.updates}"
            streams = clock.stream(f"encoder {update}"), clock.stream(f"dropout {update}")
            found = self.descent(batch, *streams, weight, generator=False, whole=whole)
            self.assign({"encoder": found.encoder, "generator": {}})
            loss = found.recon.sum() + weight * found.kl.sum()
            self._loss_sums = torch.stack((loss, batch.lengths.sum().to(loss)))
        else:
            found = self.descent(batch, clock.stream("encoder"), clock.stream("dropout"), weight, whole=whole)
            self.assign({"encoder": {} if lag.aggressive else found.encoder, "generator": found.generator})
        columns = self.columns(found, weight)
        columns["mean encoder updates"] = float(lag.updates + behind)
        if np.isfinite(lag.information):
            columns |= {"mean MI": lag.information, "mean batch MI": lag.batch_information}
        return columns

    def statistics(self) -> list[Tensor]:
        """Return loss and predictions while the encoder catches up."""
        return [] if self._loss_sums is None else [self._loss_sums]

    def after_update(self) -> None:
        """Check whether the encoder has caught up; after an update of the generator it has to catch up again."""
        if self._loss_sums is not None:
            loss, predictions = self._loss_sums.tolist()
            self._look(loss, round(predictions))
        else:
            self.lag.updates, self.lag.caught_up, self.lag.before = 0, False, float("inf")

    def _look(self, loss: float, words: int) -> None:
        """Decide whether the encoder has caught up, by its mean loss over the updates since the last check."""
        lag, settings = self.lag, self.config.lagging
        lag.updates += 1
        lag.loss, lag.words = lag.loss + loss, lag.words + words
        if lag.updates % settings.judge_every == 0:
            mean = lag.loss / lag.words
            lag.caught_up = mean > lag.before
            lag.before, lag.loss, lag.words = mean, 0.0, 0
        if lag.caught_up or lag.updates >= settings.updates:
            lag.caught_up, lag.loss, lag.words = True, 0.0, 0

    def after_epoch(self, batches: Iterable[Batch], noise: Stream) -> dict[str, float]:
        """Return the mutual information of q(z|x); end aggressive training when the mean over batches has fallen."""
        codes, examples = [], []
        for batch in batches:
            codes.append(self.encoder.run(batch).q)
            examples.append(batch.examples)
        q = DiagonalGaussian(*(torch.cat(parts) for parts in zip(*codes, strict=True)))
        keys, lag = torch.cat(examples), self.lag
        # The noise is new in each epoch, so a figure at its ceiling may fall by chance.
        whole = encoder_information(q, keys, noise)
        mean = batch_information(q, keys, noise, self.config.lagging.information_batch)
        if not mean >= lag.batch_information:  # also true if it is not a number
            self.end_beside()
        if np.isfinite(whole) and np.isfinite(mean):
            lag.information, lag.batch_information = whole, mean
        return {"MI": whole, "batch MI": mean, "aggressive": float(lag.aggressive)}

    def state(self) -> dict[str, Any]:
        """Return the position in the inner loop, and whether training is still aggressive."""
        return dataclasses.asdict(self.lag)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`.

        Raises:
            UsageError: The state is another method's, or damaged.
        """
        self.lag = build(Lag, state)


def batch_information(q: DiagonalGaussian, examples: Tensor, noise: Stream, size: int) -> float:
    """Estimate the mutual information of sentence and code in batches of `size` sentences, each at most log(size).

    Args:
        q: q(z|x) of the validation sentences, by length as in the published code. Shapes [sentences, latent].
        examples: Keys of the sentences' noise. Shape [sentences].
        noise: Random numbers for the draws.
        size: Sentences in a batch.

    Returns:
        The mean over batches, each weighted by its number of sentences, in nats.
    """
    parts = zip(*(tensor.split(size) for tensor in (*q, examples)), strict=True)
    sums = [encoder_information(DiagonalGaussian(*part), keys, noise) * len(keys) for *part, keys in parts]
    return sum(sums) / len(examples)
