"""`sri`: maximum likelihood with short-run inference of z, Pang, Nijkamp, Han and Wu 2021."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sritool.config.settings import RunConfig, SamplerConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.inference.chain_density import chain_density, kl_given_noise
from sritool.inference.langevin import (
    Chain,
    Dynamics,
    LogJoint,
    Noise,
    draw_noise,
    evaluated,
    log_joint_of,
    log_prior,
    noiseless_moves,
    reach,
    require_settled,
    settled,
    short_run,
    with_prior,
)
from sritool.inference.preconditioner import Preconditioner
from sritool.methods.base import GRADIENT, UPDATE, Clock, Method, PriorKl, Work
from sritool.model.conditional import Conditional, Weights
from sritool.model.cuda_graph import GraphedFunction
from sritool.model.dropout import Dropout, Masks
from sritool.model.random import Stream
from sritool.model.theta_gradient import ThetaGradient
from sritool.model.word_subset import WordMass, WordSubset, draw_subsets, stacked, unstacked, worthwhile

_TARGETS = 6  # approximate number of different words that a sentence adds to the drawn ones

PRECONDITIONER = "preconditioner"
"""Name of the module, also in checkpoints."""


class _Pass(NamedTuple):
    """A training chain and its results for θ."""

    chain: Chain
    recon: Tensor  # −log p(x|z_K) under dropout, nats  [batch]
    gradients: dict[str, Tensor]  # by the generator's parameter names
    products: Tensor  # Σ g gᵀ, g = ∇_z log p(x|z_K) under dropout  [latent, latent]
    word_mass: Tensor | None  # of θ's softmax at z_K, if the chain draws words; any scale  [V]


class ShortRunInference(Method):
    """z ~ prior, K Langevin steps towards p_θ(z|x), then a gradient step in θ (eq. 6 to 9)."""

    name = "sri"
    has_chain = True
    sections = frozenset({"sampler"})

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        super().__init__(config, vocabulary_size)
        predicted = vocabulary_size - FIRST_PREDICTED
        self.preconditioner = Preconditioner(self.latent) if self.sampler.preconditioned else None
        self.word_mass = WordMass(predicted) if worthwhile(self.sampler.words, predicted) else None
        for name, statistic in ((PRECONDITIONER, self.preconditioner), ("word_mass", self.word_mass)):
            if statistic is not None:
                self.modules[name] = statistic
        self._graphed_pass = GraphedFunction(self._static_pass)
        self._last: tuple[_Pass, int] | None = None  # not yet used for an update; sentences of its batch

    @property
    def sampler(self) -> SamplerConfig:
        """The settings of the chain."""
        return self.config.sampler

    @property
    def root(self) -> Tensor | None:
        """L of the preconditioner; None for a chain without one."""
        return None if self.preconditioner is None else self.preconditioner.root()

    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Run the chains, and write θ's gradient to `.grad`; arguments and result as in every method.

        With `theta_gradient` at "end" it is the batch's mean at z_K. With "path" it is the sum over the batch of the
        gradients at all visited z_k, plus `end_weight` times that at z_K: in the authors' code the sums accumulate in
        `.grad` during the chain, while z_K enters through a batch mean.

        Raises:
            NumericalError: The chain explodes.
        """
        start, noise = self._draw(batch, clock.stream("chain"), 1)  # one chain per sentence
        scaled = noise[:, 0] * self.sampler.temperature.at(clock.progress)  # [steps, batch, latent]
        size, dropout = (whole or batch).size, self._dropout(batch, clock, whole)
        root, schedule = self.root, self.sampler.schedule()
        weight, every = self.sampler.prior_weight.at(clock.progress), self.config.training.measure_every
        # At the first update, and at the last of so many, as the log is written.
        measured = every > 0 and (clock.step == 0 or (clock.step + 1) % every == 0)
        replayed = _replayed(batch) and not measured
        subsets = self._draw_words(batch, clock, replayed, whole)
        if replayed:
            words = (None,) * 3 if subsets is None else stacked(subsets)
            tensors = (start[0], scaled, torch.as_tensor(weight).to(scaled), root, *words, *dropout.bits)
            done = self._graphed_pass((tuple(schedule),), (size,), *batch, *tensors)
        else:
            conditional = self.conditional(batch, self.precision)
            done = self._pass(
                conditional, dropout, start[0], scaled, weight, schedule, root, subsets, size, measured
            )
        self._last = done, size
        self.assign({"generator": done.gradients})
        moved = (done.chain.end - done.chain.start).norm(dim=-1)  # [batch]
        values = torch.stack((done.recon.sum(), moved.sum(), reach(done.chain.end)))
        recon, distance, farthest = values.tolist()  # a single wait for the device
        require_settled(farthest, Dynamics(schedule, self.sampler.temperature.at(clock.progress)))
        sums = {"recon": recon, "moved": distance}
        if measured:  # so the pass was not replayed, and `conditional` exists
            sums["mean unstable"] = self._unstable_share(conditional, dropout, done.chain, weight, subsets)
        return sums

    def statistics(self) -> list[Tensor]:
        """Return the sums for the running means: products of scores for a preconditioner, mass of drawn words."""
        if self._last is None:
            return []
        done, _ = self._last
        products = [] if self.preconditioner is None else [done.products]
        return products if done.word_mass is None else [*products, done.word_mass]

    def after_update(self) -> None:
        """Add the scores at the chains' ends and the words' mass to their running means."""
        assert self._last is not None, "there are no gradients yet"
        done, sentences = self._last
        if self.preconditioner is not None:
            self.preconditioner.update(done.products, sentences)
        if self.word_mass is not None and done.word_mass is not None:
            self.word_mass.update(done.word_mass)
        self._last = None

    def work(self) -> Work:
        """Return the cost; a step of a chain costs only the drawn words, and with `path` also a gradient in θ."""
        steps, products = self.sampler.steps, self.generator.products
        words, width = self.generator.output_weight.shape
        drawn = self.sampler.words + _TARGETS * self.config.training.batch_size
        seen = words if self.word_mass is None else min(words, drawn)
        of_all_words = (products - (words - seen) * width) / products
        step = of_all_words * (GRADIENT + (self.sampler.theta_gradient == "path"))
        return Work(UPDATE + steps * step, 2 * steps * GRADIENT)

    def settled_at(self) -> float:
        """Return when temperature and prior weight have reached their final values."""
        return max(self.sampler.temperature.settled_at, self.sampler.prior_weight.settled_at)

    def _pass(
        self,
        conditional: Conditional,
        dropout: Dropout,
        start: Tensor,
        noise: Tensor,
        weight: float | Tensor,
        schedule: Sequence[float],
        root: Tensor | None,
        subsets: Sequence[WordSubset] | None,
        size: int,
        keep_path: bool = False,
    ) -> _Pass:
        """Run a chain, and compute θ's gradient.

        `noise` [steps, batch, latent] is already multiplied by the temperature, `weight` multiplies log p(z), and the
        whole batch has `size` sentences.
        """
        theta = ThetaGradient(self.generator, self._workspace)
        along = theta if self.sampler.theta_gradient == "path" else None

        def log_conditional(z: Tensor, step: int) -> tuple[Tensor, Tensor]:
            subset = subsets[step] if subsets else None
            return conditional.evaluate(z, self._masks(dropout, step), along, subset)

        dynamics = evaluated(self.sampler, root)._replace(step_sizes=schedule, temperature=1.0)
        chain = short_run(with_prior(log_conditional, weight), start, noise, dynamics, keep_path)
        mass_before = theta.word_mass.clone() if subsets else None
        theta.weight = self.sampler.weight_at_end(size) if along else 1.0 / size
        last = conditional.evaluate(chain.end, self._masks(dropout, len(schedule)), theta)
        word_mass = None if mass_before is None else theta.word_mass - mass_before
        products = last.gradient.t() @ last.gradient
        return _Pass(chain, -last.log_likelihood, theta.sums, products, word_mass)

    def _static_pass(self, schedule: Sequence[float], size: int, *tensors: Tensor | None) -> _Pass:
        """Run `_pass` on tensors without reading their values, so that it can be captured as a CUDA graph.

        The tensors are the four of the batch, start, noise, the weight of the prior, the root, the three of the
        subsets, and the bits of dropout. From the root on, None stands for a tensor that does not exist.
        """
        given: Any = tensors  # the position of each says whether it may be None
        start, noise, weight, root, *words = given[4:11]
        subsets = None if words[0] is None else unstacked(*words)
        weights = Weights(self.generator, self.precision, self._workspace)
        conditional = Conditional(weights, Batch(*given[:4]), static=True)
        dropout = Dropout(self.config.generator, len(conditional.batch.targets), given[11:])
        return self._pass(conditional, dropout, start, noise, weight, schedule, root, subsets, size)

    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Return the ends of independent chains at the evaluation temperature: [chains, batch, latent]."""
        start, noise = self._draw(conditional.batch, Stream(seed, "evaluation"), chains)
        return self._evaluation_chain(log_joint_of(conditional), start, noise).end

    def posterior_mean(self, conditional: Conditional, seed: int) -> Tensor:
        """Return the end of a chain without noise, from the prior's mean: [batch, latent]."""
        start = self.generator.output_bias.new_zeros(conditional.size, self.latent)
        dynamics = evaluated(self.sampler, self.root)._replace(temperature=0.0)
        noise = start.expand(self.sampler.steps, -1, -1)
        return settled(short_run(log_joint_of(conditional), start, noise, dynamics)).end

    def posterior_under_dropout(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Do as `posterior`, with fresh dropout masks at each step, as the authors' code draws codes to classify.

        Weight drop is off, so that a sentence's codes do not depend on its batch.
        """
        batch, steps = conditional.batch, self.sampler.steps
        generator = replace(self.config.generator, weight_drop=0.0)
        start, noise = self._draw(batch, Stream(seed, "evaluation"), chains)
        ends = []
        for chain in range(chains):  # a set of masks is for one chain per sentence
            indices = range(chain * steps, (chain + 1) * steps)
            drawn = Dropout.draw(generator, batch, Stream(seed, "evaluation dropout"), indices)

            def log_conditional(z: Tensor, step: int, drawn: Dropout = drawn) -> tuple[Tensor, Tensor]:
                return conditional.evaluate(z, drawn.masks(step))

            ends.append(
                self._evaluation_chain(with_prior(log_conditional), start[chain], noise[:, chain]).end
            )
        return torch.stack(ends)

    @property
    def posterior_name(self) -> str:
        """Name of the sampler's chain."""
        return f"{self.sampler.name} chain"

    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """Return the KL of the chain given its noise, one chain per sentence: an upper bound if nothing folds."""
        start, noise = self._draw(conditional.batch, Stream(seed, "evaluation"), 1)
        chain = self._evaluation_chain(log_joint_of(conditional), start[0], noise[:, 0], keep_path=True)
        density = chain_density(conditional, chain)
        return PriorKl(kl_given_noise(chain, density), density.folded)

    def _evaluation_chain(
        self, log_joint: LogJoint, start: Tensor, noise: Tensor, keep_path: bool = False
    ) -> Chain:
        """Run a chain as in evaluation, at the stored τ: start [..., batch, latent].

        Raises:
            NumericalError: The chain explodes.
        """
        dynamics = evaluated(self.sampler, self.root)
        return settled(short_run(log_joint, start, noise, dynamics, keep_path))

    def _draw(self, batch: Batch, stream: Stream, chains: int) -> Noise:
        steps, dtype = self.sampler.steps, self.generator.output_bias.dtype
        return draw_noise(stream, batch.examples, range(chains), steps, self.latent, dtype)

    def _draw_words(
        self, batch: Batch, clock: Clock, fixed_size: bool, whole: Batch | None
    ) -> list[WordSubset] | None:
        """Draw the words that each Langevin step of this update sees, the same in all parts of a batch; None: all."""
        if self.word_mass is None:
            return None
        pi, here = self.word_mass.inclusion(self.sampler.words), batch.targets.device
        update = torch.tensor([clock.step], device=here)  # one draw for all sentences of an update
        words = clock.stream("words").integers(update, range(self.sampler.steps), len(pi))[:, 0]
        uniforms = (words.to(pi.dtype) + 0.5) * 2.0**-32
        present = None if whole is None else _rows(whole)
        return draw_subsets(pi, _rows(batch), uniforms, fixed_size, present)

    def _dropout(self, batch: Batch, clock: Clock, whole: Batch | None) -> Dropout:
        """Masks of steps 0 … K of a chain; K is for θ's gradient, and the only one without chain dropout."""
        steps, stream = self.sampler.steps, clock.stream("dropout")
        indices = range(steps + 1) if self.sampler.chain_dropout else (steps,)
        return Dropout.draw(self.config.generator, batch, stream, indices, whole)

    def _masks(self, dropout: Dropout, step: int) -> Masks | None:
        if self.sampler.chain_dropout:
            return dropout.masks(step)
        return dropout.masks(0) if step == self.sampler.steps else None

    def _unstable_share(
        self,
        conditional: Conditional,
        dropout: Dropout,
        chain: Chain,
        weight: float,
        subsets: Sequence[WordSubset] | None,
    ) -> float:
        """Share of steps whose noiseless part raises U, each under the masks and words of its own step."""
        assert chain.log_joint is not None
        raised = []
        for step, z in enumerate(noiseless_moves(chain)):
            subset = subsets[step] if subsets else None
            after, _ = conditional.evaluate(z, self._masks(dropout, step), None, subset)
            after = after + weight * log_prior(z)
            raised.append(after < chain.log_joint[step])
        return float(torch.stack(raised).float().mean())


def _replayed(batch: Batch) -> bool:
    return batch.inputs.is_cuda and batch.size > 0


def _rows(batch: Batch) -> Tensor:
    """The output layer's row of each target: [time·batch]."""
    return (batch.targets.flatten() - FIRST_PREDICTED).clamp_min(0)
