"""The encoder and its gradients against torch.nn.LSTM and autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.model.encoder import Encoder

EMBEDDING, HIDDEN, LATENT, VOCABULARY = 5, 7, 3, 11
LENGTHS = [4, 6, 1, 6]


@pytest.fixture(params=[False, True], ids=["", "code bias"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    made = Encoder(GeneratorConfig(EMBEDDING, HIDDEN, LATENT, code_bias=request.param), VOCABULARY)
    made.initialise(0.8, seed=3)
    return made.double()


def by_torch(encoder: Encoder, sentence: Tensor) -> Tensor:
    """Mean and log-variance of one sentence without padding, differentiable in the encoder's parameters."""
    # torch orders the gates input, forget, candidate, output.
    order = torch.cat([torch.arange(HIDDEN) + block * HIDDEN for block in (1, 2, 3, 0)])
    parameters = {
        "weight_ih_l0": encoder.words_to_gates[order],
        "weight_hh_l0": encoder.recurrent[order],
        "bias_ih_l0": encoder.gate_bias[order],
        "bias_hh_l0": torch.zeros(4 * HIDDEN, dtype=torch.float64),
    }
    lstm = torch.nn.LSTM(EMBEDDING, HIDDEN).double()
    _, (last, _) = torch.func.functional_call(lstm, parameters, (encoder.embedding[sentence],))
    code = last[0] @ encoder.to_code.t()
    return code if encoder.code_bias is None else code + encoder.code_bias


def test_code_agrees_with_torchs_lstm(encoder: Encoder, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(LENGTHS)
    q = encoder.run(batch).q
    for index, length in enumerate(LENGTHS):
        expected = by_torch(encoder, batch.targets[:length, index])
        torch.testing.assert_close(torch.cat((q.mean[index], q.log_variance[index])), expected)


def test_gradients_agree_with_autograd(encoder: Encoder, make_batch: Callable[..., Batch]) -> None:
    batch = make_batch(LENGTHS)
    random = torch.Generator().manual_seed(0)
    pull = torch.randn(len(LENGTHS), 2 * LATENT, generator=random, dtype=torch.float64)
    found = encoder.run(batch).gradients(*pull.chunk(2, dim=-1))
    codes = [by_torch(encoder, batch.targets[:length, i]) for i, length in enumerate(LENGTHS)]
    parameters = dict(encoder.named_parameters())
    total = (torch.stack(codes) * pull).sum()
    expected = torch.autograd.grad(total, list(parameters.values()))
    assert found.keys() == parameters.keys()
    for name, slope in zip(parameters, expected, strict=True):
        torch.testing.assert_close(found[name], slope, rtol=1e-9, atol=1e-12)


def test_initial_parameters_differ_from_the_generators(
    encoder: Encoder, make_generator: Callable[..., torch.nn.Module]
) -> None:
    generator = make_generator(VOCABULARY, EMBEDDING, HIDDEN, LATENT, scale=0.8, seed=3)
    for name in ("embedding", "words_to_gates", "recurrent"):
        assert not torch.equal(encoder.get_parameter(name), generator.get_parameter(name))
