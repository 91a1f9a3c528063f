"""The page of plain PyTorch and sritool are the same algorithm."""

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
def page() -> ModuleType:
    """examples/short_run.py."""
    path = Path(__file__).parents[2] / "examples" / "short_run.py"
    spec = importlib.util.spec_from_file_location("short_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_on_the_page(page: ModuleType, ours: Generator) -> torch.nn.Module:
    """The page's generator with the same parameters: its gates are ordered i, f, g, o, and ours o, i, f, g."""
    sizes = ours.config

    def gates(parameter: Tensor) -> Tensor:
        out, into, forget, candidate = parameter.chunk(4)
        return torch.cat((into, forget, candidate, out))

    generator = page.Generator(ours.vocabulary_size, sizes.embedding, sizes.hidden, sizes.latent).double()
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


def test_chain_and_gradients_are_ours(
    page: ModuleType,
    make_method: Callable[..., ShortRunInference],
    batch_of: Callable[..., Batch],
    clock: Clock,
    gradients: Callable[..., dict[str, Tensor]],
) -> None:
    sampler = {"steps": len(page.STEP_SIZES), "step_sizes": list(page.STEP_SIZES)}
    method = make_method("sri", **sampler, temperature=page.TEMPERATURE)
    batch = batch_of([0, 2, 3, 5])
    expected = gradients(method, batch, clock)
    generator = as_on_the_page(page, method.generator)
    begin = torch.full((1, len(batch.examples)), page.BOS)
    tokens = torch.cat((begin, batch.targets))
    start, noise = method._draw(batch, clock.stream("chain"), 1)

    end = page.short_run(generator, tokens, start[0], noise[:, 0])
    page.loss_of(generator, tokens, start[0], noise[:, 0]).backward()

    assert method._last is not None
    torch.testing.assert_close(end, method._last[0].chain.end)
    found = gradients_on_the_page(generator)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def gradients_on_the_page(generator: torch.nn.Module) -> dict[str, Tensor]:
    """The page's gradients of the parameters that need no reordering, by our names."""
    names = {
        "embedding": "embedding.weight",
        "latent_to_initial": "initial.weight",
        "initial_bias": "initial.bias",
        "output": "output.weight",
        "output_bias": "output.bias",
    }
    found = {ours: generator.get_parameter(theirs).grad for ours, theirs in names.items()}
    assert all(gradient is not None for gradient in found.values())
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def test_it_trains_and_prints_sentences(page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    page.main(sentences=64, epochs=1, batch_size=32)
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 8
    assert "epoch 1" in printed.err
