"""The common part of all methods with an encoder: the gradient of the objective, and q(z|x).

The objective is recon + w·h·KL(q_φ(z|x) ‖ prior), with the weight w of the step and a hinge h on the KL. Its
gradient in z comes from the generator's fast path, so autograd records nothing.
"""

from __future__ import annotations

from copy import copy
from typing import NamedTuple, Self
from weakref import ref

import torch
from torch import Tensor

from sritool.config.schedules import Ramp, rise
from sritool.config.settings import RunConfig
from sritool.data.batches import Batch
from sritool.errors import UsageError
from sritool.inference.refinement import Refinement, climb, langevin_ends
from sritool.methods.base import GRADIENT, UPDATE, Clock, Method, PriorKl, Work
from sritool.model.conditional import Conditional
from sritool.model.dropout import Dropout
from sritool.model.encoder import Encoder
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream
from sritool.model.theta_gradient import ThetaGradient

AMORTISED = Work(UPDATE + 2.0, 1.0)  # with two passes for the encoder, forward and backward; timed


AFTER_PRETRAINING = "after pretraining"
"""Purpose of the random numbers for the generator's second parameters."""


class Descent(NamedTuple):
    """The objective of a batch and its gradients, for the mean over the whole batch."""

    recon: Tensor  # −log p(x|z) under dropout, nats  [batch]
    kl: Tensor  # nats  [batch, latent]
    encoder: dict[str, Tensor]  # by the encoder's parameter names
    generator: dict[str, Tensor]  # by the generator's


