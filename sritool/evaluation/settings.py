"""Settings of a measurement: one record, filled by a command and passed to every stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from sritool.config.settings import LikelihoodConfig
from sritool.errors import UsageError, suggestion
from sritool.inference.refinement import Refinement

NEEDS = {
    "ppl": ("likelihood",),
    "nll": ("likelihood",),
    "bpc": ("likelihood",),
    "bpb": ("likelihood",),
    "posterior-kl": ("likelihood",),
    "mi": ("likelihood", "posterior codes", "information"),
    "mi-upper": ("likelihood", "posterior codes", "aggregate"),
    "kl-aggregate": ("likelihood", "posterior codes", "aggregate"),
    "recon": ("draws",),
    "permuted": ("draws", "permuted"),
    "elbo": ("draws", "density"),
    "elbo-gain": ("draws", "density", "encoder"),
    "kl": ("density",),
    "kl-information": ("likelihood", "draws", "own codes"),
    "kl-contraction": ("likelihood", "draws", "own codes", "density"),
    "au": ("draws", "means"),
    "au-naive": ("draws", "means"),
}
"""Metric -> what it is computed from, in the order of a table.

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

DEFAULT_METRICS = ("ppl", "nll", "recon", "posterior-kl", "au", "permuted")
DEFAULT_ESTIMATOR = "adaptive"


@dataclass(frozen=True)
class EvaluationSettings:
    """Which metrics to measure, on which sentences, and how."""

    metrics: tuple[str, ...] = DEFAULT_METRICS
    _: KW_ONLY
    # Which sentences.
    split: str = "test"
    text: Path | None = None  # a file or "-", in place of the split
    limit: int | None = None  # number of sentences: a seeded choice of a split, the first ones of a text
    data_dir: Path = Path("data")
    # How p(x) is estimated.
    estimator: str = DEFAULT_ESTIMATOR  # a name in `ESTIMATORS`
    # `samples` is M of every estimator; the rest is for `adaptive`.
    likelihood: LikelihoodConfig = LikelihoodConfig()
    rungs: int = 200  # of annealing, for `ais` and the certificate
    # How q(z|x) is measured.
    chains: int = 2  # draws of z per sentence; even, for the halves of `au`
    unit_chains: int = 64  # most chains for `au`, if more may still change it
    refinement: Refinement | None = None  # of an encoder's q(z|x); None: the method's own
    kl_sentences: int = 64  # for `kl`, if it takes K Hessians per sentence and `limit` is not set
    mi_sentences: int = 500  # for `mi`, which scores every code against every sentence
    # Everything.
    seed: int = 0
    batch_size: int = 64
    memory: int = 4 << 30  # bytes for the work of one batch
    again: bool = False  # measure even what is on record: rows of sentences and the curve are not kept

    @property
    def needs(self) -> set[str]:
        """What the metrics are computed from."""
        return {need for name in self.metrics for need in NEEDS[name]}

    def kl_count(self, sentences: int) -> int:
        """Return on how many of these sentences `kl` is measured if it is slow."""
        return sentences if self.limit is not None else min(self.kl_sentences, sentences)


def check_metrics(names: Iterable[str]) -> None:
    """Refuse a metric that does not exist. Raises: UsageError."""
    for name in names:
        if name not in NEEDS:
            raise UsageError(f"no metric {name!r}{suggestion(name, NEEDS)}")
