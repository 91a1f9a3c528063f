"""The autoencoder that a method may start from: how long it is trained, and which parts are kept."""

from __future__ import annotations

import math
from pathlib import Path

from sritool.config.settings import RunConfig
from sritool.data.store import Corpus
from sritool.errors import DataError, UsageError
from sritool.methods.base import Method
from sritool.runs.checkpoint import Checkpoint, load_checkpoint
from sritool.runs.weights import load_weights, method_without_memory
from sritool.training.freezing import frozen_names


def pretraining_epochs(config: RunConfig) -> int:
    """Return the epochs planned for the autoencoder."""
    settings = config.pretraining
    return settings.epochs or max(1, math.ceil(settings.share * config.training.epochs - 1e-9))


def begins_as_autoencoder(method: Method, config: RunConfig) -> bool:
    """Return whether a new run trains an autoencoder first: its method needs one, and no checkpoint is given."""
    return method.pretrains and not (config.pretraining.encoder or config.warm_start.checkpoint)


def continue_from_encoder(method: Method) -> None:
    """Keep the encoder and redraw the generator, except frozen parts and given embeddings."""
    config, modules = method.config, method.modules
    kept = frozen_names(modules, config.optimizer.freeze)
    if config.warm_start.embeddings:
        kept |= {"generator.embedding"}
    weights = {n: tensor.detach().clone() for n, tensor in modules.named_parameters() if n in kept}
    method.end_pretraining()
    modules.load_state_dict(weights, strict=False)


def take_encoder(method: Method, path: Path, corpus: Corpus) -> None:
    """Copy the encoder of a checkpoint.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UsageError: It is not an autoencoder, or has another size or kind.
        DataError: It was trained on another corpus.
    """
    given = load_checkpoint(path)
    method_without_memory(given, path)
    prefix = "encoder."
    weights = {
        name.removeprefix(prefix): value for name, value in given.weights.items() if name.startswith(prefix)
    }
    if not weights:
        raise UsageError(f"{path} is a run of {given.config.method}, which has no encoder; give one of ae")
    if not is_autoencoder(given):
        raise UsageError(f"{path} is a run of {given.config.method}, not an autoencoder; give one of ae")
    if given.corpus.content_hash != corpus.info.content_hash:
        raise DataError(f"{path} was trained on another corpus, {given.corpus.name}; give one of this corpus")
    _check_settings(method.config, given.config, path)
    load_weights(method.modules["encoder"], weights, path)


def is_autoencoder(given: Checkpoint) -> bool:
    """Return whether a checkpoint is an autoencoder; a method that begins as one takes only its encoder."""
    return given.config.method == "ae" or given.progress.pretraining


def _check_settings(mine: RunConfig, theirs: RunConfig, path: Path) -> None:
    for name in ("embedding", "hidden", "latent"):
        ours, given = getattr(mine.generator, name), getattr(theirs.generator, name)
        if ours != given:
            raise UsageError(f"the encoder in {path} has {name} {given}, not {ours}; give --{name} {given}")
    biased = theirs.generator.code_bias
    if biased != mine.generator.code_bias:
        raise UsageError(
            f"the encoder in {path} has {'a' if biased else 'no'} bias in its last map; "
            f"give --set generator.code_bias={str(biased).lower()}"
        )
    noise = theirs.autoencoder.noise
    if noise != mine.autoencoder.noise:
        trained = "with" if noise else "without"
        raise UsageError(
            f"the autoencoder in {path} was trained {trained} noise; to begin with it all the same, "
            f"give --set autoencoder.noise={str(noise).lower()}"
        )
