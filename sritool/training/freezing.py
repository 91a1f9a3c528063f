"""Parts of a model that stay as they are while the rest is trained: no gradient, no optimiser state, no decay."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from sritool.errors import UsageError
from sritool.methods.base import Method

_MEMBERS = {
    "embedding": ("generator.embedding", "encoder.embedding"),
    "recurrence": (
        "generator.words_to_gates",
        "generator.recurrent",
        "generator.gate_bias",
        "generator.inputs_to_gates",
    ),
    "latent": ("generator.latent_to_gates", "generator.latent_to_initial", "generator.initial_bias"),
    "output": (
        "generator.output",
        "generator.output_bias",
        "generator.hidden_to_embedding",
        "generator.embedding_to_output",
    ),
}
"""Part -> names of its parameters, of each layer. `generator` and `encoder` are those modules as a whole."""

_LAYER = re.compile(r"\.upper\.\d+\.")


def frozen_names(modules: nn.Module, parts: Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters that belong to these parts, as the setting `optimizer.freeze` has them.

    The output layer of tied embeddings is the embeddings, so that either name freezes both.
    """
    parameters = dict(modules.named_parameters())
    wanted = {name for part in parts for name in _MEMBERS.get(part, ())}
    if "output" in parts and "generator.output" not in parameters:
        wanted.add("generator.embedding")
    modules_wanted = tuple(f"{part}." for part in parts if part not in _MEMBERS)
    return frozenset(
        name
        for name in parameters
        if _LAYER.sub(".", name) in wanted or (modules_wanted and name.startswith(modules_wanted))
    )


def trained_parameters(modules: nn.Module, parts: Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters that are trained where these parts are frozen, in the order of the modules."""
    frozen = frozen_names(modules, parts)
    return [p for name, p in modules.named_parameters() if p.numel() and name not in frozen]


def without_gradient(modules: nn.Module, parts: Sequence[str]) -> None:
    """Drop the gradients of the parts that are frozen, so that neither clipping nor an update sees them."""
    if not parts:
        return
    frozen = frozen_names(modules, parts)
    for name, parameter in modules.named_parameters():
        if name in frozen:
            parameter.grad = None


def check_freezing(method: Method) -> None:
    """Check that there is something to freeze, and something left to train in each update of a new method.

    Raises:
        UsageError: The method has no such part, or nothing is left.
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
            f"{method.name} updates its encoder and its generator by turns, and --freeze {','.join(parts)} leaves "
            f"only the {left.pop()} to train; freeze fewer parts, or take --method vae-anneal"
        )
