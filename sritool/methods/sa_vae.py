"""`sa-vae`: the encoder's q(z|x) is refined for each sentence; encoder and generator are trained through that.

Source: Kim, Wiseman, Miller, Sontag and Rush 2018, "Semi-amortized variational autoencoders".
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch
from sritool.inference.refinement import Refinement
from sritool.inference.svi import refine, refine_backward
from sritool.methods.base import GRADIENT, Clock, Work
from sritool.methods.encoder_method import EncoderMethod, slope_in_q
from sritool.model.conditional import Evaluation
from sritool.model.dropout import Dropout
from sritool.model.second_order import hessian_vector_product
from sritool.model.theta_gradient import ThetaGradient

_SECOND_ORDER = 6.0  # cost of second derivatives along a direction, in forward passes of p(x|z)


class SemiAmortizedVae(EncoderMethod):
    """The ELBO after K steps of ascent from the encoder's q, differentiated exactly through all steps."""

    name = "sa-vae"
    sections = frozenset({"kl", "refinement"})

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        self.refinement = Refinement(config.refinement.steps, rate=config.refinement.rate)

    def work(self) -> Work:
        """Return the cost; every step of refinement is computed once and differentiated once."""
        plain = super().work()
        steps = self.config.refinement.steps
        return plain._replace(training=plain.training + steps * (GRADIENT + _SECOND_ORDER))

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write the gradient of the batch mean of recon + w·KL at q_K, in θ and, through q_0, in the encoder.

        All steps and the bound at their end use the same dropout masks, so that the refinement climbs the bound that
        is trained. "gap closed" is the bound at q_K minus the bound at q_0, with the present KL weight.
        """
        settings, weight, size = self.config.refinement, self.kl_weight(clock), (whole or batch).size
        run, conditional = self.encoder.run(batch, self._workspace), self.conditional(batch, self.precision)
        masks = Dropout.draw(self.config.generator, batch, clock.stream("dropout"), (0,), whole).masks(0)
        dtype, steps = self.generator.output_bias.dtype, settings.steps
        noise = clock.stream("refinement").codes(batch.examples, steps + 1, self.latent, dtype)
        noise, last = noise[:-1], noise[-1]

        def evaluate(z: Tensor) -> Evaluation:
            return conditional.evaluate(z, masks)

        mean_norm = partial(self._mean_norm, size=size)
        refined = refine(evaluate, run.q, noise, settings, weight, mean_norm)
        theta = ThetaGradient(self.generator, self._workspace, 1.0 / size)
        found = conditional.evaluate(refined.q.at(last), masks, theta)

        def curvature(z: Tensor, u: Tensor) -> Tensor:
            slope = hessian_vector_product(self.generator, batch, masks, z, u)
            for name, gradient in slope.of_parameters.items():
                theta.sums[name] += gradient
            return slope.of_code

        of_end = slope_in_q(refined.q, last, found.gradient, weight, size)
        of_start = refine_backward(curvature, refined, noise, of_end, settings, weight)
        encoder = run.gradients(of_start.mean, of_start.log_variance)
        self.assign({"encoder": encoder, "generator": theta.sums})

        kl = refined.q.kl_to_prior()
        before = evaluate(run.q.at(last)).log_likelihood - weight * run.q.kl_to_prior()
        return {
            "recon": -float(found.log_likelihood.sum()),
            "kl": float(kl.sum()),
            "mean KL weight": weight,
            "gap closed": float((found.log_likelihood - weight * kl - before).sum()),
        }

    def _mean_norm(self, gradient: Tensor, size: int) -> Tensor:
        """Norm of the gradient of the mean over the whole batch, whose parts may be in several processes."""
        return self.processes.sum_((gradient / size).square().sum()).sqrt()
