"""A random subset of the vocabulary in place of the whole, for the steps of a training chain.

A softmax over V words needs Σ_v exp(l_v). If each word v enters a subset S with probability π_v, independently of
the others (Poisson sampling), then the mean of

    Σ_{v ∈ S} exp(l_v − log π_v)

is that sum for any π, and the variance is small if π_v is large wherever exp(l_v) is. So the words of S, with their
logits raised by −log π_v, replace the vocabulary. The targets of the batch are always in S (π = 1), the other words
with π_v = min(1, c q_v), where q mixes the softmax's own mean mass with a uniform floor.

Source: the Horvitz-Thompson estimator (1952) of the normaliser; sampled softmax as in Jean et al. 2015 corrects its
logits in the same way, with a fixed proposal and without the guarantee that frequent words are always included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

_RATE = 0.05  # of the running mean: it looks back over about twenty updates
_FLOOR = 0.1  # share of q that is uniform
LEAST_GAIN = 3  # a subset of more than a third of the vocabulary costs more than it saves
_NEVER = 1e4  # in place of log π, for padding to a fixed size: its weight is 0
_SIZES = 256  # fixed sizes are multiples of this, so that few of them occur


class WordSubset(NamedTuple):
    """The words of the softmax in one evaluation."""

    words: Tensor  # rows of the output layer, each once, then row 0 of weight 0 as padding  [size]
    log_inclusion: Tensor  # log π of each, at most 0  [size]
    targets: Tensor  # index of each position's target among them  [time·batch]


def worthwhile(count: int, vocabulary: int) -> bool:
    """Whether to use a subset of about `count` words: not for 0, nor with a small vocabulary."""
    return 0 < count * LEAST_GAIN <= vocabulary


class WordMass(nn.Module):
    """The running mean of a softmax's mass on each word; a buffer, so that a resumed run continues it."""

    mass: Tensor  # sums to 1  [V]

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.register_buffer("mass", torch.full((vocabulary,), 1.0 / vocabulary))

    @torch.no_grad()
    def update(self, mass: Tensor) -> None:
        """Add a batch's softmax mass on each word, summed over positions: [V], of any scale."""
        mass = mass.clamp_min(0.0)  # rounding may leave a difference of sums below 0
        self.mass.lerp_(mass / mass.sum(), _RATE)

    def inclusion(self, count: int) -> Tensor:
        """π of every word, for `count` words in expectation: [V]."""
        q = (1.0 - _FLOOR) * self.mass + _FLOOR / len(self.mass)
        return inclusion(q, count)


def inclusion(q: Tensor, count: int) -> Tensor:
    """Return π_v = min(1, c q_v) with Σ π = count ≤ V, for positive q [V]."""
    ordered = q.double().sort(descending=True).values
    rest = ordered.flip(0).cumsum(0).flip(0)  # Σ of q from the k-th on, largest first
    certain = torch.arange(len(q), dtype=torch.float64, device=q.device)
    scale = (count - certain) / rest  # c if the first k words have π = 1
    # The right k is the first whose own word would not reach 1.
    enough = (scale * ordered < 1.0).to(torch.int8).argmax()
    return (q * scale[enough].to(q.dtype)).clamp_max(1.0)


def draw_subsets(
    inclusion: Tensor,
    targets: Tensor,
    uniforms: Tensor,
    fixed_size: bool = False,
    present: Tensor | None = None,
) -> list[WordSubset]:
    """Draw independent subsets that all contain the targets.

    Args:
        inclusion: π of each word. Shape [V].
        targets: Rows of the targets. Shape [time·batch].
        uniforms: Shape [subsets, V].
        fixed_size: Whether entries of weight 0 pad all subsets to one size, a multiple of 256: a CUDA graph needs it.
        present: Targets of the whole batch, if `targets` are those of a part: all parts have the same words.
    """
    if present is None:
        always, places = torch.unique(targets, return_inverse=True)
    else:
        always = torch.unique(present)
        places = torch.searchsorted(always, targets)
    drawn = uniforms <= inclusion  # `<=`: a uniform rounded to 1 must not leave out a word with π = 1
    drawn[:, always] = False
    log_inclusion = inclusion.log().index_fill(0, always, 0.0)
    which, words = drawn.nonzero(as_tuple=True)
    parts = words.split(torch.bincount(which, minlength=len(drawn)).tolist())
    size = len(always) + max(map(len, parts))
    size = -(-size // _SIZES) * _SIZES if fixed_size else 0
    subsets = []
    for part in parts:
        chosen = torch.cat((always, part))
        weights = log_inclusion[chosen]
        if fixed_size:
            padding = (0, size - len(chosen))
            weights = nn.functional.pad(weights, padding, value=_NEVER)
            chosen = nn.functional.pad(chosen, padding)
        subsets.append(WordSubset(chosen, weights, places))
    return subsets


def stacked(subsets: Sequence[WordSubset]) -> tuple[Tensor, ...]:
    """Subsets of one size as tensors: words and log π [subsets, size], targets [time·batch]."""
    words, log_inclusion, targets = zip(*subsets, strict=True)
    return torch.stack(words), torch.stack(log_inclusion), targets[0]


def unstacked(words: Tensor, log_inclusion: Tensor, targets: Tensor) -> list[WordSubset]:
    """Inverse of `stacked`."""
    return [WordSubset(*both, targets) for both in zip(words, log_inclusion, strict=True)]
