"""Training methods by name."""

from __future__ import annotations

from sritool.config.settings import RunConfig
from sritool.errors import UsageError, suggestion
from sritool.methods.base import Method
from sritool.methods.lm import LanguageModel
from sritool.methods.sa_vae import SemiAmortizedVae
from sritool.methods.sri import ShortRunInference
from sritool.methods.vae import AnnealedVae, Autoencoder, CyclicalVae, FreeBitsVae, SentenceFreeBitsVae
from sritool.methods.vae_lagging import LaggingVae

_KINDS: tuple[type[Method], ...] = (
    ShortRunInference,
    LanguageModel,
    Autoencoder,
    AnnealedVae,
    CyclicalVae,
    LaggingVae,
    SemiAmortizedVae,
    SentenceFreeBitsVae,
    FreeBitsVae,
)
METHODS: dict[str, type[Method]] = {kind.name: kind for kind in _KINDS}


def build_method(config: RunConfig, vocabulary_size: int) -> Method:
    """Build a method without drawing its parameters.

    Raises:
        UsageError: There is no such method.
    """
    if config.method not in METHODS:
        raise UsageError(f"unknown method {config.method!r}{suggestion(config.method, METHODS)}")
    return METHODS[config.method](config, vocabulary_size)
