"""Runs the program in this process, with settings for training in a second."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from sritool.cli.app import app

_SMALL = """\
[generator]
embedding = {embedding}
hidden = {hidden}
latent = {latent}
dropout_mask = "token"
tied_embeddings = false
weight_drop = 0

# A few updates must give a model that generates text.

[optimizer]
warmup = 0
weight_decay = 0
ema_decay = 0

[sampler]
steps = {steps}

[training]
epochs = {epochs}
batch_size = {batch_size}
precision = "float32"

[validation]
share = 0.0
sentences = {sentences}
final_sentences = {final_sentences}

[validation.likelihood]
samples = 4
pilots = 8
rounds = 1
"""


def sritool(*args: object, stdin: str | bytes | None = None) -> Result:
    """Run the program in this process and the current folder."""
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="sritool")


def small_settings(**changes: int) -> str:
    """Return the text of a settings file with some sizes changed."""
    sizes = {
        "embedding": 8,
        "hidden": 16,
        "latent": 4,
        "steps": 3,
        "epochs": 2,
        "batch_size": 16,
        "sentences": 8,
        "final_sentences": 6,
    }
    return _SMALL.format_map(sizes | changes)
