"""CUDA against the CPU: noise, values, gradients, graphs and short runs. Run them with `pytest -m gpu`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from sritool.api import load
from sritool.config.presets import layered
from sritool.config.settings import GeneratorConfig, RunConfig
from sritool.config.values import build, merge
from sritool.data.batches import Batch, collate
from sritool.data.preprocess import preprocess_corpus
from sritool.data.split import encode_split
from sritool.data.store import Corpus, load_corpus
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.methods import sri
from sritool.methods.base import Clock, Method
from sritool.methods.registry import METHODS, build_method
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout
from sritool.model.generator import Generator
from sritool.model.random import Stream, unpacked
from sritool.model.theta_gradient import ThetaGradient
from sritool.process_group import Group
from sritool.processes import Processes
from sritool.runs.checkpoint import load_checkpoint
from sritool.training.configure import resolve_config
from sritool.training.loop import Limits, Trainer
from sritool.training.sharing import BatchGradients

pytestmark = pytest.mark.gpu

CONFIG = GeneratorConfig(embedding=16, hidden=32, latent=8)
WORDS = [f"w{i}" for i in range(60)]
REGULARISED = {"dropout_mask": "sentence", "input_dropout": 0.3, "word_dropout": 0.2}
REGULARISED |= {"weight_drop": 0.25, "tied_embeddings": True}
Pair = tuple[Generator, Generator, Batch, Batch]


def make_method(name: str, device: str = "cuda", sampler: str | None = None, **changes: Any) -> Method:
    """A small method with the preset for tiny."""
    sizes = {"embedding": 16, "hidden": 32, "latent": 0 if name == "lm" else 8}
    values = merge(layered("tiny", sampler, name), {"generator": sizes})
    method = build_method(build(RunConfig, merge(values, changes)), len(SPECIALS) + len(WORDS))
    method.initialise()
    method.modules.to(device)
    return method


def gradients_of(method: Method) -> list[torch.Tensor]:
    return [p.grad.clone().cpu() for p in method.modules.parameters() if p.grad is not None and p.numel()]


def assert_all_close(found: list[torch.Tensor], expected: list[torch.Tensor], bound: float) -> None:
    """Compare tensors with a tolerance relative to the largest element of each."""
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=bound, atol=bound * float(other.abs().max()))


@pytest.fixture
def pair() -> Pair:
    """One generator and one padded batch, on the CPU and on the GPU."""
    tokenizer = WordTokenizer([*SPECIALS, *WORDS])
    lines = [" ".join(WORDS[(3 * i + j) % 60] for j in range(2 + i % 7)) for i in range(12)]
    batch = collate(encode_split(tokenizer, lines, 100), range(12))
    on_cpu, on_gpu = Generator(CONFIG, len(tokenizer)), Generator(CONFIG, len(tokenizer))
    on_cpu.initialise(0.5, seed=1)
    on_gpu.load_state_dict(on_cpu.state_dict())
    device = torch.device("cuda")
    return on_cpu, on_gpu.to(device), batch, batch.to(device)


def test_noise_is_the_same_on_every_device(pair: Pair) -> None:
    _, _, batch, moved = pair
    stream = Stream(3, "chain")
    assert torch.equal(
        stream.integers(batch.examples, (2,), 50), stream.integers(moved.examples, (2,), 50).cpu()
    )
    torch.testing.assert_close(stream.normal(batch.examples, 50), stream.normal(moved.examples, 50).cpu())
    one, other = (stream.keep(each.examples, 99, 0.5, (0,))[0] for each in (batch, moved))
    assert torch.equal(unpacked(one, 99, 0.5), unpacked(other, 99, 0.5).cpu())


def test_values_gradients_and_hessian_agree(pair: Pair) -> None:
    on_cpu, on_gpu, batch, moved = pair
    z = Stream(0, "z").normal(batch.examples, 8)
    found = []
    for generator, part in ((on_cpu, batch), (on_gpu, moved)):
        conditional = Conditional(Weights(generator), part)
        masks = Dropout.draw(CONFIG, part, Stream(0, "dropout"), (0,)).masks(0)
        theta = ThetaGradient(generator)
        code = z.to(part.inputs.device)
        value, gradient = conditional.evaluate(code, masks, theta)
        rest = [conditional.log_likelihood(code), conditional.hessian(code), *theta.sums.values()]
        found.append([tensor.cpu() for tensor in (value, gradient, *rest)])
    for cpu, cuda in zip(*found, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=2e-3, atol=2e-4)


def test_bfloat16_output_layer_is_close(pair: Pair) -> None:
    _, generator, _, moved = pair
    z = Stream(0, "z").normal(moved.examples, 8)
    exact = Conditional(Weights(generator), moved).evaluate(z).gradient
    rough = Conditional(Weights(generator, "bfloat16"), moved).evaluate(z).gradient
    assert float((rough - exact).norm() / exact.norm()) < 2e-2


@pytest.mark.parametrize("regularised", [{}, REGULARISED], ids=["plain", "regularised"])
@pytest.mark.parametrize("sampler", ["paper", "authors", "preconditioned", "exponential"])
def test_replayed_graph_agrees_with_its_kernels(
    sampler: str, regularised: dict[str, Any], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _, moved = pair
    words = {"sampler": {"words": 10}} if sampler in ("preconditioned", "exponential") else {}
    method = make_method(
        "sri", sampler=sampler, generator=regularised, training={"measure_every": 0}, **words
    )
    optimizer = torch.optim.SGD(method.modules.parameters(), lr=0.01)
    shorter = Batch(moved.examples, moved.inputs[:5], moved.targets[:5], moved.lengths.clamp_max(5))
    for step, batch in enumerate((moved, shorter, moved, moved)):
        clock, found = Clock(0, step, step, step / 4), []
        for replayed in (False, True):
            monkeypatch.setattr(sri, "_replayed", lambda _, value=replayed: value)
            sums = method.gradients(batch, clock)
            found.append([torch.tensor(sums["recon"]), *gradients_of(method)])
        eager, graph = found
        assert_all_close(graph, eager, 2e-3)
        optimizer.step()  # the next replay must see the parameters move
        method.after_update()  # and the running statistics


@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_every_method_agree(name: str, pair: Pair) -> None:
    _, _, batch, moved = pair
    found = []
    for device, part in (("cpu", batch), ("cuda", moved)):
        sampler = "paper" if name == "sri" else None
        method = make_method(name, device, sampler, optimizer={"initial_scale": 0.3})
        method.gradients(part, Clock(0, 0, 1, 0.5))
        found.append(gradients_of(method))
    cpu, cuda = found
    assert_all_close(cuda, cpu, 5e-3)


@pytest.fixture
def tiny(tmp_path: Path) -> Corpus:
    return load_corpus(preprocess_corpus("tiny", data_dir=tmp_path).path)


def train(corpus: Corpus, config: RunConfig, folder: Path, steps: int) -> None:
    folder.mkdir()
    Trainer(corpus, config, folder, torch.device("cuda"), Limits(max_steps=steps), lambda _: None).run()


@pytest.mark.parametrize("method", METHODS)
def test_training_runs_saves_and_evaluates(method: str, tiny: Corpus, tmp_path: Path) -> None:
    config = resolve_config("tiny", method=method)
    # Few steps per epoch, so that the run passes from pretraining to the method.
    config = replace(config, training=replace(config.training, precision="float32", sentences=256))
    config = replace(config, pretraining=replace(config.pretraining, epochs=1))
    folder = tmp_path / "run"
    train(tiny, config, folder, steps=12)
    assert all(tensor.device.type == "cpu" for tensor in load_checkpoint(folder / "last.pt").weights.values())
    values = [load(folder, device).log_likelihood(["the dog runs ."])[0] for device in ("cpu", "cuda")]
    assert values[1] == pytest.approx(values[0], abs=0.05)


def test_warm_start_on_the_gpu(tiny: Corpus, tmp_path: Path) -> None:
    config = resolve_config("tiny", method="sri")
    train(tiny, config, tmp_path / "first", steps=2)
    warm_start = replace(config.warm_start, checkpoint=str(tmp_path / "first" / "last.pt"))
    train(tiny, replace(config, warm_start=warm_start), tmp_path / "second", steps=2)


@pytest.mark.parametrize("name", ["lm", "sri", "vae-anneal", "vae-lagging"])
def test_parts_of_a_batch_add_up_to_it(name: str, pair: Pair) -> None:
    _, _, batch, _ = pair
    found = []
    for parts in (1, 2):
        sampler = "preconditioned" if name == "sri" else None
        method = make_method(name, sampler=sampler, training={"accumulate": parts})
        gradients = BatchGradients(method, method.config, torch.device("cuda"), Processes())
        for step in (1, 2):  # the second step replays what the first captured
            gradients.compute(batch, Clock(0, 0, step, 0.5), False)
        found.append(gradients_of(method))
    whole, added = found
    assert_all_close(added, whole, 5e-3)


def test_nccl_group_of_one_process() -> None:

    group = Group(HashStore(), 0, 1, torch.device("cuda", 0))
    try:
        assert group.sum_(torch.ones(2, device="cuda")).tolist() == [1.0, 1.0]
        assert group.broadcast_bytes(b"hello") == b"hello"
        assert group.gather({"rank": 0}) == [{"rank": 0}]
    finally:
        group.close()
