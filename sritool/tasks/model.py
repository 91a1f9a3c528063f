"""A trained model as an object: what `sritool.load` returns and every command on a checkpoint works with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.core.checkpoint import Checkpoint, load_checkpoint, load_weights
from sritool.core.config import LikelihoodConfig
from sritool.core.decoding import DecodingConfig, decode
from sritool.core.device import resolve_device
from sritool.core.random import Stream
from sritool.corpus.batches import Batch, collate, evaluation_batches
from sritool.corpus.prepare import encode_split, split_punctuation
from sritool.corpus.store import Split
from sritool.errors import ShapeError, UsageError
from sritool.methods.registry import build_method
from sritool.tasks.measure import Settings, measure

Floats = NDArray[np.float32]


class Model:
    """A generator with its tokenizer and its way to infer z.

    Every method takes a seed, and the same seed gives the same answer whatever the batch size.
    """

    def __init__(self, checkpoint: Checkpoint, path: Path, device: torch.device) -> None:
        self.checkpoint, self.path, self.device = checkpoint, path, device
        self.tokenizer = checkpoint.tokenizer
        self.method = build_method(checkpoint.config, len(checkpoint.tokenizer))
        load_weights(self.method.modules, checkpoint.weights, path)
        self.method.modules.to(device)
        self.generator = self.method.generator

    @property
    def latent(self) -> int:
        """Dimensions of z; 0 for a language model."""
        return self.method.latent

    def split(self, sentences: Sequence[str]) -> Split:
        """Sentences as the model's corpus was prepared: lowercase, punctuation and cut as there, order kept."""
        corpus = self.checkpoint.corpus
        lines = [text.lower() for text in sentences] if corpus["lowercase"] else list(sentences)
        if corpus["split_punctuation"]:
            lines = [split_punctuation(text) for text in lines]
        return encode_split(self.tokenizer, lines, int(corpus["max_length"]))

    def encode(
        self, sentences: Sequence[str], chains: int = 1, seed: int = 0, batch_size: int = 64
    ) -> Floats:
        """Codes of sentences, each the mean of `chains` draws of q(z|x): float32 [sentences, latent].

        Raises: UsageError if the model has no z.
        """
        self.require_latent("encode")
        split = self.split(sentences)
        codes = np.empty((len(split), self.latent), dtype=np.float32)
        for batch, part in self._batches(split, batch_size):
            draws = self.method.posterior(self.method.conditional(batch), seed, chains)
            codes[part] = draws.mean(0).cpu().numpy()
        return codes

    def decode(
        self, codes: Floats | Sequence[Sequence[float]], config: DecodingConfig | None = None, seed: int = 0
    ) -> list[str]:
        """A sentence for each code [n, latent]; greedy unless a DecodingConfig says otherwise.

        Raises: ShapeError if the codes have another width.
        """
        z = torch.as_tensor(np.asarray(codes, dtype=np.float32), device=self.device)
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ShapeError(f"codes have shape {tuple(z.shape)}; give [n, {self.latent}]")
        ids = decode(self.generator, z, config or DecodingConfig(), Stream(seed, "decode"))
        return [self.tokenizer.decode(row) for row in ids]

    def prior(self, n: int, seed: int = 0) -> Floats:
        """n codes from the prior N(0, I): float32 [n, latent]; the first of more are the same."""
        draws: Floats = Stream(seed, "prior").normal(torch.arange(n), self.latent).numpy()
        return draws

    def sample(self, n: int = 1, seed: int = 0, config: DecodingConfig | None = None) -> list[str]:
        """n sentences with codes from the prior. A language model samples its words, as greedy has one answer."""
        if config is None:
            config = DecodingConfig(greedy=self.latent > 0)
        return self.decode(self.prior(n, seed), config, seed)

    def interpolate(self, points: int = 7, seed: int = 0) -> list[str]:
        """Greedy sentences along the line between two prior draws, both ends included."""
        self.require_latent("interpolate")
        ends = self.prior(2, seed)
        shares = np.linspace(0.0, 1.0, points, dtype=np.float32)[:, None]
        return self.decode((1 - shares) * ends[0] + shares * ends[1])

    def log_likelihood(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        likelihood: LikelihoodConfig | None = None,
        batch_size: int = 64,
    ) -> NDArray[np.float64]:
        """log p(x) of each sentence in nats by the `adaptive` estimator (exact without z): [sentences]."""
        split = self.split(sentences)
        settings = Settings(("nll",), likelihood or LikelihoodConfig(), seed, batch_size=batch_size)
        return measure(self.method, split, np.arange(len(split)), settings).rows["log_likelihood"]

    def require_latent(self, what: str) -> None:
        """Raises: UsageError if there is no z to do `what` with."""
        if not self.latent:
            raise UsageError(
                f"cannot {what} with {self.path}: method {self.method.name} has no z; give an sri run"
            )

    def _batches(self, split: Split, batch_size: int) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
        for part in evaluation_batches(split.lengths, batch_size):
            yield collate(split, part).to(self.device), part


def load_model(path: Path | str, device: str = "cpu", gpu: str | None = None) -> Model:
    """Load a checkpoint file or a run folder (best.pt before last.pt).

    Args:    path: as `sritool` takes it; device: cpu, cuda:0, mps or auto.
    Raises:  CheckpointError if it is missing or damaged; UsageError if there is no such device.
    """
    from sritool.tasks.runs import find_checkpoint

    file = find_checkpoint(Path(path), Path("runs"))
    return Model(load_checkpoint(file), file, resolve_device(device, gpu))
