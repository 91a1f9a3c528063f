"""Options of `train` that give settings, and those of commands that carry out a plan of other commands.

A setting has a flag, an environment variable, and a key for --set and TOML files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated, Any, get_type_hints

import typer

from sritool.cli.options.models import device_option
from sritool.cli.options.values import duration
from sritool.cli.signatures import in_panel

plan_option = in_panel("Plan")
work_option = in_panel("Running the plan")
run_option = in_panel("This run")


def setting(path: str, *flags: str, declare: Any = typer.Option) -> Any:
    """Return an option that gives a setting; the default is in the presets, and docstrings only show it.

    Args:
        path: Key of the setting, as in --set.
        *flags: The flags; by default, `--` and the last part of the path. The first one names the variable.
        declare: `typer.Option`, or what `in_panel` returns.
    """
    flags = flags or (f"--{path.rpartition('.')[2].replace('_', '-')}",)
    variable = f"SRITOOL_{flags[0][2:].upper().replace('-', '_')}"
    info = declare(*flags, envvar=variable, show_envvar=False, show_default=False)
    info.setting_path = path
    return info


model_setting = partial(setting, declare=in_panel("Model"))
chain_setting = partial(setting, declare=in_panel("Short-run chain"))
encoder_setting = partial(setting, declare=in_panel("Encoder methods"))
plan_setting = partial(setting, declare=plan_option)
run_setting = partial(setting, declare=run_option)
device_setting = partial(setting, declare=device_option)


@dataclass(frozen=True)
class TrainingOptions:
    """Settings that have their own option; None if it is not given.

    Attributes:
        method: sri: short-run inference. lm: a language model, without z. With an encoder: ae, vae-anneal,
            vae-cyclical, vae-lagging, sa-vae, vae-fbp, vae-fb. [default: sri]
        preset: Sizes and plan: ptb, snli, captions, yelp, yahoo or tiny. [default: that of the corpus, or captions]
        recipe: Training plan: ours, published (each method by the plan of its own publication), regularised (as
            ours, with the published sizes on Penn Treebank too), large (as ours, with a larger generator), or the
            path of your own TOML file. `sritool recipes` lists them. [default: ours]
        embedding: Width of a word's embedding. [default: by recipe and preset]
        embeddings: File of word vectors to start the embeddings from, as text of word2vec, GloVe or fastText,
            compressed or not. --embedding is then their width. [default: none]
        hidden: Width of the LSTM. [default: by recipe and preset]
        layers: Number of LSTM layers, all of the same width. [default: 1; 2 by large]
        latent: Dimensions of the sentence's code z. [default: 32]
        dropout: Dropout rate on the LSTM's inputs and outputs. [default: by recipe and preset]
        sampler: Named settings of the chain that infers z. exponential: few steps, scaled by the posterior's mean
            covariance, with an integrator that is exact for a Gaussian of that covariance. preconditioned: such steps
            with Euler's integrator, at a lower temperature. paper: as in the paper. authors: as in their code; yelp:
            as in their code for Yelp. tempered: as authors, with more noise in the second half.
            [default: exponential]
        theta_gradient: Where the generator learns. end: at the chain's last z. path: also at every z before it.
            [default: by sampler]
        langevin_steps: Number of steps K of a sentence's chain. [default: by sampler]
        words: In training chains, take the softmax over the targets and this many words drawn at random, in place of
            the whole vocabulary. With 0, or a vocabulary of less than three times as many words, take all. The
            generator's own update always takes all. [default: by sampler]
        tune_step_every: Number of epochs after which to tune the step sizes again, as tune-step does; 0: never.
            [default: by sampler]
        tune_objective: With --tune-step-every: choose the step sizes by entropy, or by given-noise, as in the paper;
            see tune-step. [default: by sampler]
        ramp: How the KL term's weight rises to 1: linear or sigmoid. [default: linear]
        target_kl: KL, in nats per sentence, up to which it costs nothing: for vae-fbp the total, for vae-fb divided
            among the dimensions. [default: 8 for vae-fb, 3 for vae-fbp]
        pretraining_epochs: Epochs as a plain autoencoder, before those of --epochs, for vae-fb and vae-fbp; 0: the
            recipe's share of --epochs (a third by ours). [default: 0]
        freeze: Parts that training leaves unchanged, separated by commas: embedding, recurrence, latent (the maps of
            z), output, generator, encoder. [default: none]
        epochs: Planned passes over the corpus; schedules span them. [default: by recipe and preset]
        batch_size: Sentences per batch, over all processes. [default: 64; 32 by published]
        accumulate: Compute each batch in this many parts, one after another, if it does not fit into memory; the
            result is the same. [default: 1]
        learning_rate: Initial learning rate. [default: by recipe]
        seed: Seed of every random draw. [default: 0]
        patience: Stop after this many epochs without a better validation, by the figure that selects best.pt: the
            NLL, for ae the reconstruction, with training.select=elbo the ELBO. 0: never. [default: 5; 0 by published]
        save_every: Steps between saves of last.pt. [default: by preset]
        precision: Precision of matrix products in training: float32, bfloat16 (output layer), tf32 (CUDA), or auto:
            the fastest here. [default: auto]
    """

    method: Annotated[str | None, model_setting("method", "--method", "-m")] = None
    preset: Annotated[str | None, model_setting("preset")] = None
    recipe: Annotated[str | None, model_setting("recipe")] = None
    embedding: Annotated[int | None, model_setting("generator.embedding")] = None
    embeddings: Annotated[str | None, model_setting("warm_start.embeddings")] = None
    hidden: Annotated[int | None, model_setting("generator.hidden")] = None
    layers: Annotated[int | None, model_setting("generator.layers")] = None
    latent: Annotated[int | None, model_setting("generator.latent")] = None
    dropout: Annotated[float | None, model_setting("generator.dropout")] = None
    sampler: Annotated[str | None, chain_setting("sampler.name", "--sampler")] = None
    theta_gradient: Annotated[str | None, chain_setting("sampler.theta_gradient")] = None
    langevin_steps: Annotated[int | None, chain_setting("sampler.steps", "--langevin-steps")] = None
    words: Annotated[int | None, chain_setting("sampler.words")] = None
    tune_step_every: Annotated[int | None, chain_setting("training.tune_step_every")] = None
    tune_objective: Annotated[str | None, chain_setting("training.tune_objective")] = None
    ramp: Annotated[str | None, encoder_setting("kl.ramp")] = None
    target_kl: Annotated[float | None, encoder_setting("free_bits.target", "--target-kl")] = None
    pretraining_epochs: Annotated[
        int | None, encoder_setting("pretraining.epochs", "--pretraining-epochs")
    ] = None
    freeze: Annotated[str | None, plan_setting("optimizer.freeze")] = None
    epochs: Annotated[int | None, plan_setting("training.epochs")] = None
    batch_size: Annotated[int | None, plan_setting("training.batch_size")] = None
    accumulate: Annotated[int | None, plan_setting("training.accumulate")] = None
    learning_rate: Annotated[float | None, plan_setting("optimizer.learning_rate")] = None
    seed: Annotated[int | None, plan_setting("training.seed")] = None
    patience: Annotated[int | None, plan_setting("training.patience")] = None
    save_every: Annotated[int | None, run_setting("training.save_every")] = None
    precision: Annotated[str | None, device_setting("training.precision")] = None

    def by_source(self, ctx: typer.Context) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of the environment and those of flags, as nested values."""
        from sritool.config.values import merge, nested

        variables: dict[str, Any] = {}
        flags: dict[str, Any] = {}
        for name, path in setting_paths().items():
            value, source = getattr(self, name), ctx.get_parameter_source(name)
            if value is None or source is None:
                continue
            if source.name == "ENVIRONMENT":
                variables = merge(variables, nested(path, value))
            else:
                flags = merge(flags, nested(path, value))
        return variables, flags


def setting_paths() -> dict[str, str]:
    """Return the setting that each field of `TrainingOptions` gives, like `sampler.steps`."""
    hints = get_type_hints(TrainingOptions, include_extras=True)
    return {field.name: hints[field.name].__metadata__[0].setting_path for field in fields(TrainingOptions)}


@dataclass(frozen=True)
class PlanOptions:
    """Options shared by all runs of a plan, and how the plan is run.

    Attributes:
        recipe: Recipe of all runs, as in train: a name, or the path of your own.
        assignments: A setting of all runs whose method reads it, as in train; repeatable.
        dry_run: Print the plan, with its commands and the time that each takes on this machine, and exit.
        budget: Time limit for the whole command: 90s, 9m or 8h; a number alone is in seconds. It stops in time; the
            same command continues.
    """

    recipe: Annotated[str, plan_option(metavar="NAME")] = "ours"
    assignments: Annotated[list[str] | None, plan_option("--set", metavar="KEY=VALUE")] = None
    dry_run: Annotated[bool, work_option("--dry-run")] = False
    budget: Annotated[float | None, work_option(parser=duration, metavar="TIME")] = None
