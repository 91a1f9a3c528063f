"""The first epochs of a plan, in which the generator learns as a language model, before z is inferred.

Such an epoch costs as much as one of `lm`, and z then begins with a generator that knows the language already. Until
then the maps of z are zero, so that the model is complete at any time, and ignores z.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from sritool.methods.base import Method
from sritool.methods.encoder_method import AFTER_PRETRAINING
from sritool.methods.lm import LanguageModel
from sritool.model.generator import Generator


def z_is_silent(method: Method) -> bool:
    """Return whether all maps of z are zero."""
    return not any(bool(parameter.any()) for parameter in method.generator.latent_maps().values())


@torch.no_grad()
def silence_z(method: Method) -> None:
    """Set the maps of z to zero."""
    for parameter in method.generator.latent_maps().values():
        parameter.zero_()


@torch.no_grad()
def draw_latent_maps(method: Method) -> None:
    """Draw the values that the maps of z would have had at the start."""
    scales, seed = method.config.optimizer, method.config.training.seed
    fresh = Generator(method.config.generator, method.generator.vocabulary_size)
    purpose = AFTER_PRETRAINING if method.pretrains else ""
    fresh.initialise(scales.initial_scale, seed, purpose, scales.embedding_scale)
    for name, drawn in fresh.latent_maps().items():
        method.generator.get_parameter(name).copy_(drawn)


def language_model_of(method: Method) -> LanguageModel:
    """Return the method's generator without z as an `lm`; the two share their parameters."""
    config, given = method.config, method.generator
    lm = LanguageModel(
        replace(config, method=LanguageModel.name, generator=replace(config.generator, latent=0)),
        given.vocabulary_size,
    )
    maps = given.latent_maps()
    for name, parameter in given.named_parameters():
        if name not in maps:
            owner, _, last = name.rpartition(".")
            lm.generator.get_submodule(owner).register_parameter(last, parameter)
    lm.modules.to(given.output_bias.device)
    lm.precision, lm.processes = method.precision, method.processes
    return lm
