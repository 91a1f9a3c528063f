"""The trained model in a checkpoint, as every command uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.data.normalise import normal_form
from sritool.data.split import Split, encode_split, without_ends
from sritool.errors import CheckpointError, ShapeError, UsageError
from sritool.methods.registry import build_method
from sritool.model.decoding import DecodingConfig, decode_parts
from sritool.model.device import multiplies_in_bfloat16, resolve_device
from sritool.model.random import Stream
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.folder import find_checkpoint
from sritool.runs.weights import load_weights, method_without_memory

Floats = NDArray[np.float32]

Report = Callable[[str, int, int], None]
"""Progress callback: (label, sentences done, total sentences)."""


class Decoded(NamedTuple):
    """A sentence that the generator decoded."""

    text: str
    ended: bool  # with </s>; False if it was cut at the maximum length


class TrainedModel:
    """A generator with its tokenizer, its settings and its method of inferring z.

    Attributes:
        checkpoint: The checkpoint, with `config`, `metrics` and `corpus`.
        path: The file it was loaded from.
        tokenizer: Maps words or pieces to ids and back.
        method: The training method, which holds the generator and infers z.
        generator: p(x|z).
        device: The device that it computes on.
    """

    def __init__(self, checkpoint: Checkpoint, path: Path, device: torch.device) -> None:
        """Build the model of a checkpoint; `path` is its file, for messages.

        Raises:
            CheckpointError: The weights do not fit the settings.
        """
        self.checkpoint, self.path, self.device = checkpoint, path, device
        self.tokenizer = checkpoint.tokenizer
        method_without_memory(checkpoint, path)  # otherwise a damaged file could demand any amount of memory
        self.method = build_method(checkpoint.config, len(checkpoint.tokenizer))
        load_weights(self.method.modules, checkpoint.weights, path)
        self.method.modules.to(device)
        if checkpoint.config.training.precision == "bfloat16" and multiplies_in_bfloat16(device):
            self.method.precision = "bfloat16"
        self.generator = self.method.generator

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Self:
        """Load a model as every command does.

        Args:
            path: A checkpoint file, a run folder (best.pt before last.pt), or a name that `find_checkpoint` resolves.
            device: cpu, cuda:0 or auto.

        Raises:
            CheckpointError: The checkpoint is missing or damaged.
            UsageError: There is no such device.
        """
        if not isinstance(device, str):
            raise UsageError(f"device is {device!r}; give 'cpu', 'cuda:0' or 'auto'")
        file = find_checkpoint(Path(path), Path("runs"))
        checkpoint = load_checkpoint(file)
        if checkpoint.progress.pretraining:
            raise CheckpointError(
                f"{file} is still the autoencoder that {checkpoint.config.method} begins with; "
                "train on with --resume, or take its encoder with train --from"
            )
        return cls(checkpoint, file, resolve_device(device))

    def __repr__(self) -> str:
        return f"<sritool {self.method.name} model of {self.checkpoint.corpus.name}, {self.path}>"

    @property
    def arithmetic(self) -> tuple[str, str]:
        """Kind of device and number types; the last digits of every figure depend on them."""
        own, rough = str(self.generator.output_bias.dtype), self.method.precision
        return self.device.type, own if rough == "float32" else f"{own}, pilots in {rough}"

    @property
    def latent(self) -> int:
        """Dimensions of z; 0 for a language model."""
        return self.method.latent

    def split(self, sentences: Sequence[str]) -> Split:
        """Encode sentences, cleaned and cut like the model's corpus; their order and number stay the same.

        Raises:
            UsageError: A single string is given instead of a list, or a sentence is not a string.
        """
        if isinstance(sentences, str):
            raise UsageError("a list of sentences is needed, not a string; write [sentence]")
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise UsageError(f"sentences are strings; {sentence!r} is not")
        corpus = self.checkpoint.corpus
        lowercase, punctuation = corpus.lowercase, corpus.split_punctuation
        lines = [normal_form(sentence, lowercase, punctuation) for sentence in sentences]
        return encode_split(self.tokenizer, lines, corpus.max_length)

    def split_of(self, sentences: Sequence[Decoded]) -> Split:
        """Encode decoded sentences as `split` does; those that were cut get no ``</s>``."""
        encoded = self.split([sentence.text for sentence in sentences])
        return without_ends(encoded, np.array([not sentence.ended for sentence in sentences]))

    def decode(
        self,
        codes: Floats | Sequence[Sequence[float]],
        config: DecodingConfig | None = None,
        seed: int = 0,
        first: int = 0,
        report: Report | None = None,
    ) -> list[str]:
        """Return a sentence for each code; arguments and errors as in `decode_whole`."""
        return [sentence.text for sentence in self.decode_whole(codes, config, seed, first, report)]

    def decode_whole(
        self,
        codes: Floats | Sequence[Sequence[float]],
        config: DecodingConfig | None = None,
        seed: int = 0,
        first: int = 0,
        report: Report | None = None,
    ) -> list[Decoded]:
        """Return a sentence for each code, and whether it ended; arguments and errors as in `decode_parts`."""
        return [*chain.from_iterable(self.decode_parts(codes, config, seed, first, report))]

    def decode_parts(
        self,
        codes: Floats | Sequence[Sequence[float]],
        config: DecodingConfig | None = None,
        seed: int = 0,
        first: int = 0,
        report: Report | None = None,
    ) -> Iterator[list[Decoded]]:
        """Yield a sentence for each code, and whether it ended or was cut, many at a time.

        Args:
            codes: Values of z. Shape [n, latent].
            config: How words are chosen; None: greedily.
            seed: Seed for drawn words.
            first: Index of the first code, when a longer list is decoded in parts.
            report: Progress callback; called with ("decoding", done, total).

        Raises:
            ShapeError: The codes do not have shape [n, latent].
            NumericalError: A code, or a score of the next word, is not finite.
        """
        z = torch.as_tensor(np.asarray(codes), dtype=self.generator.output_bias.dtype, device=self.device)
        if z.shape[:1] == (0,):
            return
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ShapeError(f"codes have shape {list(z.shape)}; give [n, {self.latent}]")
        report_done = (lambda done: report("decoding", done, len(z))) if report else (lambda _: None)
        config = config or DecodingConfig()
        for ids in decode_parts(self.generator, z, config, Stream(seed, "decode"), first, report_done):
            yield [Decoded(self.tokenizer.decode(row), len(row) < config.max_length) for row in ids]

    def texts(self, split: Split, examples: Iterable[int]) -> list[str]:
        """Return the sentences of a split with these indices as text; unknown words look as in the tokenizer."""
        return [self.tokenizer.decode(split.targets(int(index)).tolist()) for index in examples]

    def prior(self, n: int, seed: int = 0) -> Floats:
        """Return codes from the prior N(0, I): [n, latent], float32; a larger n begins with the same codes.

        Raises:
            UsageError: n is below 0.
        """
        if n < 0:
            raise UsageError(f"n is {n}; give 0 or more")
        draws: Floats = Stream(seed, "prior").normal(torch.arange(n), self.latent).numpy()
        return draws

    def sample(self, n: int = 1, seed: int = 0, config: DecodingConfig | None = None) -> list[str]:
        """Return n sentences decoded from codes of the prior; a larger n begins with the same sentences.

        The seed is for the codes and for drawn words. Without `config`, words are chosen as in `default_decoding`.
        """
        return self.decode(self.prior(n, seed), config or self.default_decoding(), seed)

    def default_decoding(self) -> DecodingConfig:
        """Return the default decoding: greedy; drawn if there is no z, as greedy sentences would be equal."""
        return DecodingConfig(greedy=self.latent > 0)

    def require_latent(self, what: str) -> None:
        """Check that the model has a z, which `what` needs.

        Raises:
            UsageError: The model is a language model.
        """
        if not self.latent:
            raise UsageError(
                f"cannot {what} with {self.path}: method {self.method.name} has no z; give a run of another method"
            )


load_model = TrainedModel.load
