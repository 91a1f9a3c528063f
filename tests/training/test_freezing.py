"""Which parameters belong to a part that is frozen."""

from torch import nn

from sritool.config.settings import GeneratorConfig
from sritool.model.generator import Generator
from sritool.training.freezing import frozen_names


def test_a_part_has_parameters_of_every_layer() -> None:
    generator = Generator(GeneratorConfig(4, 6, 2, layers=3, residual=True), 9)
    modules = nn.ModuleDict({"generator": generator})
    found = {part: frozen_names(modules, [part]) for part in ("recurrence", "latent", "output", "embedding")}
    upper = [f"generator.upper.{number}." for number in range(2)]
    assert {
        f"{place}{name}" for place in upper for name in ("inputs_to_gates", "recurrent", "gate_bias")
    } < found["recurrence"]
    assert {f"{place}{name}" for place in upper for name in ("latent_to_initial", "initial_bias")} < found[
        "latent"
    ]
    assert "generator.embedding_to_output" in found["output"]
    names = [name for parts in found.values() for name in parts]
    assert sorted(names) == sorted(name for name, _ in modules.named_parameters())
