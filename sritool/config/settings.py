"""All settings of a run, as frozen dataclasses whose field types define the allowed values.

Each class is a table of the TOML file. A test checks that every field is used. `sritool.config.values` builds these
classes from plain values and TOML.
"""

from __future__ import annotations

import math
from dataclasses import field, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, FailFast, Field, PlainValidator

from sritool.config.schedules import Ramp, Schedule, constant
from sritool.config.validation import (
    Count,
    Draws,
    FilePath,
    Flag,
    Name,
    Number,
    PositiveCount,
    PositiveNumber,
    Share,
    ShareBelowOne,
    Size,
    Steps,
    settings,
)
from sritool.errors import quoted

Precision = Literal["auto", "float32", "tf32", "bfloat16"]
TuneObjective = Literal["entropy", "given-noise"]

StepSizes = Annotated[
    tuple[PositiveNumber, ...],
    Field(min_length=1, max_length=100_000),
    FailFast(),
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,)),
]
"""A list of step sizes; a single number stands for a list of one."""


def _number_or_share(value: Any) -> Any:
    is_number = type(value) in (int, float) and 0 < value <= 1e38
    if not is_number and value != "1/batch":
        raise ValueError(f'it is {quoted(value)}; it should be a number above 0, or "1/batch"')
    return float(value) if is_number else value


def _rate_or_same(value: Any) -> Any:
    is_rate = type(value) in (int, float) and 0 <= value < 1
    if not is_rate and value != "same":
        raise ValueError(f'it is {quoted(value)}; it should be a number from 0 to below 1, or "same"')
    return float(value) if is_rate else value


def _parts(value: Any) -> Any:
    """Split a string of comma-separated names into a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


FrozenPart = Literal["embedding", "recurrence", "latent", "output", "generator", "encoder"]
FrozenParts = Annotated[tuple[FrozenPart, ...], Field(max_length=6), FailFast(), BeforeValidator(_parts)]
NumberOrShare = Annotated[float | Literal["1/batch"], PlainValidator(_number_or_share)]
"""A positive number, or "1/batch": one divided by the number of sentences in a batch."""
RateOrSame = Annotated[float | Literal["same"], PlainValidator(_rate_or_same)]
"""A dropout rate, or "same" for that of another setting."""


@settings
class GeneratorConfig:
    """Sizes of p(x|z), and its dropout during training."""

    embedding: Size = 128
    hidden: Size = 512
    latent: Annotated[int, Field(strict=True, ge=0, le=1 << 12)] = 32  # a Hessian has latent² entries
    dropout: ShareBelowOne = 0.5  # of the LSTM's outputs
    input_dropout: RateOrSame = "same"  # of the word embeddings; "same": as `dropout`
    dropout_mask: Literal["token", "sentence"] = "token"  # one mask per word, or one per sentence

    layers: Annotated[int, Field(strict=True, ge=1, le=16)] = 1  # of the LSTM
    residual: Flag = False  # a linear map of the previous word also feeds the output layer
    tied_embeddings: Flag = False  # the output layer's weights are the word embeddings
    word_dropout: ShareBelowOne = 0.0  # share of the input words replaced by <unk>
    weight_drop: ShareBelowOne = 0.0  # share of the recurrent weights set to 0, the same for a whole batch
    code_bias: Flag = False  # bias in the encoder's last map; fit-prior needs it

    @property
    def input_rate(self) -> float:
        """The dropout rate of the word embeddings."""
        return self.dropout if self.input_dropout == "same" else self.input_dropout


@settings
class SamplerConfig:
    """The short-run chain, eq. (6)-(7), and the points along it that give θ its gradient.

    The defaults are the paper's. `config.samplers` has the other samplers and the name of the default one.
    """

    name: Name = "paper"
    steps: Steps = 20
    step_sizes: StepSizes = (0.01,)  # s_k; the last one is repeated
    temperature: Schedule = constant(1.0)  # τ over the planned epochs
    evaluation_temperature: Number = 1.0
    prior_weight: Schedule = constant(1.0)  # of log p(z) in a training chain's target; 1 at evaluation
    chain_dropout: Flag = False  # new dropout masks at each step during training
    theta_gradient: Literal["end", "path"] = "end"  # "end": at z_K; "path": also at every visited z_k
    end_weight: NumberOrShare = 1.0  # of z_K against each visited z_k when theta_gradient is "path"
    preconditioned: Flag = False  # steps by (I + F)⁻¹, F the running Fisher information of z
    exponential: Flag = False  # noise of √(s (2 − s)) instead of √(2s), exact for N(m, (I + F)⁻¹)
    truncation: Number = (
        0.0  # largest ‖Lᵀ∇ log p(x, z)‖ of a step, L Lᵀ = (I + F)⁻¹ or I, in units of √d; 0: none
    )
    words: Count = 0  # sampled for a training chain's softmax; all if 0 or if the vocabulary is smaller

    def __post_init__(self) -> None:
        if max(self.step_sizes) > self.largest_step:
            raise ValueError(f"a step size is {max(self.step_sizes)}; give at most 2, or exponential = false")

    @property
    def largest_step(self) -> float:
        """The largest step size that the integrator allows."""
        return 2.0 if self.exponential else math.inf

    def weight_at_end(self, sentences: int) -> float:
        """Return `end_weight` as a number, for a batch of this many sentences."""
        return 1.0 / sentences if self.end_weight == "1/batch" else self.end_weight

    def schedule(self) -> list[float]:
        """Return the step sizes s_k for k = 0 … steps − 1."""
        known = self.step_sizes[: self.steps]
        return [*known, *[known[-1]] * (self.steps - len(known))]


@settings
class KlConfig:
    """The weight of KL(q ‖ prior) in an encoder method's objective: it rises from `start` to 1 and stays there."""

    start: Share = 0.0
    ramp: Literal["linear", "sigmoid"] = "linear"
    epochs: Number = 10.0  # length of the rise; 0: no ramp
    share: Share = 0.5  # longest rise, of the planned epochs, so that even a short plan ends at weight 1


