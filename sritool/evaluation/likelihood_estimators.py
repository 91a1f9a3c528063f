"""Estimators of log p(x) by name: each a way to draw z with weights for the sentences of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from sritool.errors import UsageError, suggestion
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.likelihood import ais
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.chain_likelihood import chain_draws, plan_of, rows_within
from sritool.likelihood.importance import WeightedDraws, draw, exact
from sritool.methods.base import Method
from sritool.model.conditional import Conditional
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream


@runtime_checkable
class Encoding(Protocol):
    """A method with an encoder."""

    def proposal(self, conditional: Conditional, seed: int) -> DiagonalGaussian:
        """q(z|x) of the batch."""


class _Given(NamedTuple):
    """What an estimator works on, as `weighted_draws` has it."""

    method: Method
    conditional: Conditional
    starts: Tensor
    settings: EvaluationSettings

    @property
    def examples(self) -> Tensor:
        """Keys of the sentences' noise: [batch]."""
        return self.conditional.batch.examples


class Estimator(NamedTuple):
    """One of the table."""

    samples: int  # M unless asked otherwise
    draw: Callable[[_Given], WeightedDraws]
    needs: Callable[[Method], str]  # what it needs and the method has not, "" if nothing


def weighted_draws(
    method: Method, conditional: Conditional, starts: Tensor, settings: EvaluationSettings
) -> WeightedDraws:
    """Draw z with weights w whose mean is p(x), by the estimator that the settings name; without z it is exact.

    Args:
        method: The trained model.
        conditional: p(x|·) of a batch.
        starts: Draws of the method's own q(z|x). Shape [chains, batch, latent].
        settings: Names the estimator and M.

    Returns:
        M weighted draws of each sentence; `likelihood_figures` gives log p̂(x) in nats.
    """
    name = settings.estimator if method.latent else "exact"
    return ESTIMATORS[name].draw(_Given(method, conditional, starts, settings))


def check_estimator(name: str, method: Method | None = None, others: Sequence[str] = ()) -> None:
    """Refuse an estimator that does not exist, or that does not fit a method.

    Args:
        name: Of the estimator.
        method: To be measured; None: any.
        others: Names that mean something to the caller.

    Raises:
        UsageError: The estimator is refused.
    """
    if name in others:
        return
    if name not in ESTIMATORS:
        names = [*(known for known in ESTIMATORS if known != "exact"), *others]
        raise UsageError(f"no estimator {name!r}{suggestion(name, names)}")
    needs = ESTIMATORS[name].needs(method) if method is not None and method.latent else ""
    if method is not None and needs:
        raise UsageError(
            f"estimator {name} needs {needs}, not {method.name}; take --estimator {DEFAULT_ESTIMATOR}"
        )


def largest_batch(method: Method, settings: EvaluationSettings, time: int) -> int:
    """Sentences of this length that fit into the settings' memory, each of them with one draw at least."""
    like = method.generator.output_bias
    rows = rows_within(settings.memory, method.config.generator, time, like.element_size())
    if settings.estimator == "ais" and method.latent:
        rows //= settings.likelihood.samples
    return max(1, rows)


def _adaptive(given: _Given) -> WeightedDraws:
    config, root = given.settings.likelihood, given.method.root
    covariance = None if root is None else root @ root.t()
    ends, seed = given.starts[: config.modes], given.settings.seed
    rough = given.method.rough(given.conditional)
    return adaptive_draws(given.conditional, ends, seed, given.examples, config, covariance, rough)


def _sri(given: _Given) -> WeightedDraws:
    method, conditional, starts, settings = given
    rows = rows_within(settings.memory, method.config.generator, conditional.time, starts.element_size())
    chain = plan_of(method.config.sampler, settings.likelihood.samples, rows, method.root)
    return chain_draws(conditional, given.examples, method.latent, chain, settings.seed, starts.dtype)


def _ais(given: _Given) -> WeightedDraws:
    method, conditional, starts, settings = given
    rungs, chains, seed = settings.rungs, settings.likelihood.samples, settings.seed
    steps = ais.ladder(conditional, given.examples, method.latent, starts.dtype, rungs, seed)
    found = ais.anneal(conditional, steps, given.examples, chains, seed)
    return WeightedDraws(found.end, conditional.log_likelihood(found.end), found.log_weights)


def _encoder(given: _Given) -> WeightedDraws:
    assert isinstance(given.method, Encoding), "check_estimator refuses the others"
    seed, samples = given.settings.seed, given.settings.likelihood.samples
    q = given.method.proposal(given.conditional, seed)
    return draw(given.conditional, q, Stream(seed, "weighed"), given.examples, samples)


def _exact(given: _Given) -> WeightedDraws:
    return exact(given.conditional, given.starts[0])


def _encodes_with_density(method: Method) -> bool:
    return isinstance(method, Encoding) and not getattr(method, "is_point", False)


def _unless(fits: Callable[[Method], bool], needed: str) -> Callable[[Method], str]:
    return lambda method: "" if fits(method) else needed


ESTIMATORS = {
    "adaptive": Estimator(100, _adaptive, lambda _: ""),
    "sri": Estimator(10, _sri, _unless(lambda method: method.name == "sri", "a method with a chain")),
    "ais": Estimator(16, _ais, lambda _: ""),
    "encoder": Estimator(
        500, _encoder, _unless(_encodes_with_density, "a method whose encoder gives a distribution")
    ),
    "exact": Estimator(2, _exact, lambda _: "a model without z"),
}
"""Name -> estimator, in the order in which they are told."""
