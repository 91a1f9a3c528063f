"""A trained model as an object: what `sritool.load` returns and every command on a checkpoint works with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.core.checkpoint import Checkpoint, load_checkpoint, load_weights
from sritool.core.config import LikelihoodConfig
from sritool.core.decoding import DecodingConfig, decode
from sritool.core.device import resolve_device
from sritool.core.random import Stream
from sritool.corpus.normalise import normalised, with_control
from sritool.corpus.store import Split
from sritool.corpus.targets import encode_split
from sritool.errors import CheckpointError, ShapeError, UsageError
from sritool.methods.registry import build_fitting
from sritool.tasks.measure import Report, Settings, measure

Floats = NDArray[np.float32]


class Model:
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

    def __init__(self, checkpoint: Checkpoint, path: Path, device: torch.device) -> None:
        self.checkpoint, self.path, self.device = checkpoint, path, device
        self.tokenizer = checkpoint.tokenizer
        self.method = build_fitting(checkpoint.config, len(checkpoint.tokenizer), checkpoint.weights, path)
        load_weights(self.method.modules, checkpoint.weights, path)
        self.method.modules.to(device)
        self.generator = self.method.generator

    def __repr__(self) -> str:
        return f"<sritool {self.method.name} model of {self.checkpoint.corpus['name']}, {self.path}>"

    @property
    def arithmetic(self) -> tuple[str, str]:
        """Kind of device and type of the numbers, on which the last digits of every figure depend."""
        return self.device.type, str(self.generator.output.dtype)

    @property
    def latent(self) -> int:
        """Dimensions of z; 0 for a language model."""
        return self.method.latent

    def split(self, sentences: Sequence[str]) -> Split:
        """Sentences as ids: control characters, lowercase, punctuation and cut as the model's corpus was prepared.

        Order and number are kept.

        Raises: UsageError for a single string in place of a list of them.
        """
        if isinstance(sentences, str):
            raise UsageError("a list of sentences is needed, not a string; write [sentence]")
        corpus = self.checkpoint.corpus
        clean = bool(with_control(sentences).any())
        lines = normalised(sentences, bool(corpus["lowercase"]), bool(corpus["split_punctuation"]), clean)
        return encode_split(self.tokenizer, lines, int(corpus["max_length"]))

    def encode(
        self, sentences: Sequence[str], chains: int = 1, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """Codes of sentences, each the mean of `chains` independent draws of q(z|x).

        Returns: float32 [sentences, latent].
        Raises:  UsageError if the model has no z, or chains is below 1.
        """
        mean: Floats = self._codes(sentences, chains, False, seed, batch_size).mean(1)
        return mean

    def posterior_mean(
        self, sentences: Sequence[str], chains: int = 5, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """The mean of q(z|x) of each sentence: an encoder's own exactly, of short-run inference that of the chains.

        Returns: float32 [sentences, latent].
        Raises:  UsageError if the model has no z, or chains is below 1.
        """
        return self._codes(sentences, chains, True, seed, batch_size)[:, 0]

    def _codes(self, sentences: Sequence[str], chains: int, mean: bool, seed: int, batch_size: int) -> Floats:
        from sritool.tasks.latents import How, latents_of  # which draws codes of a Model

        self.require_latent("encode")
        split = self.split(sentences)
        how = How(chains, mean, seed)
        return latents_of(self, split, np.arange(len(split)), how, batch_size, keep=False)

    def decode(
        self,
        codes: Floats | Sequence[Sequence[float]],
        config: DecodingConfig | None = None,
        seed: int = 0,
        first: int = 0,
        report: Report | None = None,
    ) -> list[str]:
        """A sentence for each code, greedily unless `config` (sritool.core.decoding.DecodingConfig) says otherwise.

        Args:    codes [n, latent]; first: number of the first one, where a longer list is decoded in parts;
                 report: told ("decoding", done, total) as sentences end.
        Raises:  ShapeError if the codes have another width.
        """
        z = torch.as_tensor(np.asarray(codes, dtype=np.float32), device=self.device)
        if z.numel() == 0 and self.latent:
            return []
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ShapeError(f"codes have shape {list(z.shape)}; give [n, {self.latent}]")
        tell = (lambda done: report("decoding", done, len(z))) if report else (lambda _: None)
        stream = Stream(seed, "decode")
        ids = decode(self.generator, z, config or DecodingConfig(), stream, first, tell)
        return [self.tokenizer.decode(row) for row in ids]

    def prior(self, n: int, seed: int = 0) -> Floats:
        """n codes from the prior N(0, I): float32 [n, latent]; the first of more are the same."""
        draws: Floats = Stream(seed, "prior").normal(torch.arange(n), self.latent).numpy()
        return draws

    def sample(self, n: int = 1, seed: int = 0, config: DecodingConfig | None = None) -> list[str]:
        """n sentences with codes from the prior; the first of more are the same.

        Greedy by default; a language model draws its words, as greedy would give one sentence n times.
        """
        return self.decode(self.prior(n, seed), config or self.default_decoding(), seed)

    def default_decoding(self) -> DecodingConfig:
        """Greedy in z, or words drawn where there is no z to tell sentences apart."""
        return DecodingConfig(greedy=self.latent > 0)

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
                 spherical: along the arc, see sritool.core.interpolation.between.
        Raises:  UsageError if the model has no z, or points is below 2.
        """
        from sritool.tasks.interpolate import Way, interpolate, prior_pairs, sentence_pairs

        ends = sentence_pairs(self, [between], chains, seed) if between else prior_pairs(self, 1, seed)
        return interpolate(self, ends, Way(points, spherical), config or DecodingConfig(), seed)[0]

    def log_likelihood(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        likelihood: LikelihoodConfig | None = None,
        batch_size: int = 64,
    ) -> NDArray[np.float64]:
        """log p(x) of each sentence, </s> included, in nats: exact without z, else by importance sampling.

        Args:    likelihood: draws and rounds of the `adaptive` estimator (sritool.core.config.LikelihoodConfig).
        Returns: float64 [sentences].
        """
        split = self.split(sentences)
        if not len(split):
            return np.empty(0)
        settings = Settings(("nll",), likelihood or LikelihoodConfig(), seed, batch_size=batch_size)
        return measure(self.method, split, np.arange(len(split)), settings).rows["log_likelihood"]

    def require_latent(self, what: str) -> None:
        """Raises: UsageError if there is no z to do `what` with."""
        if not self.latent:
            raise UsageError(
                f"cannot {what} with {self.path}: method {self.method.name} has no z; give a run of another method"
            )


def load_model(path: Path | str, device: str = "cpu", gpu: str | None = None) -> Model:
    """Load a checkpoint file or a run folder (best.pt before last.pt).

    Args:    path: as `sritool` takes it; device: cpu, cuda:0, mps or auto; gpu: its number, before `device`.
    Raises:  CheckpointError if it is missing or damaged; UsageError if there is no such device.
    """
    from sritool.tasks.runs import find_checkpoint

    file = find_checkpoint(Path(path), Path("runs"))
    checkpoint = load_checkpoint(file)
    if checkpoint.progress.get("pretraining"):
        raise CheckpointError(
            f"{file} is still the autoencoder that {checkpoint.config.method} begins with; "
            "train on with --resume, or take its encoder with train --from"
        )
    return Model(checkpoint, file, resolve_device(device, gpu))
