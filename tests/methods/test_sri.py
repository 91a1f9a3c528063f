"""Short-run inference: its chain and its θ-gradients against autograd at the chain's codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sritool.config.presets import layered
from sritool.config.settings import RunConfig
from sritool.config.values import build
from sritool.data.batches import Batch
from sritool.inference.langevin import Chain, Dynamics
from sritool.methods import sri
from sritool.methods.base import Clock, Method
from sritool.methods.registry import build_method
from sritool.model.dropout import Masks
from sritool.model.word_subset import WordSubset
from support.targets import LinearGaussian

EXAMPLES = [0, 1, 2, 4, 11]
ALL_KINDS: dict[str, Any] = {
    "dropout": 0.5,
    "input_dropout": 0.2,
    "dropout_mask": "sentence",
    "word_dropout": 0.3,
}
ALL_KINDS |= {"tied_embeddings": True, "weight_drop": 0.3}
OURS = {"preconditioned": True, "words": 2}
MakeMethod = Callable[..., Method]
BatchOf = Callable[..., Batch]
Gradients = Callable[[Method, Batch, Clock], dict[str, Tensor]]


@pytest.fixture
def chains(monkeypatch: pytest.MonkeyPatch) -> list[Chain]:
    """All chains that the method runs, with their paths."""
    seen: list[Chain] = []
    original = sri.short_run

    def spied(
        log_joint: Any, start: Tensor, noise: Tensor, dynamics: Dynamics, keep_path: bool = False
    ) -> Chain:
        seen.append(original(log_joint, start, noise, dynamics, keep_path=True))
        return seen[-1] if keep_path else seen[-1]._replace(path=None, log_joint=None)

    monkeypatch.setattr(sri, "short_run", spied)
    return seen


def update(method: Method, batch: Batch, clock: Clock) -> dict[str, float]:
    """A training step without the change of θ."""
    sums = method.gradients(batch, clock)
    method.after_update()
    return sums


def nll(method: Method, batch: Batch, z: Tensor) -> Tensor:
    return -method.generator.log_likelihood(batch.inputs, batch.targets, z)


def autograd(method: Method, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*method.generator.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def assert_agree(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, slope in expected.items():
        assert float(slope.abs().max()) > 0, name
        torch.testing.assert_close(
            found[name], slope, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def end_by_autograd(method: Method, batch: Batch, chain: Chain, prior_weight: float = 1.0) -> Tensor:
    """The end of the chain by eq. (7), from its start and noise, with gradients by autograd."""
    z = chain.start
    for k, step in enumerate(chain.dynamics.step_sizes):
        at = z.clone().requires_grad_()
        energy = nll(method, batch, at).sum() + 0.5 * prior_weight * at.square().sum()
        (slope,) = torch.autograd.grad(energy, at)
        z = z - step * slope + chain.dynamics.temperature * math.sqrt(2 * step) * chain.noise[k]
    return z


def test_training_chain_follows_equation_seven(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, chains: list[Chain]
) -> None:
    batch = batch_of(EXAMPLES)
    gradients(make_method(temperature=1.0), batch, clock)
    method = make_method(temperature={"start": 0.2, "end": 1.0})
    gradients(method, batch, clock)
    warm, chain = chains
    assert chain.dynamics.step_sizes == [0.2, 0.1, 0.05, 0.05]
    torch.testing.assert_close(chain.dynamics.temperature * chain.noise, (0.2 + 0.25 * 0.8) * warm.noise)
    torch.testing.assert_close(chain.end, end_by_autograd(method, batch, chain), rtol=1e-10, atol=1e-10)


def test_prior_weight_scales_the_prior_during_training(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, chains: list[Chain]
) -> None:
    batch = batch_of(EXAMPLES)
    method = make_method(prior_weight={"start": 0.1, "end": 0.9})
    gradients(method, batch, clock)
    z = end_by_autograd(method, batch, chains[0], 0.1 + 0.25 * 0.8)
    torch.testing.assert_close(chains[0].end, z, rtol=1e-10, atol=1e-10)
    assert method.settled_at() == 1.0
    conditional, usual = method.conditional(batch), make_method()
    assert torch.equal(
        method.posterior(conditional, 0, 2), usual.posterior(usual.conditional(batch), 0, 2)
    ), "the weight must be 1 at evaluation"


def test_end_gradient_is_the_batch_mean_at_the_last_code(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, chains: list[Chain]
) -> None:
    method, batch = make_method(theta_gradient="end"), batch_of(EXAMPLES)
    found = gradients(method, batch, clock)
    assert_agree(found, autograd(method, nll(method, batch, chains[0].end).mean()))


def test_path_gradient_sums_over_every_visited_code(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, chains: list[Chain]
) -> None:
    method, batch = make_method(theta_gradient="path", end_weight=0.125), batch_of(EXAMPLES)
    found = gradients(method, batch, clock)
    path = chains[0].path
    assert path is not None
    visited = sum(nll(method, batch, z).sum() for z in path[:-1])
    assert_agree(found, autograd(method, visited + 0.125 * nll(method, batch, path[-1]).sum()))


def test_end_weight_can_be_one_over_the_batch_size(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients
) -> None:
    for examples in (EXAMPLES, EXAMPLES[:2]):
        following = make_method(theta_gradient="path", end_weight="1/batch")
        fixed = make_method(theta_gradient="path", end_weight=1 / len(examples))
        batch = batch_of(examples)
        assert_agree(gradients(following, batch, clock), gradients(fixed, batch, clock))


@pytest.mark.parametrize(("choice", "scale"), [("path", 1.0), ("end", 1 / 5)])
def test_batch_gradient_is_the_sum_over_its_sentences(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, choice: str, scale: float
) -> None:
    """Noise, masks and padding of a sentence do not depend on the other sentences."""
    method = make_method(theta_gradient=choice, end_weight=0.125, dropout=0.5, chain_dropout=True)
    together = gradients(method, batch_of(EXAMPLES), clock)
    parts = [gradients(method, batch_of([example]), clock) for example in EXAMPLES]
    assert_agree(together, {name: scale * sum(part[name] for part in parts) for name in together})  # type: ignore[misc]


def test_noise_depends_on_seed_and_epoch_only(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, chains: list[Chain]
) -> None:
    method, batch = make_method(), batch_of(EXAMPLES)
    for when in (clock, clock._replace(step=41), clock._replace(epoch=3), clock._replace(seed=4)):
        method.gradients(batch, when)
    assert torch.equal(chains[0].start, chains[1].start)
    assert torch.equal(chains[0].end, chains[1].end)
    for other in chains[2:]:
        assert not torch.equal(other.start, chains[0].start)
        assert not torch.equal(other.noise, chains[0].noise)


@pytest.mark.parametrize(
    "dropped",
    [{"dropout": 0.0}, {"dropout": 0.5}, ALL_KINDS],
    ids=["no dropout", "dropout", "all kinds"],
)
@pytest.mark.parametrize("chain_dropout", [True, False])
@pytest.mark.parametrize("choice", ["path", "end"])
@pytest.mark.parametrize("ours", [{}, {"preconditioned": True}, {"words": 2}, OURS])
@pytest.mark.slow
def test_static_form_for_gpu_graphs_computes_the_same(
    make_method: MakeMethod,
    batch_of: BatchOf,
    clock: Clock,
    gradients: Gradients,
    monkeypatch: pytest.MonkeyPatch,
    dropped: dict[str, Any],
    chain_dropout: bool,
    choice: str,
    ours: dict[str, Any],
) -> None:
    """It masks padding by multiplication and takes everything that changes as a tensor."""

    def made() -> Method:
        method = make_method(
            theta_gradient=choice, end_weight=0.125, generator=dropped, chain_dropout=chain_dropout, **ours
        )
        for _ in range(3):  # so that the running statistics differ from their initial values
            update(method, batch, clock)
        return method

    batch = batch_of(EXAMPLES)
    assert int(batch.lengths.min()) < len(batch.targets), "the test needs padding"
    method = made()
    expected, sums, statistics = gradients(method, batch, clock), update(method, batch, clock), method
    method, calls = made(), []

    def replayed(constants: tuple[Any, ...], shapes: tuple[Any, ...], *tensors: Tensor) -> Any:
        calls.append(constants)
        return method._static_pass(*constants, *shapes, *tensors)  # type: ignore[attr-defined]

    monkeypatch.setattr(method, "_graphed_pass", replayed)
    monkeypatch.setattr(sri, "_replayed", lambda batch: True)
    assert_agree(gradients(method, batch, clock), expected)
    assert update(method, batch, clock) == pytest.approx(sums)
    assert calls
    for name, buffer in method.modules.named_buffers():
        torch.testing.assert_close(buffer, statistics.modules.get_buffer(name))


@pytest.mark.parametrize("exponential", [False, True])
def test_preconditioned_chain_on_the_drawn_words(
    make_method: MakeMethod,
    batch_of: BatchOf,
    clock: Clock,
    chains: list[Chain],
    monkeypatch: pytest.MonkeyPatch,
    exponential: bool,
) -> None:
    method, batch, drawn = make_method(**OURS, exponential=exponential), batch_of(EXAMPLES), []
    original = sri.draw_subsets

    def spied(*given: Any) -> list[WordSubset]:
        drawn.append(original(*given))
        return drawn[-1]

    monkeypatch.setattr(sri, "draw_subsets", spied)
    for _ in range(20):
        update(method, batch, clock)
    root = method.root
    assert root is not None
    assert float((root - torch.eye(3)).abs().max()) > 0.05, "the Fisher matrix is still zero"
    method.gradients(batch, clock)
    chain, subsets = chains[-1], drawn[-1]
    assert len(subsets) == len(chain.dynamics.step_sizes) == 4
    assert {len(subset.words) for subset in subsets} != {7}, "the test needs a proper subset of the words"
    z = chain.start
    for step, epsilon, subset in zip(chain.dynamics.step_sizes, chain.noise, subsets, strict=True):
        at = z.clone().requires_grad_()
        slope = torch.autograd.grad(-raised_nll(method, batch, at, subset) - 0.5 * at.square().sum(), at)[0]
        variance = step * (2 - step) if exponential else 2 * step
        z = (
            z
            + step * slope @ root @ root.T
            + math.sqrt(variance) * chain.dynamics.temperature * epsilon @ root.T
        )
    torch.testing.assert_close(chain.end, z, rtol=1e-10, atol=1e-10)


def raised_nll(method: Method, batch: Batch, z: Tensor, subset: WordSubset) -> Tensor:
    """Σ_batch −log p(x|z) with a softmax over the subset, its logits raised by −log π."""
    generator = method.generator
    raised = torch.full((7,), -torch.inf).double().index_copy_(0, subset.words, -subset.log_inclusion)
    logits = generator.hidden_states(batch.inputs, z) @ generator.output.t() + generator.output_bias + raised
    targets = batch.targets.flatten() - 2
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=-2, reduction="sum")


def test_theta_gradient_uses_every_word(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, gradients: Gradients, chains: list[Chain]
) -> None:
    method, batch = make_method(theta_gradient="end", **OURS), batch_of(EXAMPLES)
    found = gradients(method, batch, clock)
    assert_agree(found, autograd(method, nll(method, batch, chains[0].end).mean()))


def test_word_draws_depend_on_seed_epoch_update_and_step(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = sri.draw_subsets

    def spied(pi: Tensor, rows: Tensor, uniforms: Tensor, *others: Any) -> list[WordSubset]:
        seen.append(uniforms)
        return original(pi, rows, uniforms, *others)

    monkeypatch.setattr(sri, "draw_subsets", spied)
    for when in (clock, clock._replace(step=41), clock._replace(epoch=3), clock._replace(seed=4)):
        make_method(**OURS).gradients(batch_of(EXAMPLES), when)
    make_method(**OURS).gradients(batch_of(EXAMPLES[:2]), clock)
    assert torch.equal(seen[-1], seen.pop(0)), "the draw depends on the batch"
    rows = [tuple(row.tolist()) for uniforms in seen for row in uniforms]
    assert len(set(rows)) == len(rows) == 4 * 4


def test_evaluation_fixes_statistics_and_uses_every_word(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, chains: list[Chain]
) -> None:
    method, batch = make_method(**OURS), batch_of(EXAMPLES)
    for _ in range(20):
        update(method, batch, clock)
    before = {name: buffer.clone() for name, buffer in method.modules.named_buffers()}
    assert before.keys() == {"preconditioner.fisher", "word_mass.mass"}
    method.posterior(method.conditional(batch), 0, 2)
    method.kl_to_prior(method.conditional(batch), 0)
    for name, buffer in method.modules.named_buffers():
        assert torch.equal(buffer, before[name])
    root, chain = method.root, chains[-2]
    assert root is not None
    z = chain.start
    for step, epsilon in zip(chain.dynamics.step_sizes, chain.noise, strict=True):
        slope = torch.stack([joint_gradient(method, batch, part) for part in z])
        z = (
            z
            + step * slope @ root @ root.T
            + math.sqrt(2 * step) * chain.dynamics.temperature * epsilon @ root.T
        )
    torch.testing.assert_close(chain.end, z, rtol=1e-9, atol=1e-9)


def joint_gradient(method: Method, batch: Batch, z: Tensor) -> Tensor:
    """∇_z log p(x, z) by autograd."""
    at = z.clone().requires_grad_()
    return torch.autograd.grad(-nll(method, batch, at).sum() - 0.5 * at.square().sum(), at)[0]


@pytest.mark.parametrize("chain_dropout", [True, False])
def test_masks_are_drawn_anew_at_each_step(
    make_method: MakeMethod,
    batch_of: BatchOf,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    chain_dropout: bool,
) -> None:
    used: list[Masks | None] = []
    original = sri.Conditional.evaluate

    def spied(self: Any, z: Tensor, masks: Masks | None = None, *others: Any) -> Any:
        used.append(masks)
        return original(self, z, masks, *others)

    monkeypatch.setattr(sri.Conditional, "evaluate", spied)
    make_method(dropout=0.5, chain_dropout=chain_dropout).gradients(batch_of(EXAMPLES), clock)
    drawn = [masks for masks in used if masks is not None]
    assert len(used) == 5
    assert used[-1] is not None, "the θ-gradient must be taken under dropout"
    assert len(drawn) == (5 if chain_dropout else 1)
    assert len({tuple(masks.hidden.flatten().tolist()) for masks in drawn}) == len(drawn)


def test_returned_sums(make_method: MakeMethod, batch_of: BatchOf, clock: Clock, chains: list[Chain]) -> None:
    method, batch = make_method(), batch_of(EXAMPLES)
    sums = method.gradients(batch, clock)
    assert sums.keys() == {"recon", "moved"}
    assert sums["recon"] == pytest.approx(float(nll(method, batch, chains[0].end).sum().detach()))
    moved = sum(
        math.dist(*pair) for pair in zip(chains[0].end.tolist(), chains[0].start.tolist(), strict=True)
    )
    assert sums["moved"] == pytest.approx(moved)


@pytest.mark.parametrize(("step", "share"), [(0.3, 0.0), (1.9, 0.0), (2.5, 1.0)])
def test_unstable_steps_are_those_that_raise_the_energy(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, step: float, share: float
) -> None:
    """If z is ignored, U = ½‖z‖², and a step to z (1 − s) raises it exactly when s > 2."""
    method = without_z(make_method(step_sizes=[step]))
    method.config = replace(method.config, training=replace(method.config.training, measure_every=20))
    for update in (0, 19, 39):
        found = method.gradients(batch_of(EXAMPLES), clock._replace(step=update))
        assert found["mean unstable"] == share
    assert "mean unstable" not in method.gradients(batch_of(EXAMPLES), clock._replace(step=40))


def without_z(method: Method) -> Method:
    """Make the method's generator ignore z."""
    with torch.no_grad():
        method.generator.latent_to_gates.zero_()
        method.generator.latent_to_initial.zero_()
    return method


