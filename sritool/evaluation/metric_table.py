"""Every metric in one table: what it is computed from, what it means, its unit, and each sentence's term."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from sritool.errors import UsageError, suggestion

if TYPE_CHECKING:
    from sritool.evaluation.metrics import Array
    from sritool.evaluation.sentence_figures import SentenceFigures

NATS = "nats/sentence"
_POSTERIOR_CODES = ("likelihood", "posterior codes")
_OWN_CODES = ("likelihood", "draws", "own codes")


class Metric(NamedTuple):
    """A metric.

    What it is computed from is a subset of:

    likelihood       weighted draws of the posterior: log p(x) and posterior-kl
    posterior codes  one of these draws per sentence, chosen by its weight
    draws            codes of q(z|x), the method's own way to infer z, and recon
    own codes        the first of them
    permuted         recon with the codes of other sentences
    means            E_q[z], or means over halves of the draws
    density          log q(z|x), for `kl`
    encoder          the ELBO of the encoder before its refinement
    information      log p(x|z) of each code and every sentence
    aggregate        the Gaussian of all posterior codes
    """

    needs: tuple[str, ...]
    meaning: str  # in a few words
    # Of each sentence, [n], if the metric is their mean.
    term: Callable[[SentenceFigures], Array] | None = None
    unit: str = NATS
    better: int = 0  # −1 if lower is better, 1 if higher is, 0 if neither


METRICS = {
    "ppl": Metric(("likelihood",), "perplexity: exp of −log p(x) per token", unit="per token", better=-1),
    "nll": Metric(("likelihood",), "−log p(x) of a sentence", better=-1),
    "bpc": Metric(
        ("likelihood",),
        "bits per character: −log₂ p(x) over the characters of the text",
        unit="bits/character",
        better=-1,
    ),
    "bpb": Metric(
        ("likelihood",),
        "bits per byte: the same over the bytes of the text",
        unit="bits/byte",
        better=-1,
    ),
    "posterior-kl": Metric(
        ("likelihood",), "what z tells of x: KL of the posterior to the prior", lambda of: of.posterior_kl
    ),
    "mi": Metric(
        (*_POSTERIOR_CODES, "information"), "mutual information of x and z", lambda of: of.mi, better=1
    ),
    "mi-upper": Metric(
        (*_POSTERIOR_CODES, "aggregate"),
        "mutual information of sentence and code, upper bound",
        lambda of: of.posterior_kl - of.kl_aggregate,
    ),
    "kl-aggregate": Metric(
        (*_POSTERIOR_CODES, "aggregate"),
        "KL of all codes together to the prior, lower bound",
        lambda of: of.kl_aggregate,
    ),
    "recon": Metric(("draws",), "−log p(x|z), z as the method infers it", lambda of: of.recon, better=-1),
    "permuted": Metric(
        ("draws", "permuted"),
        "what another sentence’s z costs in recon; 0: z is ignored",
        lambda of: of.recon_permuted - of.recon,
        better=1,
    ),
    "elbo": Metric(("draws", "density"), "−recon − kl", lambda of: -of.recon - of.kl),
    "elbo-gain": Metric(
        ("draws", "density", "encoder"),
        "by how much refinement raises the encoder’s elbo",
        lambda of: of.encoder_recon + of.encoder_kl - of.recon - of.kl,
    ),
    "kl": Metric(("density",), "KL of the method’s own q(z|x) to the prior", lambda of: of.kl),
    "kl-information": Metric(
        _OWN_CODES,
        "the part of kl that is about the sentence, lower bound",
        lambda of: of.kl_information,
    ),
    "kl-contraction": Metric(
        (*_OWN_CODES, "density"), "the rest of kl", lambda of: of.kl - of.kl_information
    ),
    "au": Metric(
        ("draws", "means"),
        "active units: dimensions of z that vary with the sentence",
        unit="dimensions",
    ),
    "au-naive": Metric(
        ("draws", "means"),
        "the published count of active units, which takes noise for activity",
        unit="dimensions",
    ),
}
"""Name -> metric, in the order of a table.

Neither more nor less of `kl` and `posterior-kl` is better: they are the price of likelihood. `au` counts dimensions,
whatever they hold, and many models share its maximum.
"""

_PER_WORD = Metric(
    ("likelihood",),
    "perplexity: exp of −log p(x) per word of the text",
    unit="per original word",
    better=-1,
)

ON_WEIGHTS = tuple(name for name, metric in METRICS.items() if "likelihood" in metric.needs)
"""Metrics that depend on log p(x)."""

WEIGHTED = tuple(name for name in ON_WEIGHTS if "own codes" not in METRICS[name].needs)
"""Metrics estimated by importance weights; not those that only subtract such a figure, as `kl-information`."""

PAIRED = tuple(name for name, metric in METRICS.items() if "means" not in metric.needs)
"""Metrics that have a term per sentence. `au` counts dimensions over all sentences and has none."""


def metric_name(estimate: str) -> str:
    """Return the metric behind an estimate of this name: `ppl` for `ppl-word` and `ppl-signed`."""
    return estimate if estimate in METRICS else estimate.rpartition("-")[0]


def metric_of(estimate: str) -> Metric:
    """Return the metric behind an estimate of this name, with the unit and the meaning of the estimate."""
    return _PER_WORD if estimate == "ppl-word" else METRICS[metric_name(estimate)]


def needs_of(metrics: Iterable[str]) -> set[str]:
    """Return what these metrics are computed from."""
    return {need for name in metrics for need in METRICS[name].needs}


def check_metrics(names: Iterable[str]) -> None:
    """Refuse a metric that does not exist. Raises: UsageError."""
    for name in names:
        if name == "ppl-word":
            raise UsageError(
                "ppl-word is not asked for by name; give ppl, which shows it if tokens are pieces of words"
            )
        if name not in METRICS:
            raise UsageError(f"no metric {name!r}{suggestion(name, METRICS)}")
