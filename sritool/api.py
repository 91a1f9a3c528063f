"""The programming interface: `sritool.load` and the model that it returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sritool.analysis.interpolation import Way, interpolate_once
from sritool.config.settings import LikelihoodConfig
from sritool.evaluation.measure import measure
from sritool.evaluation.posterior_codes import CodeSettings, codes_of_text
from sritool.evaluation.settings import EvaluationSettings
from sritool.model.decoding import DecodingConfig
from sritool.runs.model import Floats, TrainedModel


class Model(TrainedModel):
    """A trained generator with its tokenizer and its inference of z.

        model = sritool.load("runs/tiny-sri")
        codes = model.encode(["a dog runs", "two girls sing"])     # float32 [2, latent]
        model.decode(codes)                                        # two sentences, greedily
        model.sample(5, seed=1)                                    # five sentences from the prior
        model.log_likelihood(["a dog runs"])                       # float64 [1], log p(x) in nats

    Sentences are lists of strings. They are prepared like the training corpus: lowercase, punctuation, unknown words,
    longest sentence. The same seed gives the same result for every batch size, up to rounding.
    """

    def encode(
        self, sentences: Sequence[str], chains: int = 1, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """Return a code z for each sentence: the mean of `chains` independent draws of q(z|x).

        Args:
            sentences: Text, one sentence each.
            chains: Independent draws of q(z|x) to average.
            seed: Seed of the draws.
            batch_size: Sentences per batch.

        Returns:
            float32 [sentences, latent].

        Raises:
            UsageError: The model has no z, or `chains` or `batch_size` is below 1.
        """
        mean: Floats = codes_of_text(self, sentences, CodeSettings(chains, False, seed), batch_size).mean(1)
        return mean

    def posterior_mean(self, sentences: Sequence[str], batch_size: int = 64) -> Floats:
        """Return the mean of q(z|x) of each sentence: exact for an encoder; for `sri` the end of a noiseless chain.

        Args:
            sentences: Text, one sentence each.
            batch_size: Sentences per batch.

        Returns:
            float32 [sentences, latent].

        Raises:
            UsageError: The model has no z, or `batch_size` is below 1.
        """
        return codes_of_text(self, sentences, CodeSettings(), batch_size)[:, 0]

    def interpolate(
        self,
        points: int = 7,
        seed: int = 0,
        config: DecodingConfig | None = None,
        between: tuple[str, str] | None = None,
        spherical: bool = False,
        chains: int | None = None,
    ) -> list[str]:
        """Decode evenly spaced codes between two codes, both ends included.

        Args:
            points: Number of sentences to return.
            seed: Seed of the two prior draws, or of the chains, and of sampled words.
            config: How words are chosen; greedily by default.
            between: Two sentences whose codes are the ends; by default two draws from the prior.
            spherical: Follow the arc instead of the straight line.
            chains: Draws averaged for the code of a sentence; None: use its `posterior_mean`.

        Returns:
            `points` sentences.

        Raises:
            UsageError: The model has no z, `points` is below 2, or `between` is not two sentences.
        """
        way = Way(points, spherical)
        return interpolate_once(self, way, seed, config or DecodingConfig(), between, chains)

    def log_likelihood(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        likelihood: LikelihoodConfig | None = None,
        batch_size: int = 64,
    ) -> NDArray[np.float64]:
        """Return log p(x) of each sentence, </s> included: exact without z, else by the estimator `adaptive`.

        Args:
            sentences: Text, one sentence each.
            seed: Seed of the draws.
            likelihood: Draws and rounds of the estimator.
            batch_size: Sentences per batch.

        Returns:
            Nats, float64 [sentences].

        Raises:
            UsageError: `batch_size` is below 1.
        """
        split = self.split(sentences)
        if not len(split):
            return np.empty(0)
        settings = EvaluationSettings(
            ("nll",), likelihood=likelihood or LikelihoodConfig(), seed=seed, batch_size=batch_size
        )
        return measure(self.method, split, np.arange(len(split)), settings).figures.log_likelihood


load = Model.load
