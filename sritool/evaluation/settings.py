"""Settings of a measurement: one record, filled by a command and passed to every stage."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from sritool.config.settings import LikelihoodConfig
from sritool.evaluation.metric_table import needs_of
from sritool.inference.refinement import Refinement

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
        return needs_of(self.metrics)

    def kl_count(self, sentences: int) -> int:
        """Return on how many of these sentences `kl` is measured if it is slow."""
        return sentences if self.limit is not None else min(self.kl_sentences, sentences)
