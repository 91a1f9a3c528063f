"""The same model on CUDA as on the CPU: values, gradients, noise, a short training. One command: pytest -m gpu."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sritool.config.settings import GeneratorConfig
from sritool.data.batches import Batch, collate
from sritool.data.split import encode_split
from sritool.data.tokenizer import SPECIALS, WordTokenizer
from sritool.methods.registry import METHODS
from sritool.model.conditional import Conditional, Weights
from sritool.model.dropout import Dropout
from sritool.model.generator import Generator
from sritool.model.random import Stream, unpacked
from sritool.model.theta_gradient import ThetaGradient

pytestmark = pytest.mark.gpu

CONFIG = GeneratorConfig(embedding=16, hidden=32, latent=8)
WORDS = [f"w{i}" for i in range(60)]


@pytest.fixture
def pair() -> tuple[Generator, Generator, Batch, Batch]:
    """One generator and one padded batch, on the CPU and on the GPU."""
    tokenizer = WordTokenizer([*SPECIALS, *WORDS])
    lines = [" ".join(WORDS[(3 * i + j) % 60] for j in range(2 + i % 7)) for i in range(12)]
    batch = collate(encode_split(tokenizer, lines, 100), range(12))
    here, there = Generator(CONFIG, len(tokenizer)), Generator(CONFIG, len(tokenizer))
    here.initialise(0.5, seed=1)
    there.load_state_dict(here.state_dict())
    device = torch.device("cuda")
    return here, there.to(device), batch, batch.to(device)


def test_noise_is_the_same_on_every_device(pair: tuple[Generator, Generator, Batch, Batch]) -> None:
    _, _, batch, moved = pair
    stream = Stream(3, "chain")
    assert torch.equal(stream.words(batch.examples, (2,), 50), stream.words(moved.examples, (2,), 50).cpu())
    torch.testing.assert_close(stream.normal(batch.examples, 50), stream.normal(moved.examples, 50).cpu())
    here, there = (stream.keep(each.examples, 99, 0.5, (0,))[0] for each in (batch, moved))
    assert torch.equal(unpacked(here, 99, 0.5), unpacked(there, 99, 0.5).cpu())


def test_values_gradients_and_hessian_agree(pair: tuple[Generator, Generator, Batch, Batch]) -> None:
    here, there, batch, moved = pair
    z = Stream(0, "z").normal(batch.examples, 8)
    found = []
    for generator, part in ((here, batch), (there, moved)):
        conditional = Conditional(Weights(generator), part)
        masks = Dropout.draw(CONFIG, part, Stream(0, "dropout"), (0,)).masks(0)
        theta = ThetaGradient(generator)
        code = z.to(part.inputs.device)
        value, gradient = conditional.evaluate(code, masks, theta)
        rest = [conditional.log_likelihood(code), conditional.hessian(code), *theta.sums.values()]
        found.append([tensor.cpu() for tensor in (value, gradient, *rest)])
    for cpu, cuda in zip(*found, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=2e-3, atol=2e-4)


def test_bfloat16_output_layer_is_close(pair: tuple[Generator, Generator, Batch, Batch]) -> None:
    _, there, _, moved = pair
    z = Stream(0, "z").normal(moved.examples, 8)
    exact = Conditional(Weights(there), moved).evaluate(z).gradient
    rough = Conditional(Weights(there, "bfloat16"), moved).evaluate(z).gradient
    assert float((rough - exact).norm() / exact.norm()) < 2e-2


REGULARISED = {"dropout_mask": "sentence", "input_dropout": 0.3, "word_dropout": 0.2}
REGULARISED |= {"weight_drop": 0.25, "tied_embeddings": True}


@pytest.mark.parametrize("regularised", [{}, REGULARISED], ids=["plain", "regularised"])
@pytest.mark.parametrize("sampler", ["paper", "authors", "preconditioned", "exponential"])
def test_a_replayed_graph_computes_what_its_kernels_do(
    sampler: str,
    regularised: dict[str, Any],
    pair: tuple[Generator, Generator, Batch, Batch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sritool.config.presets import layered
    from sritool.config.settings import RunConfig
    from sritool.config.values import build, merge
    from sritool.methods import sri
    from sritool.methods.base import Clock
    from sritool.methods.registry import build_method

    _, _, _, moved = pair
    generator = {"embedding": 16, "hidden": 32, "latent": 8, **regularised}
    sizes: dict[str, Any] = {"generator": generator, "training": {"measure_every": 0}}
    if sampler in ("preconditioned", "exponential"):
        sizes["sampler"] = {"words": 10}
    method = build_method(build(RunConfig, merge(layered("tiny", sampler, "sri"), sizes)), 64)
    method.initialise()
    method.modules.to("cuda")
    optimizer = torch.optim.SGD(method.modules.parameters(), lr=0.01)
    shorter = Batch(moved.examples, moved.inputs[:5], moved.targets[:5], moved.lengths.clamp_max(5))
    for step, batch in enumerate((moved, shorter, moved, moved)):
        clock, found = Clock(0, step, step, step / 4), []
        for replayed in (False, True):
            monkeypatch.setattr(sri, "_replayed", lambda _, value=replayed: value)
            sums = method.gradients(batch, clock)
            found.append(
                [torch.tensor(sums["recon"]), *(p.grad.clone().cpu() for p in method.modules.parameters())]
            )
        for eager, graph in zip(*found, strict=True):
            torch.testing.assert_close(graph, eager, rtol=2e-3, atol=2e-3 * float(eager.abs().max()))
        optimizer.step()  # the next replay must see the parameters move
        method.after_update()  # and the running statistics


@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_every_method_agree(name: str, pair: tuple[Generator, Generator, Batch, Batch]) -> None:
    from sritool.config.presets import layered
    from sritool.config.settings import RunConfig
    from sritool.config.values import build, merge
    from sritool.methods.base import Clock
    from sritool.methods.registry import build_method

    _, _, batch, moved = pair
    sizes = {"generator": {"embedding": 16, "hidden": 32, "latent": 0 if name == "lm" else 8}}
    sampler = "paper" if name == "sri" else None
    config = build(
        RunConfig, merge(layered("tiny", sampler, name), {**sizes, "optimizer": {"initial_scale": 0.3}})
    )
    found = []
    for device, part in (("cpu", batch), ("cuda", moved)):
        method = build_method(config, 64)
        method.initialise()
        method.modules.to(device)
        method.gradients(part, Clock(0, 0, 1, 0.5))
        found.append([p.grad.cpu() for p in method.modules.parameters() if p.grad is not None and p.numel()])
    for cpu, cuda in zip(*found, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=5e-3, atol=5e-3 * float(cpu.abs().max()))


@pytest.mark.parametrize("method", METHODS)
def test_training_runs_saves_and_evaluates(method: str, tmp_path: Path) -> None:
    from sritool.api import load
    from sritool.data.preprocess import preprocess_corpus
    from sritool.data.store import load_corpus
    from sritool.runs.checkpoint import load_checkpoint
    from sritool.training.configure import resolve_config
    from sritool.training.loop import Limits, Trainer

    corpus = load_corpus(preprocess_corpus("tiny", data_dir=tmp_path).path)
    config = resolve_config("tiny", method=method)
    # Few steps an epoch, so that the border between pretraining and the method is crossed.
    config = replace(config, training=replace(config.training, precision="float32", sentences=256))
    config = replace(config, pretraining=replace(config.pretraining, epochs=1))
    folder = tmp_path / "run"
    folder.mkdir()
    Trainer(corpus, config, folder, torch.device("cuda"), Limits(max_steps=12), lambda _: None).run()
    assert all(tensor.device.type == "cpu" for tensor in load_checkpoint(folder / "last.pt").weights.values())
    values = [load(folder, device).log_likelihood(["the dog runs ."])[0] for device in ("cpu", "cuda")]
    assert values[1] == pytest.approx(values[0], abs=0.05)


def test_a_run_begins_on_the_gpu_with_the_weights_of_another(tmp_path: Path) -> None:
    from sritool.data.preprocess import preprocess_corpus
    from sritool.data.store import load_corpus
    from sritool.training.configure import resolve_config
    from sritool.training.loop import Limits, Trainer

    corpus = load_corpus(preprocess_corpus("tiny", data_dir=tmp_path).path)
    first, second = tmp_path / "first", tmp_path / "second"
    config = resolve_config("tiny", method="sri")
    for folder in (first, second):
        folder.mkdir()
        Trainer(corpus, config, folder, torch.device("cuda"), Limits(max_steps=2), lambda _: None).run()
        warm_start = replace(config.warm_start, checkpoint=str(first / "last.pt"))
        config = replace(config, warm_start=warm_start)


@pytest.mark.parametrize("name", ["lm", "sri", "vae-anneal", "vae-lagging"])
def test_parts_of_a_batch_add_up_to_it(name: str, pair: tuple[Generator, Generator, Batch, Batch]) -> None:
    from dataclasses import replace

    from sritool.config.presets import layered
    from sritool.config.settings import RunConfig
    from sritool.config.values import build, merge
    from sritool.methods.base import Clock
    from sritool.methods.registry import build_method
    from sritool.processes import Processes
    from sritool.training.sharing import BatchGradients

    _, _, batch, _ = pair
    sizes = {"generator": {"embedding": 16, "hidden": 32, "latent": 0 if name == "lm" else 8}}
    config = build(
        RunConfig, merge(layered("tiny", "preconditioned" if name == "sri" else None, name), sizes)
    )
    found = []
    for parts in (1, 2):
        method = build_method(config, 64)
        method.initialise()
        method.modules.to("cuda")
        changed = replace(config, training=replace(config.training, accumulate=parts))
        gradients = BatchGradients(method, changed, torch.device("cuda"), Processes())
        for step in (1, 2):  # the second one replays what the first captured
            gradients.compute(batch, Clock(0, 0, step, 0.5), False)
        found.append([p.grad.cpu() for p in method.modules.parameters() if p.grad is not None and p.numel()])
    for whole, added in zip(*found, strict=True):
        torch.testing.assert_close(added, whole, rtol=5e-3, atol=5e-3 * float(whole.abs().max()))


def test_a_group_of_one_process_on_nccl() -> None:
    from torch.distributed import HashStore

    from sritool.process_group import Group

    group = Group(HashStore(), 0, 1, torch.device("cuda", 0))
    try:
        assert group.sum_(torch.ones(2, device="cuda")).tolist() == [1.0, 1.0]
        assert group.broadcast_bytes(b"of the first") == b"of the first"
        assert group.gather({"rank": 0}) == [{"rank": 0}]
    finally:
        group.close()