@settings
class CyclesConfig:
    """The weight of KL(q ‖ prior) where it rises to 1 repeatedly (Fu et al. 2019)."""

    count: PositiveCount = 4  # cycles in the planned epochs
    start: Share = 0.0  # weight at the start of each cycle
    ramp: Share = 0.5  # share of a cycle during which it rises; then it is 1


@settings
class FreeBitsConfig:
    """The hinge on KL(q ‖ prior), which has no gradient below its target."""

    target: Number = 8.0  # nats per sentence; divided equally where each dimension has a target


@settings
class AutoencoderConfig:
    """How an autoencoder is trained, by itself or to pretrain another method."""

    noise: Flag = False  # draw z from q(z|x), at KL weight 0; otherwise z is the mean


@settings
class PretrainingConfig:
    """Pretraining: the autoencoder whose encoder a method starts from."""

    epochs: Count = 0  # planned; 0: a share of training.epochs
    share: Share = 1 / 3
    # Epoch whose encoder is used; "best": by validation reconstruction.
    keep: Literal["best", "last"] = "last"
    encoder: FilePath = ""  # a checkpoint to take the encoder from instead of pretraining

    def __post_init__(self) -> None:
        if self.epochs and self.encoder:
            raise ValueError(
                f"epochs is {self.epochs}, but the encoder from {self.encoder} needs none; leave one out"
            )


@settings
class WarmStartConfig:
    """Where a run takes its initial weights from, instead of random numbers."""

    checkpoint: FilePath = ""  # of any method
    embeddings: FilePath = ""  # word vectors, in the text formats of word2vec, GloVe and fastText
    digest: Name = (
        ""  # SHA-256 of the file as it was read (of the embeddings, if there are two); set by training
    )

    def __post_init__(self) -> None:
        if self.checkpoint and self.embeddings:
            raise ValueError("checkpoint and embeddings both set the word embeddings; leave one out")


@settings
class LaggingConfig:
    """How far the encoder runs ahead while training is aggressive (He et al. 2019)."""

    updates: PositiveCount = (
        99  # most updates of the encoder alone before one of the generator; as in their code
    )
    judge_every: PositiveCount = 15  # updates between checks of the mean loss; a rise ends the loop
    information_batch: PositiveCount = (
        32  # validation sentences; aggressive training ends when their MI falls
    )


@settings
class RefinementConfig:
    """Gradient ascent on a sentence's ELBO over its mean and log-variance, from the encoder's (Kim et al. 2018)."""

    steps: Steps = 20
    rate: PositiveNumber = 1 / 32  # published as 1, for the mean over a batch of 32
    momentum: ShareBelowOne = 0.5
    clip: Number = 5.0  # bound on the gradient's norm; 0: none
    # "sentence": bounds each sentence's gradient; "batch", as published: that of a batch's mean ELBO, for mean and
    # log-variance separately.
    clip_over: Literal["sentence", "batch"] = "sentence"

    def alone(self, batch_size: int) -> RefinementConfig:
        """Return equivalent settings for a single sentence, as evaluation needs them.

        The gradient of the mean over a batch is about 1/√batch_size of a sentence's own, so a bound on it corresponds
        to a bound √batch_size times as large on a sentence's.
        """
        if self.clip_over == "sentence":
            return self
        return replace(self, clip=self.clip * batch_size**0.5, clip_over="sentence")


