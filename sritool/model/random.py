"""Counter-based random numbers: every draw is a pure function of its address.

The address is (seed, purpose, epoch, example, chain). So batch size, order, padding and the number of processes do
not change the noise, and a resumed run needs no generator state.

Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
_ROUNDS = 10


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Map 128-bit counters (four 32-bit words) and a 64-bit key (two) to four 32-bit words each, as int64."""
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The 64-bit products wrap into the sign bit; shift-and-mask still reads their two halves correctly.
        # Their upper halves stay in c1 and c3, which are not multiplied, until the end.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = (second >> 32).bitwise_xor_(c1).bitwise_xor_(k0).bitwise_and_(_WORD)
        c2 = (first >> 32).bitwise_xor_(c3).bitwise_xor_(k1).bitwise_and_(_WORD)
        c1, c3 = second, first
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    c1, c3 = c1 & _WORD, c3 & _WORD
    return c0, c1, c2, c3


@torch.no_grad()
def draw_uniform(
    module: torch.nn.Module, scale: float, seed: int, purpose: str = "", embedding_scale: float = 0.0
) -> None:
    """Overwrite every parameter with draws from U(−scale, scale), the same for the same seed and purpose.

    `embedding_scale` is the scale of the parameter `embedding`; 0: `scale`.
    """
    # The purpose changes the lower half of the seed: the CPU's generator does not read the upper one.
    generator = torch.Generator().manual_seed(seed ^ zlib.crc32(purpose.encode()))
    for name, parameter in module.named_parameters():
        draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float32)
        wide = name == "embedding" and embedding_scale
        parameter.copy_((2.0 * draw - 1.0) * (embedding_scale if wide else scale))


class Stream(NamedTuple):
    """Random numbers for one purpose within one epoch; `examples` and `chain` address the draws."""

    seed: int
    purpose: str
    epoch: int = 0

    def integers(self, examples: Tensor, chains: Sequence[int], count: int) -> Tensor:
        """32-bit integers: [len(chains), len(examples), count] int64; a larger count begins with the same ones."""
        purpose = zlib.crc32(self.purpose.encode())
        key = (self.seed & _WORD, (purpose ^ (self.seed >> 32)) & _WORD)
        device = examples.device
        blocks = torch.arange(-(-count // 4), device=device)
        counter = (
            blocks,
            (examples & _WORD)[:, None],
            torch.full((1, 1), self.epoch & _WORD, device=device),
            torch.tensor(list(chains), device=device)[:, None, None] & _WORD,
        )
        return torch.stack(philox(counter, key), dim=-1).flatten(2)[..., :count]

    def uniform(self, examples: Tensor, count: int, chain: int = 0) -> Tensor:
        """Uniforms in (0, 1), float64 [len(examples), count]."""
        return (self.integers(examples, (chain,), count)[0].double() + 0.5) * 2.0**-32

    def normal(
        self, examples: Tensor, count: int, chain: int = 0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Standard normals by Box-Muller in float64, then cast: [len(examples), count]."""
        pairs = self.uniform(examples, 2 * -(-count // 2), chain).unflatten(1, (-1, 2))
        radius = torch.sqrt(-2.0 * torch.log(pairs[..., 0]))
        angle = 2.0 * math.pi * pairs[..., 1]
        both = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
        return both.flatten(1)[:, :count].to(dtype)

    def codes(
        self, examples: Tensor, count: int, latent: int, dtype: torch.dtype = torch.float32, chain: int = 0
    ) -> Tensor:
        """`normal` as vectors: [count, len(examples), latent]."""
        flat = self.normal(examples, count * latent, chain, dtype)
        return flat.view(len(examples), count, latent).transpose(0, 1)

    def keep(self, examples: Tensor, count: int, rate: float, chains: Sequence[int]) -> Tensor:
        """Dropout factors of `count` units, packed for `unpacked`: [len(chains), len(examples), …] int32.

        A rate of 1/2 takes one random bit per unit; any other is rounded to a multiple of 1/256, at most 255/256.
        """
        bits_per_unit = 1 if rate == 0.5 else 8
        return self.integers(examples, chains, -(-count * bits_per_unit // 32)).to(torch.int32)


def unpacked(kept: Tensor, count: int, rate: float) -> Tensor:
    """Unpack one chain of `Stream.keep` [examples, …] to factors 0 or 1/(1 − rate): float32 [examples, count]."""
    octets = kept.view(torch.uint8)
    if rate == 0.5:
        spread = _halves(octets.device).index_select(0, octets.flatten().int())
        return spread.view(octets.shape[0], octets.shape[1] * 8)[:, :count]
    dropped = min(round(rate * 256), 255)  # 256 would keep nothing
    return (octets[:, :count] >= dropped).float().mul_(256 / (256 - dropped))


_HALVES: dict[torch.device, Tensor] = {}


def _halves(device: torch.device) -> Tensor:
    """Table from an octet to its eight dropout factors 0 or 2: [256, 8]."""
    if device not in _HALVES:
        bits = torch.arange(256)[:, None] >> torch.arange(8)[None, :]
        _HALVES[device] = ((bits & 1) * 2.0).to(device)
    return _HALVES[device]