def test_posterior_does_not_depend_on_the_batch(make_method: MakeMethod, batch_of: BatchOf) -> None:
    method = make_method(evaluation_temperature=0.7, dropout=0.5, chain_dropout=True)
    whole = method.posterior(method.conditional(batch_of(EXAMPLES)), 5, 3)
    assert whole.shape == (3, 5, 3)
    for order in ([11, 0], [2], [4, 2, 1]):
        part = method.posterior(method.conditional(batch_of(order)), 5, 3)
        torch.testing.assert_close(part, whole[:, [EXAMPLES.index(k) for k in order]], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(method.posterior(method.conditional(batch_of(EXAMPLES)), 5, 2), whole[:2])
    other = method.posterior(method.conditional(batch_of(EXAMPLES)), 6, 3)
    assert float((other - whole).abs().min()) > 0
    assert float((whole[0] - whole[1]).abs().min()) > 0


def test_posterior_runs_at_the_evaluation_temperature(
    make_method: MakeMethod, batch_of: BatchOf, chains: list[Chain]
) -> None:
    method = make_method(evaluation_temperature=0.7)
    method.posterior(method.conditional(batch_of(EXAMPLES)), 5, 2)
    method.kl_to_prior(method.conditional(batch_of(EXAMPLES)), 5)
    assert [chain.dynamics.temperature for chain in chains] == [0.7, 0.7]


def test_posterior_mean_matches_many_chains(make_method: MakeMethod) -> None:
    method = make_method(evaluation_temperature=0.9, step_sizes=[0.2, 0.05])
    generator = torch.Generator().manual_seed(3)
    matrices, data = (torch.randn(2, 4, 3, generator=generator), torch.randn(2, 4, generator=generator))
    target: Any = LinearGaussian(matrices.double(), data.double(), variance=0.5)
    target.size, target.batch = 2, SimpleNamespace(examples=torch.tensor([0, 7]))
    ends = method.posterior(target, 1, 4000)
    error = ends.std(0) / math.sqrt(len(ends))
    found = method.posterior_mean(target, 1)
    assert found.shape == (2, 3)
    assert float(((found - ends.mean(0)).abs() / error).max()) < 4
    assert float((found - target.posterior.mean).abs().max()) > 10 * float(
        error.max()
    )  # two steps are too few to converge


def test_kl_of_the_authors_chain_when_z_is_ignored(batch_of: BatchOf) -> None:
    """The chain only contracts: z_K = a z_0 + noise, so KL = −ln a + ½ (E z_K² − 1) per dimension, for any x."""
    values = layered("captions", "authors", "sri") | {
        "generator": {"embedding": 4, "hidden": 5, "latent": 32}
    }
    method = build_method(build(RunConfig, values), 9)
    method.initialise()
    without_z(method).modules.double()
    batch = batch_of([0])
    many = batch._replace(
        examples=torch.arange(150),
        inputs=batch.inputs.expand(-1, 150),
        targets=batch.targets.expand(-1, 150),
        lengths=batch.lengths.expand(150),
    )
    found = method.kl_to_prior(method.conditional(many), 0)
    contraction, second_moment = 1.0, 1.0
    for step in method.config.sampler.schedule():
        contraction *= 1 - step
        second_moment = (1 - step) ** 2 * second_moment + 2 * step * 0.2**2
    expected = 32 * (-math.log(contraction) + 0.5 * (second_moment - 1))
    assert contraction == pytest.approx(0.35, abs=0.01)
    assert float(found.folded.max()) == 0
    assert abs(float(found.kl.mean()) - expected) < 5 * float(found.kl.std()) / math.sqrt(150)


def test_codes_under_dropout_use_fresh_masks(
    make_method: MakeMethod, batch_of: BatchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, plain = batch_of(EXAMPLES), make_method()
    assert isinstance(plain, sri.ShortRunInference)
    expected = plain.posterior(plain.conditional(batch), 3, 2)
    torch.testing.assert_close(plain.posterior_under_dropout(plain.conditional(batch), 3, 2), expected)
    method = make_method(dropout=0.5)
    assert isinstance(method, sri.ShortRunInference)
    conditional, seen = method.conditional(batch), list[Tensor]()
    evaluate = conditional.evaluate

    def watched(z: Tensor, masks: Any = None, *rest: Any) -> Any:
        seen.append(masks.embedding)
        return evaluate(z, masks, *rest)

    monkeypatch.setattr(conditional, "evaluate", watched)
    codes = method.posterior_under_dropout(conditional, 3, 2)
    steps = method.sampler.steps
    assert len(seen) == 2 * steps
    assert not any(torch.equal(a, b) for k, a in enumerate(seen) for b in seen[:k]), "a mask was used twice"
    assert not torch.allclose(codes, method.posterior(method.conditional(batch), 3, 2))
    alone = method.posterior_under_dropout(method.conditional(batch_of(EXAMPLES[:2])), 3, 1)
    torch.testing.assert_close(alone, codes[:1, :2])
