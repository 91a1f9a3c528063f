"""Estimators of log p(x) by name; each draws weighted z for the sentences of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from sritool.data.batches import evaluation_batches
from sritool.data.sampling import Indices
from sritool.errors import UsageError, suggestion
from sritool.evaluation.settings import DEFAULT_ESTIMATOR, EvaluationSettings
from sritool.inference.langevin import evaluated
from sritool.likelihood import ais
from sritool.likelihood.adaptation import adaptive_draws
from sritool.likelihood.chain_likelihood import chain_draws, rows_within
from sritool.likelihood.importance import WeightedDraws, draw, exact
from sritool.methods.base import Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.model.conditional import Conditional
from sritool.model.random import Stream


class Estimator(NamedTuple):
    """One estimator of the table `ESTIMATORS`."""

    samples: int  # default M
    fits: Callable[[Method], bool] = lambda method: True
    needs: str = ""  # what it needs of a method


def weighted_draws(
    method: Method, conditional: Conditional, starts: Tensor, settings: EvaluationSettings
) -> WeightedDraws:
    """Draw z with weights w whose mean is p(x), by the estimator of the settings; exact for a model without z.

    `starts` are draws from the method's own q(z|x): [chains, batch, latent].

    Returns:
        M weighted draws of each sentence; `likelihood_figures` gives log p̂(x) in nats.
    """
    examples, seed, config = conditional.batch.examples, settings.seed, settings.likelihood
    match settings.estimator if method.latent else "exact":
        case "adaptive":
            root = method.root
            covariance = None if root is None else root @ root.t()
            ends, rough = starts[: config.modes], method.rough(conditional)
            return adaptive_draws(conditional, ends, seed, examples, config, covariance, rough)
        case "sri":
            size = starts.element_size()
            rows = rows_within(settings.memory, method.config.generator, conditional.time, size)
            dynamics, own = evaluated(method.config.sampler, method.root), (seed, starts.dtype)
            return chain_draws(conditional, examples, method.latent, dynamics, config.samples, rows, *own)
        case "ais":
            steps = ais.ladder(conditional, examples, method.latent, starts.dtype, settings.rungs, seed)
            found = ais.anneal(conditional, steps, examples, config.samples, seed)
            return WeightedDraws(found.end, conditional.log_likelihood(found.end), found.log_weights)
        case "encoder":
            assert isinstance(method, EncoderMethod), "check_estimator refuses the others"
            q = method.proposal(conditional, seed)
            return draw(conditional, q, Stream(seed, "weighed"), examples, config.samples)
        case "exact":
            return exact(conditional, starts[0])
        case name:
            raise AssertionError(f"{name} is in ESTIMATORS, but not in weighted_draws")


def check_estimator(name: str, method: Method | None = None, others: Sequence[str] = ()) -> None:
    """Refuse an estimator that does not exist, or does not fit the method; `others` are also allowed by the caller.

    Raises: UsageError.
    """
    if name in others:
        return
    if name not in ESTIMATORS:
        names = [*(known for known in ESTIMATORS if known != "exact"), *others]
        raise UsageError(f"no estimator {name!r}{suggestion(name, names)}")
    if method is not None and method.latent and not ESTIMATORS[name].fits(method):
        needs = f"{ESTIMATORS[name].needs}, not {method.name}"
        raise UsageError(f"estimator {name} needs {needs}; take --estimator {DEFAULT_ESTIMATOR}")


def largest_batch(method: Method, settings: EvaluationSettings, time: int) -> int:
    """Return how many sentences of length `time` fit into the settings' memory, each with at least one draw."""
    like = method.generator.output_bias
    rows = rows_within(settings.memory, method.config.generator, time, like.element_size())
    if settings.estimator == "ais" and method.latent:
        rows //= settings.likelihood.samples
    return max(1, rows)


def fitting_batches(
    method: Method, settings: EvaluationSettings, lengths: Indices, size: int
) -> Iterator[Indices]:
    """Yield batches of at most `size` sentences of these lengths that fit into the settings' memory."""
    for part in evaluation_batches(lengths, size):
        fitting = largest_batch(method, settings, int(lengths[part[0]]))
        yield from (part[i : i + fitting] for i in range(0, len(part), fitting))


def _encodes_with_density(method: Method) -> bool:
    return isinstance(method, EncoderMethod) and not method.is_point


ESTIMATORS = {
    "adaptive": Estimator(100),
    "sri": Estimator(10, lambda method: method.has_chain, "a method with a chain"),
    "ais": Estimator(16),
    "encoder": Estimator(500, _encodes_with_density, "a method whose encoder gives a distribution"),
    "exact": Estimator(2, lambda method: method.latent == 0, "a model without z"),
}
"""Name -> estimator, in the order of listings; `weighted_draws` has the drawing itself."""
