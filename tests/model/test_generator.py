"""The generator's plain form against torch's LSTM cell, its predictions and its initial parameters."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch
from sritool.data.tokenizer import BOS, FIRST_PREDICTED
from sritool.model.generator import Generator


def test_likelihood_agrees_with_torchs_lstm_cell(
    make_generator: Callable[..., Generator], make_batch: Callable[..., Batch]
) -> None:
    """The model built again from torch's own LSTM cell, word by word."""
    generator, batch = make_generator(), make_batch((5, 3))
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    hidden_size = generator.config.hidden
    cell = torch.nn.LSTMCell(generator.config.embedding + generator.config.latent, hidden_size).double()
    with torch.no_grad():
        order = [1, 2, 3, 0]  # torch's i, f, g, o among our o, i, f, g
        both = torch.cat([generator.words_to_gates, generator.latent_to_gates], dim=1)
        cell.weight_ih.copy_(torch.cat([both.chunk(4)[k] for k in order]))
        cell.weight_hh.copy_(torch.cat([generator.recurrent.chunk(4)[k] for k in order]))
        cell.bias_ih.copy_(torch.cat([generator.gate_bias.chunk(4)[k] for k in order]))
        cell.bias_hh.zero_()
        found = generator.log_likelihood(batch.inputs, batch.targets, z)
        for row in range(2):
            h = z[row] @ generator.latent_to_initial.t() + generator.initial_bias
            state, total, word = (h[None], torch.zeros(1, hidden_size).double()), 0.0, BOS
            for target in batch.targets[: int(batch.lengths[row]), row].tolist():
                state = cell(torch.cat([generator.embedding[word], z[row]])[None], state)
                scores = state[0][0] @ generator.output.t() + generator.output_bias
                total += float(scores.log_softmax(0)[target - FIRST_PREDICTED])
                word = target
            assert float(found[row]) == pytest.approx(total, rel=1e-12)


def test_padding_and_start_symbol_are_never_predicted(make_generator: Callable[..., Generator]) -> None:
    generator = make_generator(vocabulary=9)
    assert generator.output.shape[0] == generator.output_bias.shape[0] == 9 - 2
    z = torch.zeros(7, 3, dtype=torch.float64)
    inputs = torch.full((1, 7), BOS)
    one_word = generator.log_likelihood(inputs, torch.arange(2, 9)[None], z)
    assert float(one_word.detach().logsumexp(0)) == pytest.approx(0.0, abs=1e-12)


def test_initial_parameters_depend_on_the_seed_alone() -> None:
    config = GeneratorConfig(4, 6, 2)
    generators = [Generator(config, 50) for _ in range(3)]
    for generator, seed in zip(generators, (3, 3, 4), strict=True):
        torch.rand(5)  # torch's global generator must not matter
        generator.initialise(0.1, seed)
    for (name, first), second, third in zip(
        generators[0].named_parameters(), generators[1].parameters(), generators[2].parameters(), strict=True
    ):
        assert torch.equal(first, second), name
        assert not torch.equal(first, third), name
        assert float(first.detach().abs().max()) <= 0.1
    values = torch.cat([p.detach().flatten() for p in generators[0].parameters()])
    assert abs(float(values.mean())) < 5 * 0.1 / math.sqrt(3 * len(values))
    assert float(values.var()) == pytest.approx(0.01 / 3, rel=0.15)


@pytest.mark.parametrize(("embedding", "added"), [(7, 0), (5, 5 * 7)], ids=["one width", "two widths"])
def test_tied_embeddings_replace_the_output_layer(
    make_generator: Callable[..., Generator], embedding: int, added: int
) -> None:
    tied, untied = (
        make_generator(embedding=embedding, hidden=7, tied_embeddings=tie) for tie in (True, False)
    )
    counts = [sum(p.numel() for p in generator.parameters()) for generator in (tied, untied)]
    assert counts[1] - counts[0] == 9 * 7 - added
    assert tied.products == 4 * 7 * 7 + 9 * embedding + added
    assert untied.products == 4 * 7 * 7 + 9 * 7
