"""`lm`: the generator without a latent variable, trained by maximum likelihood."""

from __future__ import annotations

from torch import Tensor

from sritool.data.batches import Batch
from sritool.methods.base import Clock, Method, PriorKl
from sritool.model.conditional import Conditional
from sritool.model.dropout import Dropout
from sritool.model.theta_gradient import ThetaGradient


class LanguageModel(Method):
    """p(x) = Π p(w_t | w_<t); its likelihood is exact."""

    name = "lm"
    has_code = False

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write the gradient of the mean −log p(x) over the batch, under dropout."""
        conditional = self.conditional(batch, self.precision)
        masks = Dropout.draw(self.config.generator, batch, clock.stream("dropout"), (0,), whole).masks(0)
        theta = ThetaGradient(self.generator, self._workspace, 1.0 / (whole or batch).size)
        evaluation = conditional.evaluate(self._no_code(conditional), masks, theta)
        self.assign({"generator": theta.sums})
        return {"recon": -float(evaluation.log_likelihood.sum())}

    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Return codes of width 0."""
        return self._no_code(conditional).expand(chains, -1, -1)

    def posterior_mean(self, conditional: Conditional, seed: int) -> Tensor:
        """Return codes of width 0."""
        return self._no_code(conditional)

    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """Return 0, as there is no z."""
        zeros = self.generator.output_bias.new_zeros(conditional.size)
        return PriorKl(zeros, zeros)

    def _no_code(self, conditional: Conditional) -> Tensor:
        return self.generator.output_bias.new_zeros(conditional.size, 0)
