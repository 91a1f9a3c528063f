"""The plain loop of a variational autoencoder, against sritool's `vae-anneal`: they compute the same."""

from __future__ import annotations

import pytest
import torch

from benchmarks.ours import CLOCK, method_of, run_config
from benchmarks.reference_vae import ReferenceVae, train_step_vae, translated_vae
from benchmarks.shapes import SHAPES, random_batch
from sritool.methods.encoder_method import EncoderMethod
from sritool.model.dropout import Dropout

MICRO = SHAPES["micro"]


@pytest.mark.parametrize("padded", [False, True])
def test_loss_and_gradients_match_the_method(padded: bool) -> None:
    """Under the same dropout and noise, at a KL weight between 0 and 1."""
    method = method_of(run_config(MICRO, "vae-anneal"), MICRO, torch.device("cpu"))
    assert isinstance(method, EncoderMethod)
    method.modules.double()
    batch, clock = random_batch(MICRO, padded), CLOCK._replace(progress=0.05)
    weight = method.kl_weight(clock)
    assert 0 < weight < 1
    sums = method.gradients(batch, clock)

    reference = ReferenceVae(method.config.generator, MICRO.vocabulary).double()
    named = [dict(module.named_parameters()) for module in (method.generator, method.encoder)]
    reference.load_state_dict(
        translated_vae(*({n: p.detach() for n, p in module.items()} for module in named))
    )
    masks = Dropout.draw(method.config.generator, batch, clock.stream("dropout"), (0,)).masks(0)
    assert masks is not None
    factors = (masks.embedding.double(), masks.hidden[0].double())
    loss = reference.loss(batch, weight, method.noise(batch, clock.stream("encoder")), factors)
    loss.backward()

    expected = (sums["recon"] + weight * sums["kl"]) / MICRO.batch
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-11)
    slopes = ({n: p.grad for n, p in module.items() if p.grad is not None} for module in named)
    for name, slope in translated_vae(*slopes).items():
        if name.endswith("bias_hh_l0"):
            continue  # equals the other bias's
        found = reference.get_parameter(name).grad
        assert found is not None
        assert float(slope.abs().max()) > 0, name
        torch.testing.assert_close(found, slope, rtol=1e-9, atol=1e-11)


def test_training_step_moves_every_parameter() -> None:
    reference = ReferenceVae(run_config(MICRO, "vae-anneal").generator, MICRO.vocabulary)
    batch = random_batch(MICRO, sentences=40)  # every word occurs
    before = {name: p.detach().clone() for name, p in reference.named_parameters()}
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    assert 0 < train_step_vae(reference, optimizer, batch, 0.5) < 10 * MICRO.length
    for name, parameter in reference.named_parameters():
        assert not torch.equal(parameter, before[name]), name
