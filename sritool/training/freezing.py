"""Freezing parts of a model while the rest is trained: no gradient, no optimiser state, no decay."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sritool.errors import UsageError
from sritool.methods.base import Method

_MEMBERS = {
    "recurrence": ("words_to_gates", "recurrent", "gate_bias", "inputs_to_gates"),
    "latent": ("latent_to_gates", "latent_to_initial", "initial_bias"),
    "output": ("output", "output_bias", "hidden_to_embedding", "embedding_to_output"),
}
"""Part of the generator -> names of its parameters, in each layer. A part may also be a module as a whole."""


def frozen_names(modules: nn.Module, parts: Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters in these parts, which are named as in the setting `optimizer.freeze`.

    With tied embeddings the output layer is the embeddings, so either name freezes both.
    """
    names = [name for name, _ in modules.named_parameters()]
    members = {member for part in parts for member in _MEMBERS.get(part, ())}
    if "output" in parts and "generator.output" not in names:
        members.add("embedding")

    def is_frozen(name: str) -> bool:
        module, last = name.partition(".")[0], name.rpartition(".")[2]
        of_both = last == "embedding" and "embedding" in parts  # of the generator and of an encoder
        return module in parts or of_both or (module == "generator" and last in members)

    return frozenset(filter(is_frozen, names))


def trained_parameters(modules: nn.Module, parts: Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters that are trained when these parts are frozen, in the order of the modules."""
    frozen = frozen_names(modules, parts)
    return [p for name, p in modules.named_parameters() if p.numel() and name not in frozen]


def without_gradient(modules: nn.Module, parts: Sequence[str]) -> None:
    """Drop the gradients of frozen parts, so that neither clipping nor an update sees them."""
    if not parts:
        return
    frozen = frozen_names(modules, parts)
    for name, parameter in modules.named_parameters():
        if name in frozen:
            parameter.grad = None


def check_freezing(method: Method) -> None:
    """Check that the frozen parts exist, and that each update of a new method has something left to train.

    Raises:
        UsageError: The method has no such part, or nothing is left to train.
    """
    modules, parts = method.modules, method.config.optimizer.freeze
    if not parts:
        return
    if "encoder" in parts and not frozen_names(modules, ["encoder"]):
        raise UsageError(f"method {method.name} has no encoder to freeze; leave it out of --freeze")
    frozen = frozen_names(modules, parts)
    left = {name.split(".")[0] for name, p in modules.named_parameters() if p.numel() and name not in frozen}
    if not left:
        raise UsageError(f"--freeze {','.join(parts)} leaves nothing to train; freeze fewer parts")
    if method.updates_beside and len(left) == 1:
        raise UsageError(
            f"{method.name} updates its encoder and its generator in turn, and --freeze {','.join(parts)} leaves "
            f"only the {left.pop()} to train; freeze fewer parts, or take --method vae-anneal"
        )
