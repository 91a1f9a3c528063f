"""Methods with an encoder: gradients against autograd of the written-out objective, KL weights, posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sritool.config.values import build, merge, plain
from sritool.data.batches import Batch
from sritool.errors import UsageError
from sritool.methods.base import Clock, Method
from sritool.methods.encoder_method import EncoderMethod
from sritool.methods.registry import METHODS, build_method
from sritool.model.recurrence import lstm

EXAMPLES = [0, 1, 2, 4, 11]
ONE_PASS = ["ae", "vae-anneal", "vae-cyclical", "vae-fbp", "vae-fb"]
WITH_ENCODER = [name for name, kind in METHODS.items() if issubclass(kind, EncoderMethod)]
MakeMethod = Callable[..., EncoderMethod]
BatchOf = Callable[..., Batch]


def code(method: EncoderMethod, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean and log-variance by plain, differentiable operations."""
    encoder = method.encoder
    projected = encoder.embedding[batch.targets] @ encoder.words_to_gates.t() + encoder.gate_bias
    states = lstm(projected, torch.zeros(len(batch.lengths), 5, dtype=torch.float64), encoder.recurrent)
    last = states[batch.lengths - 1, torch.arange(len(batch.lengths))]
    return tuple((last @ encoder.to_code.t()).chunk(2, dim=-1))  # type: ignore[return-value]


def objective(method: EncoderMethod, batch: Batch, clock: Clock, weight: float) -> Tensor:
    """Batch mean of recon + weight · the method's KL term, with the noise that the method draws."""
    mean, log_variance = code(method, batch)
    noise = method.noise(batch, clock.stream("encoder"))
    is_point = method.name == "ae" and not method.config.autoencoder.noise
    z = mean if is_point else mean + (0.5 * log_variance).exp() * noise
    recon = -method.generator.log_likelihood(batch.inputs, batch.targets, z)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    target = method.config.free_bits.target
    if method.name == "vae-fbp":
        kl = kl.sum(-1, keepdim=True).clamp_min(target)
    if method.name == "vae-fb":
        kl = kl.clamp_min(target / kl.shape[-1])
    return (recon + weight * kl.sum(-1)).mean()


def with_settings(method: EncoderMethod, **changes: object) -> EncoderMethod:
    """A method with the same parameters and other settings."""
    config = build(type(method.config), merge(plain(method.config), changes))
    made = build_method(config, method.generator.vocabulary_size)
    made.modules.double()
    made.modules.load_state_dict(method.modules.state_dict())
    assert isinstance(made, EncoderMethod)
    return made


@pytest.mark.parametrize(("name", "noise"), [*((name, False) for name in ONE_PASS), ("ae", True)])
def test_gradient_is_that_of_the_objective(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, name: str, noise: bool
) -> None:
    made, batch = make_method(name), batch_of(EXAMPLES)
    kl = made.encoder.run(batch).q.kl_by_dimension()
    # Put the target between the values, so that both sides of the hinge occur.
    target = {"vae-fbp": kl.sum(-1).median(), "vae-fb": kl.median() * made.latent}.get(name, 0.0)
    changes = {"free_bits": {"target": 1.001 * float(target)}, "autoencoder": {"noise": noise}}
    method = with_settings(made, **changes)
    weight = 0.0 if name == "ae" else method.kl_weight(clock)
    columns = method.gradients(batch, clock)
    parameters = dict(method.modules.named_parameters())
    loss = objective(method, batch, clock, weight)
    expected = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for (key, parameter), slope in zip(parameters.items(), expected, strict=True):
        assert parameter.grad is not None, key
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-8, atol=1e-11, msg=key)
    if name in ("vae-fbp", "vae-fb"):
        q = method.encoder.run(batch).q
        hinge = method.hinge(q.kl_by_dimension())
        assert 0 < float(hinge.mean()) < 1, "the test needs both sides of the hinge"
    assert columns["recon"] > 0


@pytest.mark.parametrize("name", [name for name in WITH_ENCODER if METHODS[name].sections & {"kl", "cycles"}])
@pytest.mark.parametrize(("epochs", "kl_epochs"), [(60, 10), (4, 10), (1, 10), (12, 0)])
def test_weight_of_the_kl_at_every_step(
    make_method: MakeMethod, name: str, epochs: int, kl_epochs: int
) -> None:
    made = make_method(name)
    config = replace(made.config, training=replace(made.config.training, epochs=epochs))
    config = replace(config, kl=replace(config.kl, epochs=kl_epochs, start=0.1))
    method = build_method(config, 9)
    assert isinstance(method, EncoderMethod)
    for step in range(101):
        progress = step / 100
        clock = Clock(0, int(progress * epochs), step, progress)
        if name == "vae-cyclical":
            within = math.fmod(progress * 4, 1.0)
            expected = 1.0 if within >= 0.5 or progress == 1 else 2 * within
            assert method.settled_at() == 0.875
        else:
            # In a plan shorter than two ramps, the ramp is its first half.
            length = min(kl_epochs, epochs / 2)
            risen = min(1.0, progress * epochs / length) if length else 1.0
            expected = 0.1 + 0.9 * risen
        assert method.kl_weight(clock) == pytest.approx(expected)
        if progress >= method.settled_at():
            assert method.kl_weight(clock) == pytest.approx(1.0)