@settings
class OptimizerConfig:
    """How the parameters θ are updated."""

    name: Literal["adam", "sgd"] = "adam"
    learning_rate: PositiveNumber = 4e-3
    # Factor on the learning rate over the planned epochs.
    decay: Schedule = Ramp(1.0, 1 / 3, begin=0.5)
    halve_after: Count = 0  # epochs without improvement in validation before the rate is halved; 0: never
    halve_from: Share = 0.0  # share of the planned epochs before which the rate is not halved
    keep_halving: Flag = False  # after the first halving, halve at every validation
    halvings: Count = 0  # number of halvings that ends the run or the stage; 0: no end
    return_to_best: Flag = False  # when halving, continue from the best model's parameters
    warmup: Share = 0.0  # share of the planned epochs during which the learning rate rises from 0
    weight_decay: Number = 0.0  # λ, decoupled: weights, not biases, shrink by learning rate · λ per update
    ema_decay: ShareBelowOne = (
        0.0  # of the weight average, which is validated and saved in best.pt; 0: no average
    )
    clip: Number = 5.0  # bound on the gradient's norm; 0: none
    initial_scale: PositiveNumber = 0.1  # parameters start in U(−scale, scale)
    embedding_scale: Number = 0.0  # the same for word embeddings; 0: use initial_scale
    freeze: FrozenParts = ()  # not trained

    def __post_init__(self) -> None:
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"weight_decay {self.weight_decay} at learning rate {self.learning_rate} removes the weights "
                "completely; their product must be below 1"
            )


@settings
class TrainingConfig:
    """The training plan of a run."""

    epochs: PositiveCount = 20
    # Share of the epochs, rounded down to whole ones, that first train the generator as a language model, without z.
    language_model: ShareBelowOne = 0.0
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 64
    accumulate: PositiveCount = 1  # parts that a batch, or a process' share of it, is processed in
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] = 0
    minutes: Number = 0.0  # time limit of the command, like --max-time; 0: no limit
    patience: Count = 5  # epochs without improvement in validation before an early stop; 0: never
    # Criterion that chooses best.pt; "last": the last epoch's model.
    select: Literal["nll", "elbo", "last"] = "nll"
    # Of matrix products: tf32 needs CUDA, bfloat16 applies to the output layer only.
    precision: Precision = "auto"
    save_every: PositiveCount = 500  # steps between saves of last.pt
    measure_every: Count = 50  # steps between measurements of unstable Langevin steps; 0: never
    sentences: Count = 0  # used of the training split, the same selection in every run; 0: all
    tune_step_every: Count = 0  # epochs between searches for the chain's step sizes; 0: never
    tune_objective: TuneObjective = "entropy"  # which side of the chain's ELBO to choose them by


@settings
class LikelihoodConfig:
    """The `adaptive` estimator: pilot draws fit a proposal, and new draws from it are weighted."""

    samples: Draws = 100  # M, new draws per sentence
    pilots: Draws = (
        64  # draws per sentence in the last round of fitting the proposal; earlier ones have about half
    )
    # Most rounds; a sentence that still gains much in the last of several gets more.
    rounds: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 3
    # Number of chain ends that get components of their own.
    modes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 2
    degrees: Annotated[int, Field(strict=True, ge=3, le=10_000)] = 50  # of freedom of the Student proposal


@settings
class ValidationConfig:
    """What is measured after each epoch, always on the same sentences."""

    # Upper bound; the actual number, the draws and the interval follow from `share`.
    sentences: Annotated[int, Field(strict=True, ge=2, le=1_000_000_000)] = 256
    # Upper bound on the test sentences measured at the end of training.
    final_sentences: Annotated[int, Field(strict=True, ge=2, le=1_000_000_000)] = 512
    share: Share = 0.1  # of training time that all measurements may take; 0: no bound
    likelihood: LikelihoodConfig = field(default_factory=lambda: LikelihoodConfig(samples=50, rounds=3))


@settings
class RunConfig:
    """All settings of a run, stored in its checkpoints."""

    method: Name = "sri"
    recipe: Name = ""  # that the settings are based on; "" in runs older than recipes
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    kl: KlConfig = field(default_factory=KlConfig)
    cycles: CyclesConfig = field(default_factory=CyclesConfig)
    free_bits: FreeBitsConfig = field(default_factory=FreeBitsConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    lagging: LaggingConfig = field(default_factory=LaggingConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    @property
    def language_model_epochs(self) -> int:
        """Whole epochs before z is inferred; 0 if there is no z, or if the weights come from a checkpoint."""
        if not self.generator.latent or self.warm_start.checkpoint:
            return 0
        epochs = self.training.epochs
        return min(epochs - 1, math.floor(self.training.language_model * epochs + 1e-9))