class EncoderMethod(Method):
    """Maximises a bound on log p(x), with an encoder q_φ(z|x) for p_θ(x|z)."""

    sections = frozenset({"kl"})
    closed_form_kl = True

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        self.encoder = Encoder(config.generator, vocabulary_size)
        self.modules["encoder"] = self.encoder
        self._last: tuple[ref[Conditional], int, DiagonalGaussian] | None = None  # what `proposal` found

    def initialise(self) -> None:
        """Draw the starting parameters of both modules; the generator's are the same as in every method."""
        super().initialise()
        scales = self.config.optimizer
        self.encoder.initialise(scales.initial_scale, self.config.training.seed, scales.embedding_scale)

    def end_pretraining(self) -> None:
        """Keep the encoder; redraw the generator, with other parameters than the autoencoder started from."""
        super().end_pretraining()
        self.draw_generator(AFTER_PRETRAINING)

    @property
    def is_autoencoder(self) -> bool:
        """Whether the KL has weight 0 at present."""
        return self.pretraining

    @property
    def is_point(self) -> bool:
        """Whether q(z|x) is the encoder's mean alone: an autoencoder without noise."""
        return self.is_autoencoder and not self.config.autoencoder.noise

    @property
    def has_density(self) -> bool:
        """Whether q(z|x) has a density: a point has none, nor has the end of a chain."""
        return not self.is_point and self.has_exact_mean

    @property
    def has_exact_mean(self) -> bool:
        """Whether the mean is exact: true for the Gaussian, not for chains that begin at it."""
        return not (self.refinement and self.refinement.has_chains)

    @property
    def kl_ramp(self) -> Ramp:
        """Schedule of w over the planned epochs: a rise to 1 over the first ones, unless a method overrides it."""
        kl, with_z = self.config.kl, self.config.training.epochs - self.epochs_before_z
        return rise(kl.start, min(kl.epochs / with_z, kl.share), kl.ramp)

    def kl_weight(self, clock: Clock) -> float:
        """Return the weight w of a step."""
        return self.kl_ramp.at(clock.progress)

    def work(self) -> Work:
        """Return the cost of one z per sentence and of the encoder, plus refinement, if any, when measured."""
        steps = self.refinement.steps if self.refinement is not None else 0
        return AMORTISED._replace(inference=AMORTISED.inference + steps * GRADIENT)

    def settled_at(self) -> float:
        """Return when the KL has its full weight."""
        return self.kl_ramp.settled_at

    def hinge(self, kl: Tensor) -> Tensor:
        """Return h, a factor on the gradient of the KL for each sentence and dimension: [batch, latent] for both."""
        return torch.ones_like(kl)

    def noise(self, batch: Batch, stream: Stream) -> Tensor:
        """Return ε of z = mean + σ·ε: [batch, latent]."""
        like = self.generator.output_bias
        if self.is_point:
            return like.new_zeros(len(batch.examples), self.latent)
        return stream.normal(batch.examples, self.latent, dtype=like.dtype)

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write the gradient of the batch mean of the objective, from one draw of q per sentence."""
        weight = 0.0 if self.is_autoencoder else self.kl_weight(clock)
        found = self.descent(batch, clock.stream("encoder"), clock.stream("dropout"), weight, whole=whole)
        self.assign({"encoder": found.encoder, "generator": found.generator})
        return self.columns(found, weight)

    def columns(self, found: Descent, weight: float) -> dict[str, float]:
        """Return the columns of a step."""
        recon = {"recon": float(found.recon.sum())}
        return recon if self.is_point else {**recon, "kl": float(found.kl.sum()), "mean KL weight": weight}

    def descent(
        self,
        batch: Batch,
        noise: Stream,
        dropout: Stream,
        weight: float,
        generator: bool = True,
        whole: Batch | None = None,
    ) -> Descent:
        """Return the objective and its gradients.

        Args:
            batch: The sentences.
            noise: Random numbers for z.
            dropout: Random numbers for the masks.
            weight: The weight w of the KL.
            generator: Whether the generator gets gradients too.
            whole: As in `gradients`.
        """
        size = (whole or batch).size
        run = self.encoder.run(batch, self._workspace)
        epsilon = self.noise(batch, noise)
        conditional = self.conditional(batch, self.precision)
        masks = Dropout.draw(self.config.generator, batch, dropout, (0,), whole).masks(0)
        theta = ThetaGradient(self.generator, self._workspace, 1.0 / size) if generator else None
        found = conditional.evaluate(run.q.at(epsilon), masks, theta)
        kl = run.q.kl_by_dimension()
        slope = slope_in_q(run.q, epsilon, found.gradient, weight * self.hinge(kl), size)
        encoder = run.gradients(slope.mean, slope.log_variance)
        return Descent(-found.log_likelihood, kl, encoder, theta.sums if theta is not None else {})

    def refined(self, refinement: Refinement) -> Self:
        """Return the same parameters with another q(z|x).

        Raises:
            UsageError: The chain needs variances for its scale, and q is a point.
        """
        if refinement.kind == "preconditioned" and self.is_point:
            raise UsageError(f"{self.name} has no variances to scale a chain by; take --refine langevin")
        other = copy(self)
        other.refinement, other._last = refinement, None
        return other

    def proposal(self, conditional: Conditional, seed: int = 0) -> DiagonalGaussian:
        """Return q(z|x) of the batch: the encoder's, after `svi` steps if it is refined in that way."""
        if self._last is not None and self._last[0]() is conditional and self._last[1] == seed:
            return self._last[2]  # callers ask for its draws, KL and weights one after another
        q, steps = self.encoder.run(conditional.batch).q, self.refinement
        if steps is not None and steps.steps and steps.kind == "svi":
            settings = self.config.refinement.alone(self.config.training.batch_size)
            q = climb(conditional, q, steps, settings, seed, self.is_point)
        self._last = ref(conditional), seed, q
        return q

    @property
    def posterior_name(self) -> str:
        """Name of the encoder's q(z|x), with its refinement."""
        return self.refinement.name if self.refinement is not None else "encoder"

    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Draw from q(z|x): [chains, batch, latent]."""
        q = self.proposal(conditional, seed)
        steps = self.refinement
        if steps is not None and steps.has_chains:
            return langevin_ends(conditional, q, steps, seed, chains)
        if self.is_point:
            return q.mean.expand(chains, -1, -1)
        return q.sample(Stream(seed, "evaluation"), conditional.batch.examples, chains)

    def posterior_mean(self, conditional: Conditional, seed: int) -> Tensor:
        """Return the Gaussian's mean; if chains begin at it, the end of a chain without noise."""
        q, steps = self.proposal(conditional, seed), self.refinement
        if steps is not None and steps.has_chains:
            return langevin_ends(conditional, q, steps, seed, 1, temperature=0.0)[0]
        return q.mean

    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """Return KL(q(z|x) ‖ prior), in closed form."""
        kl = self.proposal(conditional, seed).kl_to_prior()
        return PriorKl(kl, torch.zeros_like(kl))


def slope_in_q(
    q: DiagonalGaussian, noise: Tensor, gradient: Tensor, weight: float | Tensor, size: int
) -> DiagonalGaussian:
    """Return the gradient in q of the mean of −log p(x|z) + w·KL over `size` sentences.

    `gradient` is that of log p(x|z) in z.
    """
    of_kl, spread = q.kl_gradient(), q.spread(noise)  # z = mean + σ·noise
    return DiagonalGaussian(
        (weight * of_kl.mean - gradient) / size,
        (weight * of_kl.log_variance - spread * gradient) / size,
    )
