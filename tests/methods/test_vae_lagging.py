"""The lagging encoder: which part is updated when, and when its inner loop and aggressive phase end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sritool.data.batches import Batch
from sritool.methods.base import Clock
from sritool.methods.registry import build_method
from sritool.methods.vae_lagging import LaggingVae, batch_information
from sritool.model.gaussian import DiagonalGaussian
from sritool.model.random import Stream

BatchOf = Callable[..., Batch]
EXAMPLES = [0, 1, 2, 4]


def updated(method: LaggingVae) -> set[str]:
    """The modules that have gradients, either for all their parameters or for none."""
    found = set()
    for name, module in method.modules.items():
        has_gradient = {parameter.grad is not None for parameter in module.parameters()}
        assert len(has_gradient) == 1, name
        found |= {name} if True in has_gradient else set()
    return found


@pytest.fixture
def make(make_method: Callable[..., LaggingVae]) -> Callable[..., LaggingVae]:
    def made(**settings: int) -> LaggingVae:
        base = make_method("vae-lagging")
        lagging = replace(base.config.lagging, **{"updates": 99, **settings})
        method = build_method(replace(base.config, lagging=lagging), base.generator.vocabulary_size)
        method.modules.double()
        method.modules.load_state_dict(base.modules.state_dict())
        assert isinstance(method, LaggingVae)
        return method

    return made


def test_aggressive_phase_updates_encoder_then_generator(
    make: Callable[..., LaggingVae], batch_of: BatchOf, clock: Clock
) -> None:
    method, batch = make(updates=3), batch_of(EXAMPLES)
    for _ in range(2):  # two planned steps
        for inner in range(3):
            batch_number = method.beside(clock, 6, 7)
            assert batch_number in range(7)
            assert inner or batch_number == 6, "the planned batch must come first"
            columns = method.gradients(batch, clock)
            method.after_update()
            assert updated(method) == {"encoder"}
            assert columns["mean encoder updates"] == inner + 1
        assert method.beside(clock, 0, 7) is None
        method.gradients(batch, clock)
        method.after_update()
        assert updated(method) == {"generator"}


def test_both_are_updated_after_the_aggressive_phase(
    make: Callable[..., LaggingVae], batch_of: BatchOf, clock: Clock
) -> None:
    method, batch = make(), batch_of(EXAMPLES)
    method.lag.aggressive = False
    for _ in range(3):
        assert method.beside(clock, 0, 7) is None
        columns = method.gradients(batch, clock)
        method.after_update()
        assert updated(method) == {"encoder", "generator"}
        assert columns["mean encoder updates"] == 0


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        # (loss, predictions) of each update, checked every two; the mean is over predictions, not batches
        ([(30.0, 10), (10.0, 10), (10.0, 5), (5.0, 5), (3.0, 2), (1.0, 2)], None),  # means 2, 1.5, 1
        ([(30.0, 10), (10.0, 10), (10.0, 2), (10.0, 5), (1.0, 1), (1.0, 1)], 4),  # means 2, then 20 / 7
        ([(30.0, 10), (10.0, 10), (90.0, 20), (10.0, 40), (9.0, 1), (1.0, 1)], 6),  # 2, 100 / 60, 5
    ],
)
def test_inner_loop_ends_when_the_mean_loss_rises(
    make: Callable[..., LaggingVae], losses: list[tuple[float, int]], ends: int | None
) -> None:
    method, caught_up = make(judge_every=2), []
    for loss, words in losses:
        method._look(loss, words)
        caught_up.append(method.lag.caught_up)
    expected = [ends is not None and update + 1 >= ends for update in range(len(losses))]
    assert caught_up[:ends] == expected[:ends]


def test_each_inner_update_has_its_own_noise_and_batch(
    make: Callable[..., LaggingVae], batch_of: BatchOf, clock: Clock
) -> None:
    method, batch = make(), batch_of(EXAMPLES)
    chosen, recon = [], []
    for _ in range(6):
        chosen.append(method.beside(clock, 5, 1000))
        recon.append(method.gradients(batch, clock)["recon"])
        method.after_update()
    assert len(set(chosen)) == len(set(recon)) == 6
    again = make()
    assert again.beside(clock, 5, 1000) == chosen[0]
    assert again.gradients(batch, clock)["recon"] == recon[0]


def test_aggressive_until_the_mutual_information_falls(
    make: Callable[..., LaggingVae], batch_of: BatchOf, clock: Clock
) -> None:
    method = make()
    batches = [batch_of([0, 1, 2, 4]), batch_of([5, 7, 8, 11])]

    def judge(spread: float) -> dict[str, float]:
        with torch.no_grad():
            method.encoder.to_code[:3] *= spread  # the means
        return method.after_epoch(batches, clock.stream("information"))

    low, high, same, fallen, again = judge(1.0), judge(5.0), judge(1.0), judge(0.2), judge(25.0)
    assert high["batch MI"] > low["batch MI"]
    assert [found["aggressive"] for found in (low, high, same)] == [1.0] * 3
    assert fallen["aggressive"] == again["aggressive"] == 0.0, "the aggressive phase must not start again"
    assert method.updates_beside == 0


class FixedEncoder(torch.nn.Module):
    """Returns the given codes for any sentences, with almost no noise."""

    def __init__(self, codes: list[float]) -> None:
        super().__init__()
        self.codes = torch.tensor(codes, dtype=torch.float64)[:, None]

    def run(self, batch: Batch) -> SimpleNamespace:
        mean = self.codes[: len(batch.examples)]
        return SimpleNamespace(q=DiagonalGaussian(mean, torch.full_like(mean, -20.0)))


@pytest.mark.parametrize(("size", "aggressive"), [(2, 0.0), (1000, 1.0)])
def test_batch_mean_of_mutual_information_decides(
    make: Callable[..., LaggingVae], batch_of: BatchOf, clock: Clock, size: int, aggressive: float
) -> None:
    """First two codes in each pair and two overall, then one in each pair and four overall."""
    method, batch, found = make(information_batch=size), batch_of([0, 1, 2, 4, 5, 7, 8, 11]), []
    for codes in ([0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3]):
        method.encoder = FixedEncoder(codes)
        found.append(method.after_epoch([batch], clock.stream("information")))
    assert [judged["MI"] for judged in found] == pytest.approx([math.log(2), math.log(4)])
    if size == 2:
        assert [judged["batch MI"] for judged in found] == pytest.approx([math.log(2), 0.0], abs=1e-6)
    assert found[-1]["aggressive"] == aggressive


def test_batches_are_weighted_by_their_sentences() -> None:
    mean = torch.tensor([[0.0], [1.0], [2.0], [0.0], [1.0]], dtype=torch.float64)
    q = DiagonalGaussian(mean, torch.full_like(mean, -20.0))
    expected = (3 * math.log(3) + 2 * math.log(2)) / 5
    assert batch_information(q, torch.arange(5), Stream(0, "noise"), 3) == pytest.approx(expected)
