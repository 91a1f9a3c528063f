"""Options of `train` that give settings: each has a flag, a variable, a key for --set and one in a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

MODEL, SAMPLER, BOUND, PLAN, RUN = "Model", "Short-run chain", "Encoder methods", "Plan", "This run"


def setting(name: str, panel: str, text: str, default: str = "") -> Any:
    """Return an option that gives a setting. Presets hold the default; here it is only shown."""
    short = ["-m"] if name == "method" else []
    return typer.Option(
        f"--{name}",
        *short,
        envvar=f"SRITOOL_{name.upper().replace('-', '_')}",
        show_envvar=False,
        show_default=default or False,
        help=text,
        rich_help_panel=panel,
    )


@dataclass(frozen=True)
class TrainingOptions:
    """Settings that have an option of their own; None where it is not given. PATHS says which setting each is."""

    method: Annotated[
        str | None,
        setting(
            "method",
            MODEL,
            "sri: short-run inference. lm: a language model, without z. With an encoder: ae, vae-anneal, "
            "vae-cyclical, vae-lagging, sa-vae, vae-fbp, vae-fb.",
            "sri",
        ),
    ] = None
    preset: Annotated[
        str | None,
        setting(
            "preset",
            MODEL,
            "Sizes and plan: ptb, snli, captions, yelp, yahoo or tiny.",
            "that of the corpus, or captions",
        ),
    ] = None
    embedding: Annotated[
        int | None, setting("embedding", MODEL, "Width of a word's embedding.", "by preset")
    ] = None
    hidden: Annotated[int | None, setting("hidden", MODEL, "Width of the LSTM.", "by preset")] = None
    latent: Annotated[int | None, setting("latent", MODEL, "Dimensions of the sentence's code z.", "32")] = (
        None
    )
    dropout: Annotated[
        float | None,
        setting("dropout", MODEL, "Dropout rate on the LSTM's inputs and outputs.", "by preset"),
    ] = None
    sampler: Annotated[
        str | None,
        setting(
            "sampler",
            SAMPLER,
            "Named settings of the chain that infers z. preconditioned: few steps, scaled by "
            "the posterior's mean covariance. paper: as the paper says. authors: as their code "
            "does. tempered: as authors, with more noise in the second half.",
            "preconditioned",
        ),
    ] = None
    theta_gradient: Annotated[
        str | None,
        setting(
            "theta-gradient",
            SAMPLER,
            "Where the generator learns. end: at the chain's last z. path: at every z on the way too.",
            "by sampler",
        ),
    ] = None
    langevin_steps: Annotated[
        int | None, setting("langevin-steps", SAMPLER, "Steps K of a sentence's chain.", "by sampler")
    ] = None
    words: Annotated[
        int | None,
        setting(
            "words",
            SAMPLER,
            "In training chains, the softmax runs over the targets and this many words drawn "
            "at random, in place of the whole vocabulary. 0 takes all words, and so does a "
            "vocabulary of less than three times as many. The generator's own update always "
            "takes all.",
            "by sampler",
        ),
    ] = None
    tune_step_every: Annotated[
        int | None,
        setting(
            "tune-step-every",
            SAMPLER,
            "Tune the step sizes again after this many epochs, as tune-step does; 0: never.",
            "0",
        ),
    ] = None
    ramp: Annotated[
        str | None,
        setting("ramp", BOUND, "How the KL term's weight rises to 1: linear or sigmoid.", "linear"),
    ] = None
    target_kl: Annotated[
        float | None,
        setting(
            "target-kl",
            BOUND,
            "Nats a sentence up to which the KL costs nothing: of vae-fbp as a whole, of "
            "vae-fb shared out among the dimensions.",
            "8 for vae-fb, 3 for vae-fbp",
        ),
    ] = None
    pretraining_epochs: Annotated[
        int | None,
        setting(
            "pretraining-epochs",
            BOUND,
            "Epochs as a plain autoencoder, before those of --epochs, for vae-fb and vae-fbp; "
            "0: a third of --epochs.",
            "0",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        setting("epochs", PLAN, "Planned passes over the corpus; schedules span them.", "by preset"),
    ] = None
    batch_size: Annotated[int | None, setting("batch-size", PLAN, "Sentences in a batch.", "by preset")] = (
        None
    )
    learning_rate: Annotated[
        float | None, setting("learning-rate", PLAN, "Learning rate at the start.", "by preset")
    ] = None
    seed: Annotated[int | None, setting("seed", PLAN, "Seed of every random draw.", "0")] = None
    patience: Annotated[
        int | None,
        setting(
            "patience", PLAN, "Stop after this many validations in a row without a better NLL; 0: never.", "5"
        ),
    ] = None
    save_every: Annotated[
        int | None, setting("save-every", RUN, "Steps between saves of last.pt.", "by preset")
    ] = None
    precision: Annotated[
        str | None,
        setting(
            "precision",
            "Device",
            "Precision of matrix products in training: float32, bfloat16 (output layer), tf32 "
            "(CUDA), or auto: the fastest here.",
            "auto",
        ),
    ] = None

    def by_source(self, ctx: typer.Context) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of the environment and those of flags, as nested values."""
        from sritool.config.values import merge, nested

        variables: dict[str, Any] = {}
        flags: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value, source = getattr(self, name), ctx.get_parameter_source(name)
            if value is None or source is None:
                continue
            if source.name == "ENVIRONMENT":
                variables = merge(variables, nested(PATHS[name], value))
            else:
                flags = merge(flags, nested(PATHS[name], value))
        return variables, flags


PATHS = {
    "method": "method",
    "preset": "preset",
    "embedding": "generator.embedding",
    "hidden": "generator.hidden",
    "latent": "generator.latent",
    "dropout": "generator.dropout",
    "sampler": "sampler.name",
    "theta_gradient": "sampler.theta_gradient",
    "langevin_steps": "sampler.steps",
    "words": "sampler.words",
    "ramp": "kl.ramp",
    "target_kl": "free_bits.target",
    "pretraining_epochs": "pretraining.epochs",
    "tune_step_every": "training.tune_step_every",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "learning_rate": "optimizer.learning_rate",
    "seed": "training.seed",
    "patience": "training.patience",
    "save_every": "training.save_every",
    "precision": "training.precision",
}
"""Field of TrainingOptions -> the setting that it gives."""
