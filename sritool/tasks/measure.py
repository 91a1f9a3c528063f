"""Measures of a model over sentences: what validation and `evaluate` share.

Each metric names what it needs; each need is computed once, batch by batch, into arrays with one row a sentence,
and the arrays are reduced to estimates at the end.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.core.conditional import Conditional
from sritool.core.config import LikelihoodConfig
from sritool.core.likelihood import adaptive_likelihood
from sritool.core.metrics import (
    Estimate,
    active_unit_estimates,
    derangement,
    mean_estimate,
    perplexity,
)
from sritool.corpus.batches import collate, evaluation_batches
from sritool.corpus.store import Split
from sritool.errors import NumericalError, UsageError
from sritool.methods.base import Method

Array = NDArray[np.float64]

NEEDS = {
    "ppl": ("likelihood",),
    "nll": ("likelihood",),
    "posterior-kl": ("likelihood",),
    "recon": ("draws",),
    "permuted": ("draws", "permuted"),
    "kl": ("density",),
    "au": ("draws",),
    "au-naive": ("draws",),
}
"""Metric -> what it is computed from, in the order of a table."""

DEFAULT_METRICS = ("ppl", "nll", "recon", "posterior-kl", "au", "permuted")
KL_SENTENCES = 64  # `kl` takes K Hessians a sentence: without a limit of the user's own, this many

Report = Callable[[str, int, int], None]
"""(what is going on, sentences done, sentences in all)"""

# What the decomposition of a matrix with NaN in it ends in.
_NotFinite: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]


class Settings(NamedTuple):
    """How to measure."""

    metrics: Sequence[str]
    likelihood: LikelihoodConfig
    seed: int = 0
    chains: int = 2  # of z a sentence, even: the halves of `au`
    batch_size: int = 64
    kl_sentences: int = KL_SENTENCES


class Measured(NamedTuple):
    """Estimates, and the rows a sentence that they were reduced from."""

    estimates: list[Estimate]
    rows: dict[str, Array]  # column -> [sentences]
    notes: list[str]


def check_metrics(names: Sequence[str]) -> None:
    """Raises: UsageError for a metric that there is not."""
    for name in names:
        if name not in NEEDS:
            near = difflib.get_close_matches(name, NEEDS, n=1)
            raise UsageError(
                f"no metric {name!r}; "
                + (f"did you mean {near[0]}?" if near else f"known: {', '.join(NEEDS)}")
            )


def measure(
    method: Method,
    split: Split,
    examples: NDArray[np.int64],
    settings: Settings,
    report: Report | None = None,
) -> Measured:
    """Measure a method on these sentences of a split, without dropout, in float32.

    Args:   examples [n]: indices in the split, also the keys of the noise.
    Raises: UsageError for an unknown metric; NumericalError if the model is not finite.
    """
    check_metrics(settings.metrics)
    measurement = _Measurement(method, split, examples, settings, report or (lambda *_: None))
    try:
        return measurement.run()
    except _NotFinite as error:
        raise NumericalError(
            "the chain or the model's curvature is not finite; take an earlier checkpoint, or smaller step sizes"
        ) from error


class _Measurement:
    def __init__(
        self, method: Method, split: Split, examples: NDArray[np.int64], settings: Settings, report: Report
    ) -> None:
        self.method, self.split, self.examples, self.settings = method, split, examples, settings
        self.report = report
        self.needs = {need for name in settings.metrics for need in NEEDS[name]}
        self.batches = evaluation_batches(split.lengths[examples], settings.batch_size)
        self.rows: dict[str, Array] = {
            "predictions": split.lengths[examples].astype(np.float64),
            "words": split.words[examples].astype(np.float64),
        }
        self.draws: Array | None = None  # [chains, n, latent]
        self.notes: list[str] = []

    def run(self) -> Measured:
        chains = max(self.settings.chains, 2)
        if self.method.latent:
            self.draws = np.empty((chains, len(self.examples), self.method.latent))
        if self.needs & {"draws", "likelihood"}:
            self._over_batches("inference and likelihood", self.batches, self._infer)
        if "permuted" in self.needs and self.draws is not None:
            self._permute()
        if "density" in self.needs and self.method.latent:
            self._density()
        self._check_bound()
        return Measured(self._estimates(), self.rows, self.notes)

    def _over_batches(
        self,
        label: str,
        batches: Sequence[NDArray[np.int64]],
        work: Callable[[Conditional, NDArray[np.int64]], None],
    ) -> None:
        done, total = 0, sum(len(part) for part in batches)
        device = self.method.generator.output.device
        for part in batches:
            self.report(label, done, total)
            batch = collate(self.split, self.examples[part]).to(device)
            work(self.method.conditional(batch), part)
            done += len(part)
        self.report(label, done, total)

    def _put(self, column: str, part: NDArray[np.int64], values: torch.Tensor) -> None:
        rows = self.rows.setdefault(column, np.full(len(self.examples), np.nan))
        rows[part] = values.double().cpu().numpy()

    def _infer(self, conditional: Conditional, part: NDArray[np.int64]) -> None:
        """Draws of q(z|x), their reconstruction, and the likelihood with proposals started at them."""
        settings = self.settings
        draws = self.method.posterior(conditional, settings.seed, max(settings.chains, 2))
        if self.draws is not None:
            self.draws[:, part] = draws.double().cpu().numpy()
        if "draws" in self.needs:
            self._put("recon", part, -conditional.log_likelihood(draws).mean(0))
        if "likelihood" in self.needs:
            starts = draws[: settings.likelihood.modes]
            weighed = adaptive_likelihood(
                conditional, starts, settings.seed, conditional.batch.examples, settings.likelihood
            )
            self._put("log_likelihood", part, weighed.log_likelihood)
            self._put("log_likelihood_half", part, weighed.log_likelihood_half)
            self._put("posterior_kl", part, weighed.conditional - weighed.log_likelihood)
            self._put("effective_sample_size", part, weighed.effective_sample_size)

    def _permute(self) -> None:
        """Reconstruction with the code of another sentence, the same other for every chain."""
        assert self.draws is not None
        if len(self.examples) < 2:
            self.notes.append("permuted needs two sentences or more")
            return
        borrowed = self.draws[:, derangement(len(self.examples), self.settings.seed)]

        def work(conditional: Conditional, part: NDArray[np.int64]) -> None:
            like = self.method.generator.output
            z = torch.from_numpy(borrowed[:, part]).to(like.device, like.dtype)
            self._put("recon_permuted", part, -conditional.log_likelihood(z).mean(0))

        self._over_batches("permuted codes", self.batches, work)

    def _density(self) -> None:
        """KL of q(z|x) to the prior, on a seeded choice of sentences."""
        count = min(self.settings.kl_sentences, len(self.examples))
        chosen = np.sort(np.random.default_rng(self.settings.seed).permutation(len(self.examples))[:count])
        lengths = self.split.lengths[self.examples[chosen]]
        batches = [chosen[part] for part in evaluation_batches(lengths, min(32, self.settings.batch_size))]

        def work(conditional: Conditional, part: NDArray[np.int64]) -> None:
            found = self.method.kl_to_prior(conditional, self.settings.seed)
            self._put("kl", part, found.kl)
            self._put("folded", part, found.folded)

        self._over_batches("density of q", batches, work)
        folded = float(np.nanmean(self.rows["folded"]))
        if folded > 0:
            self.notes.append(
                f"kl: {100 * folded:.1f} % of the steps fold, so that it may lie on either side of the truth"
            )

    def _check_bound(self) -> None:
        """NLL ≤ recon + KL(q ‖ prior) for any q: a table that breaks it is wrong somewhere, and says so."""
        if not {"log_likelihood", "recon", "kl"} <= self.rows.keys():
            return
        slack = self.rows["recon"] + self.rows["kl"] + self.rows["log_likelihood"]
        slack = slack[~np.isnan(slack)]
        error = slack.std(ddof=1) / np.sqrt(len(slack)) if len(slack) > 1 else np.inf
        if slack.mean() < -2 * error:
            self.notes.append(
                f"nll lies {-slack.mean():.2f} ± {error:.2f} nats above recon + kl, which is a bound: "
                "take --samples higher, and do not trust kl where steps fold"
            )

    def _estimates(self) -> list[Estimate]:
        return [
            estimate for name in NEEDS if name in self.settings.metrics for estimate in self._estimate(name)
        ]

    def _estimate(self, name: str) -> list[Estimate]:
        settings, rows = self.settings, self.rows
        exact = self.method.latent == 0
        draws = 0 if exact else settings.likelihood.samples
        estimator = "exact" if exact else "adaptive"
        chains = 0 if exact else max(settings.chains, 2)
        sampler = "none: no z" if exact else self.method.posterior_name
        if name == "ppl":
            ppl = perplexity(
                "ppl", rows["log_likelihood"], rows["predictions"], "per token", draws, estimator
            )
            if np.array_equal(rows["words"], rows["predictions"]):
                return [ppl]
            per_word = perplexity(
                "ppl-word", rows["log_likelihood"], rows["words"], "per original word", draws, estimator
            )
            return [ppl, per_word]
        if name == "nll":
            return [mean_estimate("nll", -rows["log_likelihood"], "nats/sentence", draws, estimator)]
        if name == "posterior-kl":
            return [mean_estimate(name, rows["posterior_kl"], "nats/sentence", draws, estimator)]
        if name == "recon":
            return [mean_estimate(name, rows["recon"], "nats/sentence", chains, sampler)]
        if exact:
            unit = "dimensions" if name.startswith("au") else "nats/sentence"
            return [Estimate(name, 0.0, 0.0, unit, len(self.examples), 0, sampler)]
        if name == "permuted":
            if "recon_permuted" not in rows:
                return []
            return [
                mean_estimate(name, rows["recon_permuted"] - rows["recon"], "nats/sentence", chains, sampler)
            ]
        if name == "kl":
            values = rows["kl"]
            kept = values[~np.isnan(values)]
            return [mean_estimate(name, kept, "nats/sentence", 1, sampler)]
        assert self.draws is not None
        both = active_unit_estimates(self.draws, sampler, settings.seed)
        return [estimate for estimate in both if estimate.metric == name]