def test_cycles_can_start_above_zero(make_method: MakeMethod, clock: Clock) -> None:
    method = with_settings(make_method("vae-cyclical"), cycles={"start": 0.1, "ramp": 0.45})
    # Fu et al.'s code: the weight rises by 1/5 per epoch from 0.1, in cycles of 10 of 40 epochs.
    for epoch in range(40):
        published = min(1.0, 0.1 + (epoch % 10) / 5)
        assert method.kl_weight(clock._replace(progress=epoch / 40)) == pytest.approx(published)


@pytest.mark.parametrize("name", ["lm", "vae-fb"])
def test_embeddings_can_have_a_wider_initial_scale(make_method: MakeMethod, name: str) -> None:
    method = make_method(name)
    scales = replace(method.config.optimizer, initial_scale=0.01, embedding_scale=0.1)
    method.config = replace(method.config, optimizer=scales)
    for draw in (method.initialise, *([method.end_pretraining] if name == "vae-fb" else [])):
        draw()
        for key, parameter in method.modules.named_parameters():
            largest = float(parameter.detach().abs().max()) if parameter.numel() else 0.0
            wide = key.endswith(".embedding")
            assert (0.05 < largest <= 0.1) if wide else largest <= 0.01, key


def test_sigmoid_ramp_starts_below_the_linear_one(make_method: MakeMethod, clock: Clock) -> None:
    method = make_method("vae-anneal")
    other = with_settings(method, kl={"ramp": "sigmoid", "epochs": 40.0})
    assert other.kl_weight(clock._replace(progress=0.1)) < method.kl_weight(clock._replace(progress=0.1))


@pytest.mark.parametrize("name", ["vae-anneal", "vae-fb"])
def test_posterior_is_the_encoders_with_closed_form_kl(
    make_method: MakeMethod, batch_of: BatchOf, name: str
) -> None:
    method, batch = make_method(name), batch_of(EXAMPLES)
    conditional = method.conditional(batch)
    mean, log_variance = code(method, batch)
    mean, log_variance = mean.detach(), log_variance.detach()
    draws = method.posterior(conditional, 0, 4000)
    spread = (0.5 * log_variance).exp()
    assert float(((draws.mean(0) - mean) / spread).abs().max()) < 0.1
    assert float((draws.std(0) / spread - 1).abs().max()) < 0.1
    expected = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    torch.testing.assert_close(method.kl_to_prior(conditional, 0).kl, expected)
    assert method.posterior_name == "encoder"


def test_autoencoder_has_one_code_per_sentence(make_method: MakeMethod, batch_of: BatchOf) -> None:
    method, batch = make_method("ae"), batch_of(EXAMPLES)
    draws = method.posterior(method.conditional(batch), 0, 3)
    torch.testing.assert_close(draws, code(method, batch)[0].expand(3, -1, -1))
    assert not method.has_density


@pytest.mark.parametrize("noise", [False, True])
def test_autoencoder_variance_is_trained_only_with_noise(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, noise: bool
) -> None:
    """With noise, the variance falls, as no KL keeps it up; without, its rows of the last layer get no gradient."""
    method, batch = with_settings(make_method("ae"), autoencoder={"noise": noise}), batch_of(EXAMPLES)
    columns = method.gradients(batch, clock)
    gradient = method.encoder.to_code.grad
    assert gradient is not None
    of_log_variance = gradient[method.latent :]
    assert bool((of_log_variance != 0).any()) == noise
    assert columns.get("mean KL weight", 0.0) == 0.0
    before = code(method, batch)[1]
    optimizer = torch.optim.Adam(method.modules.parameters(), lr=0.02)
    for step in range(60):
        method.gradients(batch, clock._replace(epoch=step))
        optimizer.step()
    fallen = float((before - code(method, batch)[1]).detach().mean())
    assert fallen > 0.5 if noise else abs(fallen) < 0.5
    draws = method.posterior(method.conditional(batch), 0, 2)
    assert torch.equal(draws[0], draws[1]) != noise
    assert method.has_density == noise


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("name", ["vae-fb", "vae-fbp"])
def test_pretraining_is_an_autoencoder_and_leaves_its_encoder(
    make_method: MakeMethod, batch_of: BatchOf, clock: Clock, name: str, noise: bool
) -> None:
    method, autoencoder = (
        with_settings(make_method(kind), autoencoder={"noise": noise}) for kind in (name, "ae")
    )
    method.pretraining = True
    batch = batch_of(EXAMPLES)
    assert method.gradients(batch, clock) == autoencoder.gradients(batch, clock)
    for one, other in zip(method.modules.parameters(), autoencoder.modules.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)
    method.initialise()
    encoder = {key: value.clone() for key, value in method.encoder.state_dict().items()}
    generator = method.generator.recurrent.detach().clone()
    method.end_pretraining()
    assert all(torch.equal(value, encoder[key]) for key, value in method.encoder.state_dict().items())
    assert not torch.equal(method.generator.recurrent, generator)
    assert method.has_density


def test_foreign_or_broken_state_is_refused(make_method: Callable[..., Method]) -> None:
    with pytest.raises(ValueError, match="vae-anneal"):
        make_method("vae-anneal").restore({"aggressive": True})
    for state in (
        {"unknown": 1},
        {"updates": -1},
        {"updates": 1.0},
        {"loss": float("nan")},
        {"aggressive": 1},
    ):
        with pytest.raises(UsageError, match=next(iter(state))):
            make_method("vae-lagging").restore(state)
