"""Philox against its authors' known answers; draws depend only on their address."""

from __future__ import annotations

import math

import pytest
import torch

from sritool.model.random import Stream, philox, unpacked

# kat_vectors of the Random123 distribution: philox4x32, 10 rounds.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
EXAMPLES = torch.tensor([4, 0, 71, 3])


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN, ids=["zeros", "ones", "pi"])
def test_philox_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]
) -> None:
    words = philox(tuple(torch.tensor([word]) for word in counter), key)  # type: ignore[arg-type]
    assert tuple(int(word) for word in words) == answer


def test_philox_works_on_many_counters_at_once() -> None:
    counters = torch.tensor([KNOWN[0][0]] * 3 + [(1, 2, 3, 4)])
    words = torch.stack(philox(tuple(counters.t()), (0, 0)))  # type: ignore[arg-type]
    for column in range(3):
        assert tuple(words[:, column].tolist()) == KNOWN[0][2]
    assert tuple(words[:, 3].tolist()) != KNOWN[0][2]


@pytest.mark.parametrize("kind", ["integers", "uniform", "normal", "half", "tenth"])
def test_draw_depends_only_on_its_address(kind: str) -> None:
    stream = Stream(7, "test", 2)

    def draw(examples: torch.Tensor, count: int) -> torch.Tensor:
        if kind == "integers":
            return stream.integers(examples, (1,), count)[0]
        if kind in ("uniform", "normal"):
            return getattr(stream, kind)(examples, count, chain=1)
        rate = 0.5 if kind == "half" else 0.1
        return unpacked(stream.keep(examples, count, rate, (1,))[0], count, rate)

    whole = draw(EXAMPLES, 37)
    assert whole.shape == (4, 37)
    for row, example in enumerate(EXAMPLES):
        assert torch.equal(draw(example[None], 37)[0], whole[row]), "depends on the batch"
    assert torch.equal(draw(EXAMPLES.flip(0), 37), whole.flip(0)), "depends on the order"
    for count in (1, 2, 7, 32, 36):
        assert torch.equal(draw(EXAMPLES, count), whole[:, :count]), "depends on the number of draws"
    assert torch.unique(whole, dim=0).shape[0] == 4, "examples share their draws"


@pytest.mark.parametrize(
    ("stream", "chain"),
    [
        (Stream(8, "test", 2), 0),
        (Stream(7 + 2**32, "test", 2), 0),
        (Stream(7, "tests", 2), 0),
        (Stream(7, "test", 3), 0),
        (Stream(7, "test", 2), 1),
    ],
    ids=["seed", "high half of the seed", "purpose", "epoch", "chain"],
)
def test_every_part_of_the_address_matters(stream: Stream, chain: int) -> None:
    one = Stream(7, "test", 2).normal(EXAMPLES, 40)
    other = stream.normal(EXAMPLES, 40, chain)
    assert not torch.equal(one, other)
    assert abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 0.35


def test_moments_of_uniforms_and_normals() -> None:
    examples, count = torch.arange(2000), 100
    total = examples.numel() * count
    uniform = Stream(1, "u").uniform(examples, count).flatten()
    assert float(uniform.min()) > 0
    assert float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / total)
    assert abs(float(uniform.var()) - 1 / 12) < 5 * math.sqrt(1 / 180 / total)
    normal = Stream(1, "n").normal(examples, count, dtype=torch.float64)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        found = float(normal.pow(power).mean())
        assert abs(found - moment) < 5 * math.sqrt(variance / total), f"moment {power}"
    # The two normals of a Box-Muller pair, and neighbouring examples, are independent.
    assert abs(float((normal[:, 0::2] * normal[:, 1::2]).mean())) < 5 / math.sqrt(total / 2)
    assert abs(float((normal[1:] * normal[:-1]).mean())) < 5 / math.sqrt(total)


@pytest.mark.parametrize(("rate", "dropped"), [(0.5, 0.5), (0.1, 26 / 256), (0.9, 230 / 256)])
def test_dropout_factors_keep_the_mean(rate: float, dropped: float) -> None:
    factors = unpacked(Stream(3, "dropout").keep(torch.arange(500), 400, rate, (0,))[0], 400, rate)
    assert factors.shape == (500, 400)
    values = torch.unique(factors)
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / (1 - dropped)]))
    share = float((factors == 0).double().mean())
    assert abs(share - dropped) < 5 * math.sqrt(dropped * (1 - dropped) / factors.numel())


@pytest.mark.parametrize("rate", [0.001, 0.999])
def test_extreme_dropout_rates_stay_finite(rate: float) -> None:
    factors = unpacked(Stream(3, "dropout").keep(torch.arange(50), 400, rate, (0,))[0], 400, rate)
    assert bool(torch.isfinite(factors).all())
    assert float(factors.max()) > 0
