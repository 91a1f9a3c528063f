"""examples/short_run.py, in plain PyTorch, is the same algorithm as sritool's."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from sritool.data.batches import Batch
from sritool.methods.base import Clock
from sritool.methods.sri import ShortRunInference
from sritool.model.generator import Generator


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The module examples/short_run.py."""
    path = Path(__file__).parents[2] / "examples" / "short_run.py"
    spec = importlib.util.spec_from_file_location("short_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example_generator(example: ModuleType, ours: Generator) -> torch.nn.Module:
    """The example's generator with our parameters; its gates are ordered i, f, g, o, ours o, i, f, g."""
    sizes = ours.config

    def gates(parameter: Tensor) -> Tensor:
        out, into, forget, candidate = parameter.chunk(4)
        return torch.cat((into, forget, candidate, out))

    generator = example.Generator(ours.vocabulary_size, sizes.embedding, sizes.hidden, sizes.latent).double()
    generator.load_state_dict(
        {
            "embedding.weight": ours.embedding,
            "initial.weight": ours.latent_to_initial,
            "initial.bias": ours.initial_bias,
            "lstm.weight_ih_l0": gates(torch.cat((ours.words_to_gates, ours.latent_to_gates), 1)),
            "lstm.weight_hh_l0": gates(ours.recurrent),
            "lstm.bias_ih_l0": gates(ours.gate_bias),
            "lstm.bias_hh_l0": torch.zeros_like(ours.gate_bias),
            "output.weight": ours.output,
            "output.bias": ours.output_bias,
        }
    )
    return generator


def test_chain_and_gradients_agree_with_sritool(
    example: ModuleType,
    make_method: Callable[..., ShortRunInference],
    batch_of: Callable[..., Batch],
    clock: Clock,
    gradients: Callable[..., dict[str, Tensor]],
) -> None:
    sampler = {"steps": len(example.STEP_SIZES), "step_sizes": list(example.STEP_SIZES)}
    method = make_method("sri", **sampler, temperature=example.TEMPERATURE)
    batch = batch_of([0, 2, 3, 5])
    expected = gradients(method, batch, clock)
    generator = example_generator(example, method.generator)
    begin = torch.full((1, len(batch.examples)), example.BOS)
    tokens = torch.cat((begin, batch.targets))
    start, noise = method._draw(batch, clock.stream("chain"), 1)

    end = example.short_run(generator, tokens, start[0], noise[:, 0])
    example.loss_of(generator, tokens, start[0], noise[:, 0]).backward()

    assert method._last is not None
    torch.testing.assert_close(end, method._last[0].chain.end)
    unchanged = {  # parameters whose rows need no reordering
        "embedding": "embedding.weight",
        "latent_to_initial": "initial.weight",
        "initial_bias": "initial.bias",
        "output": "output.weight",
        "output_bias": "output.bias",
    }
    for ours, theirs in unchanged.items():
        torch.testing.assert_close(generator.get_parameter(theirs).grad, expected[ours], msg=ours)


def test_example_trains_and_prints_sentences(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main(sentences=64, epochs=1, batch_size=32)
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 8
    assert "epoch 1" in printed.err
