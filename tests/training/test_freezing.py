"""Which parameters belong to each part that can be frozen."""

from torch import nn

from sritool.config.settings import GeneratorConfig
from sritool.model.generator import Generator
from sritool.training.freezing import frozen_names


def test_parts_cover_the_parameters_of_every_layer() -> None:
    generator = Generator(GeneratorConfig(4, 6, 2, layers=3, residual=True), 9)
    modules = nn.ModuleDict({"generator": generator})
    found = {part: frozen_names(modules, [part]) for part in ("recurrence", "latent", "output", "embedding")}
    for layer in ("generator.upper.0.", "generator.upper.1."):
        assert {f"{layer}{name}" for name in ("inputs_to_gates", "recurrent", "gate_bias")} < found[
            "recurrence"
        ]
        assert {f"{layer}{name}" for name in ("latent_to_initial", "initial_bias")} < found["latent"]
    assert "generator.embedding_to_output" in found["output"]
    names = [name for parts in found.values() for name in parts]
    assert sorted(names) == sorted(name for name, _ in modules.named_parameters())
