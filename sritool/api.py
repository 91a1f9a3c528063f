"""The programming interface: `sritool.load` and the model that it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sritool.analysis.interpolation import Way, interpolate_once
from sritool.config.settings import LikelihoodConfig
from sritool.evaluation.measure import Settings, measure
from sritool.evaluation.posterior_codes import How, codes_of
from sritool.model.decoding import DecodingConfig
from sritool.runs.model import Floats, TrainedModel, checkpoint_and_device


class Model(TrainedModel):
    """A trained generator with its tokenizer and its way to infer z.

        model = sritool.load("runs/tiny-sri")
        codes = model.encode(["a dog runs", "two girls sing"])     # float32 [2, latent]
        model.decode(codes)                                        # two sentences, greedily
        model.sample(5, seed=1)                                    # five sentences from the prior
        model.log_likelihood(["a dog runs"])                       # float64 [1], log p(x) in nats

    Sentences are lists of strings, prepared as the corpus was that the model was trained on (lowercase,
    punctuation, unknown words, longest sentence). Every method takes a seed; the same seed gives the same answer
    whatever the batch size, up to rounding.

    Attributes: latent, dimensions of z, 0 for a language model; tokenizer; checkpoint, with `config`, `metrics`
                and `corpus`; path, the file it came from; device.
    """

    def encode(
        self, sentences: Sequence[str], chains: int = 1, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """Codes of sentences, each the mean of `chains` independent draws of q(z|x).

        Returns: float32 [sentences, latent].
        Raises:  UsageError if the model has no z, or chains is below 1.
        """
        mean: Floats = codes_of(self, sentences, How(chains, False, seed), batch_size).mean(1)
        return mean

    def posterior_mean(
        self, sentences: Sequence[str], chains: int = 5, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """The mean of q(z|x) of each sentence: an encoder's own exactly, of short-run inference that of the chains.

        Returns: float32 [sentences, latent].
        Raises:  UsageError if the model has no z, or chains is below 1.
        """
        return codes_of(self, sentences, How(chains, True, seed), batch_size)[:, 0]

    def interpolate(
        self,
        points: int = 7,
        seed: int = 0,
        config: DecodingConfig | None = None,
        between: tuple[str, str] | None = None,
        spherical: bool = False,
        chains: int = 5,
    ) -> list[str]:
        """Sentences along the line between two codes, both ends included; greedy by default.

        Args:    between: two sentences, whose codes are the means of `chains` chains; two draws of the prior without;
                 spherical: along the arc, see sritool.analysis.latent_paths.between.
        Raises:  UsageError if the model has no z, or points is below 2.
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
        """log p(x) of each sentence, </s> included, in nats: exact without z, else by importance sampling.

        Args:    likelihood: draws and rounds of the `adaptive` estimator (sritool.config.settings.LikelihoodConfig).
        Returns: float64 [sentences].
        """
        split = self.split(sentences)
        if not len(split):
            return np.empty(0)
        settings = Settings(("nll",), likelihood or LikelihoodConfig(), seed, batch_size=batch_size)
        return measure(self.method, split, np.arange(len(split)), settings).rows["log_likelihood"]


def load(path: Path | str, device: str = "cpu", gpu: str | None = None) -> Model:
    """Load a checkpoint file or a run folder (best.pt before last.pt).

    Args:
        path: A file or a folder, as every command takes it.
        device: cpu, cuda:0, mps or auto.
        gpu: Its number, which goes before `device`.

    Raises:
        CheckpointError: It is missing or damaged.
        UsageError: There is no such device.
    """
    return Model(*checkpoint_and_device(path, device, gpu))
