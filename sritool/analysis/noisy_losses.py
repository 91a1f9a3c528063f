"""Losses of clean sentences under codes of noisy ones, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.data.batches import Batch, collate, evaluation_batches
from sritool.data.store import Split
from sritool.data.tokenizer import EOS
from sritool.evaluation.batches import over_batches
from sritool.evaluation.metrics import derangement
from sritool.evaluation.record import FinishedBatches
from sritool.runs.model import Report, TrainedModel

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Sentences(NamedTuple):
    """The clean sentences as a model has them."""

    split: Split
    places: Indices  # in the split
    keys: Indices  # of the noise of their chains
    data: str
    total: int


class NoisyLosses:
    """One model's."""

    def __init__(
        self,
        model: TrainedModel,
        sentences: Sentences,
        versions: Sequence[Sequence[str]],
        chains: int,
        seed: int,
    ) -> None:
        """Args: versions: noisy texts of all sentences, several times."""
        self.model, self.sentences, self.chains, self.seed = model, sentences, chains, seed
        self.lengths = sentences.split.lengths[sentences.places]
        cut = np.array([not _ends(sentences.split, int(place)) for place in sentences.places])
        self.versions = [without_ends(model.split(texts), cut) for texts in versions]

    def over(self, batch_size: int, finished: FinishedBatches, report: Report) -> dict[str, Array]:
        """−log p(x|z) of each clean sentence in nats, a mean over its chains.

        Returns: recon [sentences, 1 + versions], z of the clean sentence first; permuted [sentences], z of another
                 clean sentence, unless there is one sentence only.
        """
        parts = evaluation_batches(self.lengths, batch_size)

        def fill(stage: str, work: Callable[[Indices], Mapping[str, torch.Tensor]]) -> dict[str, Array]:
            rows: dict[str, Array] = {}
            for part, found in over_batches(stage, parts, work, report, finished):
                for name, values in found.items():
                    rows.setdefault(name, np.empty((len(self.lengths), *values.shape[1:])))[part] = values
            return rows

        rows = fill("noisy reconstruction", self._infer)
        codes = rows.pop("codes")
        if len(codes) > 1:
            others = codes[derangement(len(codes), self.seed)]
            rows |= fill("permuted codes", lambda part: self._permuted(part, others[part]))
        return rows

    def _infer(self, part: Indices) -> dict[str, torch.Tensor]:
        """Codes of the clean sentences, and losses with codes of every version, from the same noise."""
        method = self.model.method
        clean = method.conditional(self._clean(part))
        codes = method.posterior(clean, self.seed, self.chains)
        losses = [-clean.log_likelihood(codes).mean(0)]
        for version in self.versions:
            noisy = method.conditional(self._batch(version, part, part))
            z = method.posterior(noisy, self.seed, self.chains)
            losses.append(-clean.log_likelihood(z).mean(0))
        return {"recon": torch.stack(losses, 1), "codes": codes.transpose(0, 1)}

    def _permuted(self, part: Indices, codes: Array) -> dict[str, torch.Tensor]:
        like = self.model.generator.output
        z = torch.from_numpy(codes).to(like.device, like.dtype).transpose(0, 1)
        return {"permuted": -self.model.method.conditional(self._clean(part)).log_likelihood(z).mean(0)}

    def _clean(self, part: Indices) -> Batch:
        return self._batch(self.sentences.split, self.sentences.places[part], part)

    def _batch(self, split: Split, places: Indices, part: Indices) -> Batch:
        keys = torch.from_numpy(self.sentences.keys[part])
        return collate(split, places)._replace(examples=keys).to(self.model.device)


def _ends(split: Split, index: int) -> bool:
    """Whether a sentence has its </s>, and was not cut."""
    targets = split.targets(index)
    return len(targets) > 0 and targets[-1] == EOS


def without_ends(split: Split, cut: NDArray[np.bool_]) -> Split:
    """The sentences, those that are `cut` without their </s>."""
    last = split.offsets[1:] - 1
    remove = last[cut & (split.lengths > 1) & (split.ids[last] == EOS)]
    if not len(remove):
        return split
    removed = np.zeros(len(split.ids) + 1, dtype=np.int64)
    removed[remove + 1] = 1
    return Split(
        np.delete(split.ids, remove), split.offsets - np.cumsum(removed)[split.offsets], None, split.words
    )
