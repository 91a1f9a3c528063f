"""`sri`: maximum likelihood with short-run inference of z, Pang, Nijkamp, Han and Wu 2021."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sritool.core.conditional import Conditional
from sritool.core.config import RunConfig
from sritool.core.density import chain_density, kl_given_noise
from sritool.core.dropout import Dropout, Masks
from sritool.core.langevin import Chain, log_prior, noiseless_moves, short_run
from sritool.core.random import Stream
from sritool.core.theta_gradient import ThetaGradient
from sritool.corpus.batches import Batch
from sritool.methods.base import Clock, Method, PriorKl


class ShortRunInference(Method):
    """z ~ prior, K Langevin steps towards p_θ(z|x), then a gradient step in θ (eq. 6 to 9)."""

    name = "sri"

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        self.sampler = config.sampler

    def gradients(self, batch: Batch, clock: Clock) -> dict[str, float]:
        """Gradient at z_K (`end`: batch mean), or batch sums at every visited z_k and end_weight at z_K (`path`).

        The visited z's outweigh z_K in the authors' code because their batch sums pile up in `.grad` during the
        chain while z_K enters through a batch mean.
        """
        conditional = self.conditional(batch, self.precision)
        theta = ThetaGradient(self.generator)
        along = theta if self.sampler.theta_gradient == "path" else None
        measured = self._measured(clock)
        masks = self._masks(batch, clock)
        chain = self._training_chain(conditional, batch, clock, masks, along, keep_path=measured)
        theta.weight = self.sampler.end_weight if along else 1.0 / conditional.size
        recon = -conditional.evaluate(chain.end, masks(self.sampler.steps), theta).log_likelihood
        theta.assign()
        sums = {"recon": float(recon.sum()), "moved": float((chain.end - chain.start).norm(dim=-1).sum())}
        if measured:
            sums["mean unstable"] = self._unstable_share(conditional, masks, chain)
        return sums

    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Ends of independent chains at the evaluation temperature: [chains, batch, latent]."""
        start, noise = self._draw(conditional.batch, Stream(seed, "evaluation"), chains)
        return self._evaluation_chain(conditional, start, noise).end

    @property
    def posterior_name(self) -> str:
        """The sampler's."""
        return f"{self.sampler.name} chain"

    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """KL of the chain given its noise, from one chain a sentence: an upper bound where nothing folds."""
        start, noise = self._draw(conditional.batch, Stream(seed, "evaluation"), 1)
        chain = self._evaluation_chain(conditional, start[0], noise[:, 0], keep_path=True)
        density = chain_density(conditional, chain)
        return PriorKl(kl_given_noise(chain, density), density.folded)

    def _evaluation_chain(
        self, conditional: Conditional, start: Tensor, noise: Tensor, keep_path: bool = False
    ) -> Chain:
        """The chain as it is evaluated, without dropout, at the stored τ: start [..., batch, latent]."""

        def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            value, gradient = conditional.evaluate(z)
            return value + log_prior(z), gradient - z

        sampler = self.sampler
        return short_run(
            log_joint, start, sampler.schedule(), noise, sampler.evaluation_temperature, keep_path
        )

    def _training_chain(
        self,
        conditional: Conditional,
        batch: Batch,
        clock: Clock,
        masks: Callable[[int], Masks | None],
        theta: ThetaGradient | None,
        keep_path: bool,
    ) -> Chain:
        start, noise = self._draw(batch, clock.stream("chain"), 1)

        def log_joint(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            value, gradient = conditional.evaluate(z, masks(step), theta)
            return value + log_prior(z), gradient - z

        temperature = self.sampler.temperature.at(clock.progress)
        schedule = self.sampler.schedule()
        return short_run(log_joint, start[0], schedule, noise[:, 0], temperature, keep_path)

    def _draw(self, batch: Batch, stream: Stream, chains: int) -> tuple[Tensor, Tensor]:
        """z_0 [chains, batch, latent] and ε [steps, chains, batch, latent]."""
        steps, latent, like = self.sampler.steps, self.latent, self.generator.output
        draws = [
            stream.normal(batch.examples, (steps + 1) * latent, chain, like.dtype) for chain in range(chains)
        ]
        together = torch.stack(draws).view(chains, len(batch.examples), steps + 1, latent)
        return together[:, :, 0], together[:, :, 1:].permute(2, 0, 1, 3)

    def _masks(self, batch: Batch, clock: Clock) -> Callable[[int], Masks | None]:
        """Masks of every step of a chain, step K being θ's; without chain dropout only that one has any."""
        steps, stream = self.sampler.steps, clock.stream("dropout")
        if self.sampler.chain_dropout:
            return Dropout(self.config.generator, batch, stream, range(steps + 1)).masks
        last = Dropout(self.config.generator, batch, stream, (steps,))
        return lambda step: last.masks(0) if step == steps else None

    def _measured(self, clock: Clock) -> bool:
        every = self.config.training.measure_every
        return every > 0 and clock.step % every == 0

    @staticmethod
    def _unstable_share(
        conditional: Conditional, masks: Callable[[int], Masks | None], chain: Chain
    ) -> float:
        """Share of steps whose noiseless part raises U, each judged under the masks of its own step."""
        assert chain.log_joint is not None
        raised = []
        for step, z in enumerate(noiseless_moves(chain)):
            after = conditional.evaluate(z, masks(step)).log_likelihood + log_prior(z)
            raised.append(after < chain.log_joint[step])
        return float(torch.stack(raised).float().mean())
