"""Beam search: the likeliest sentence found for each code, with a bounded number of open hypotheses.

A hypothesis' score is its log p(x|z), not divided by its length: the search looks for the mode of p(x|z), the
distribution that the model's figures describe. Modes of language models are often short (Stahlberg and Byrne 2019,
"On NMT search errors and model errors"); a user who wants longer sentences draws them.

Source: Graves 2012, "Sequence transduction with recurrent neural networks"; when a hypothesis ends, the number of
open ones stays the same, as in Ott et al. 2019, "fairseq".
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sritool.data.tokenizer import EOS, FIRST_PREDICTED
from sritool.model.rollout import Rollout

_END = EOS - FIRST_PREDICTED  # its row of the output layer


class Search:
    """A search from codes z [n, latent] for sentences of at most `max_length` words.

    `beam` hypotheses per code are open. Of their continuations, those that end among the best `beam` are complete;
    the best `beam` of the others stay open. Scores only fall, so a code is done when no open hypothesis scores above
    its best complete one. With `beam` 1 this is greedy decoding; with as many as there are sentences, enumeration.
    """

    def __init__(self, rollout: Rollout, z: Tensor, beam: int, max_length: int) -> None:
        self.rollout, self.z, self.beam, self.max_length = rollout, z, beam, max_length
        self.words: list[Tensor] = []  # per position: ids of the open hypotheses' last words  [n, beam]
        self.parents: list[Tensor] = []  # per position: the hypotheses before that they extend  [n, beam]
        self.best = z.new_full((len(z),), -torch.inf, dtype=torch.float64)  # of the best complete ones
        self.length = torch.zeros(len(z), dtype=torch.int64, device=z.device)  # of those, in words
        self.last = torch.zeros_like(self.length)  # and their rows in the beam at their last words

    def run(self, done: Callable[[int], None] = lambda _: None) -> list[list[int]]:
        """Return the token ids of the likeliest sentence found for each code, without </s>.

        A sentence cut at `max_length` is scored without </s>. After every word, `done` gets the number of codes done.
        """
        codes = torch.arange(len(self.z), device=self.z.device)  # that are not done yet
        state = self.rollout.start(self.z)
        scores = self.best.new_full((len(codes), self.beam), -torch.inf)
        scores[:, 0] = 0.0  # one empty hypothesis
        state = state.take(codes.repeat_interleave(self.beam))
        for position in range(self.max_length):
            self.rollout.require_finite()
            scores, parents, rows = self._extend(state.features, scores, codes, position)
            going = self.best[codes] < scores[:, 0]
            words = rows + FIRST_PREDICTED
            self._remember(codes, words, parents)
            codes, scores = codes[going], scores[going]
            done(len(self.z) - len(codes))
            if position + 1 == self.max_length or not len(codes):
                break
            first = going.nonzero() * self.beam  # row of a code's first hypothesis
            state = state.take((first + parents[going]).flatten())
            state = self.rollout.advance(state, words[going].flatten())
        first = torch.zeros_like(scores[:, :1], dtype=torch.int64)
        self._complete(codes, scores[:, :1], first, self.max_length)
        return self._sentences()

    def _extend(
        self, features: Tensor, scores: Tensor, codes: Tensor, position: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (best first), parents and output-layer rows of the hypotheses that stay open, all [n, beam]."""
        values, rows = self._likeliest(features)  # [n · beam, k]
        k = values.shape[1]
        total = (scores[:, :, None] + values.unflatten(0, scores.shape)).flatten(1)
        ordered = total.sort(dim=1, descending=True, stable=True)
        found, order = (each[:, : 2 * self.beam] for each in ordered)
        parents, rows = order // k, rows.view(len(codes), -1).gather(1, order)
        ends = rows == _END
        complete = found[:, : self.beam].masked_fill(~ends[:, : self.beam], -torch.inf)
        self._complete(codes, complete, parents[:, : self.beam], position)
        # Those that do not end, in the same order; at most one continuation of each hypothesis ends.
        staying = ends.to(torch.int8).sort(dim=1, stable=True).indices[:, : self.beam]
        found = found.masked_fill(ends, -torch.inf)
        found, parents, rows = (each.gather(1, staying) for each in (found, parents, rows))
        return self._filled(found, -torch.inf), self._filled(parents, 0), self._filled(rows, 0)

    def _likeliest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """log p and output-layer rows of the likeliest next words, enough to fill the beam: [rows, k]."""
        k = min(2 * self.beam, self.rollout.vocabulary)
        values, rows = self.best.new_empty(len(features), k), self.length.new_empty(len(features), k)
        for part in self.rollout.chunks(len(features)):
            logits = self.rollout.logits(features[part])
            total = logits.logsumexp(1, keepdim=True)
            top = logits.topk(k, dim=1)
            values[part] = (top.values - total).double()
            rows[part] = top.indices.clamp_max(self.rollout.vocabulary - 1)  # topk may return padding
        return values, rows

    def _complete(self, codes: Tensor, scores: Tensor, rows: Tensor, length: int) -> None:
        """Update the best complete hypothesis of each code; scores and parents' rows in the beam are [n, m]."""
        if not len(codes):
            return
        score, which = scores.max(1)
        better = score > self.best[codes]
        chosen = codes[better]
        self.best[chosen], self.length[chosen] = score[better], length
        self.last[chosen] = rows.gather(1, which[:, None]).squeeze(1)[better]

    def _remember(self, codes: Tensor, words: Tensor, parents: Tensor) -> None:
        for kept, new in ((self.words, words), (self.parents, parents)):
            every = new.new_zeros(len(self.z), self.beam)
            every[codes] = new
            kept.append(every)

    def _filled(self, found: Tensor, value: float) -> Tensor:
        """Pad to `beam` columns where a small vocabulary gives fewer."""
        lacking = self.beam - found.shape[1]
        return torch.nn.functional.pad(found, (0, lacking), value=value) if lacking > 0 else found

    def _sentences(self) -> list[list[int]]:
        """Follow the parents back from each best hypothesis' last word."""
        rows, everyone = self.last, torch.arange(len(self.z), device=self.z.device)
        tokens = torch.zeros(len(self.z), len(self.words), dtype=torch.int64, device=self.z.device)
        for position in reversed(range(len(self.words))):
            inside = position < self.length
            tokens[:, position] = self.words[position][everyone, rows]
            rows = torch.where(inside, self.parents[position][everyone, rows], rows)
        lengths = self.length.tolist()
        return [row[:length] for row, length in zip(tokens.tolist(), lengths, strict=True)]
