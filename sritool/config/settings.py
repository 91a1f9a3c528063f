"""All settings of a run, as frozen dataclasses whose fields' types say what they allow.

Each class is a table of the TOML file. Every field is read somewhere, which a test holds. `sritool.config.values`
makes these from plain values and TOML.
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
"""One number stands for a list of one."""


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
    """One text of names with commas between stands for a list of them."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


FrozenPart = Literal["embedding", "recurrence", "latent", "output", "generator", "encoder"]
FrozenParts = Annotated[tuple[FrozenPart, ...], Field(max_length=6), FailFast(), BeforeValidator(_parts)]
NumberOrShare = Annotated[float | Literal["1/batch"], PlainValidator(_number_or_share)]
"""A positive number, or one by the sentences of a batch."""
RateOrSame = Annotated[float | Literal["same"], PlainValidator(_rate_or_same)]
"""A dropout rate of its own, or that of another setting."""


@settings
class GeneratorConfig:
    """Sizes of p(x|z), and what is dropped while it learns."""

    embedding: Size = 128
    hidden: Size = 512
    latent: Annotated[int, Field(strict=True, ge=0, le=1 << 12)] = 32  # a Hessian has its square
    dropout: ShareBelowOne = 0.5  # of the LSTM's outputs
    input_dropout: RateOrSame = "same"  # of the words' embeddings; "same": as `dropout`
    dropout_mask: Literal["token", "sentence"] = "token"  # a mask for each word, or one for all of a sentence

    layers: Annotated[int, Field(strict=True, ge=1, le=16)] = 1  # of the LSTM
    residual: Flag = False  # the output layer sees a linear map of the word before too
    tied_embeddings: Flag = False  # the output layer's weights are the words' embeddings
    word_dropout: ShareBelowOne = 0.0  # share of the words that go in as <unk>
    weight_drop: ShareBelowOne = 0.0  # share of the recurrent weights that are 0, the same for all of a batch
    code_bias: Flag = False  # of the encoder's last map; fit-prior needs one

    @property
    def input_rate(self) -> float:
        """The dropout rate of the words' embeddings."""
        return self.dropout if self.input_dropout == "same" else self.input_dropout


@settings
class SamplerConfig:
    """The short-run chain, eq. (6)-(7), and where along it θ gets its gradient.

    These defaults are the paper's. The other samplers are in `config.samplers`, and so is the name of the one that a
    run gets unless it asks.
    """

    name: Name = "paper"
    steps: Steps = 20
    step_sizes: StepSizes = (0.01,)  # s_k; the last one goes on
    temperature: Schedule = constant(1.0)  # τ over the planned epochs
    evaluation_temperature: Number = 1.0
    prior_weight: Schedule = constant(1.0)  # of log p(z) in a training chain's target; 1 at evaluation
    chain_dropout: Flag = False  # fresh dropout masks at each step while training
    theta_gradient: Literal["end", "path"] = "end"  # "end": at z_K; "path": also at every visited z_k
    end_weight: NumberOrShare = 1.0  # of z_K against each visited z_k when theta_gradient is "path"
    preconditioned: Flag = False  # steps by (I + F)⁻¹, F the running Fisher information of z
    exponential: Flag = False  # noise of √(s (2 − s)) in place of √(2s), exact for N(m, (I + F)⁻¹)
    truncation: Number = 0.0  # largest ‖Lᵀ∇ log p(x, z)‖ of a step, L Lᵀ = (I + F)⁻¹ or I, in √d; 0: any
    words: Count = 0  # that a training chain's softmax draws; 0, or a small vocabulary: all

    def __post_init__(self) -> None:
        if max(self.step_sizes) > self.largest_step:
            raise ValueError(f"a step size is {max(self.step_sizes)}; give 2 at most, or exponential = false")

    @property
    def largest_step(self) -> float:
        """The largest step size that the integrator allows."""
        return 2.0 if self.exponential else math.inf

    def weight_at_end(self, sentences: int) -> float:
        """Return `end_weight` as a number, in a batch of so many sentences."""
        return 1.0 / sentences if self.end_weight == "1/batch" else self.end_weight

    def schedule(self) -> list[float]:
        """Return the step sizes s_k for k = 0 … steps − 1."""
        known = self.step_sizes[: self.steps]
        return [*known, *[known[-1]] * (self.steps - len(known))]


@settings
class KlConfig:
    """The weight of KL(q ‖ prior) in an encoder method's objective: from `start` up to 1, then 1."""

    start: Share = 0.0
    ramp: Literal["linear", "sigmoid"] = "linear"
    epochs: Number = 10.0  # that it takes to rise; 0: no ramp
    share: Share = 0.5  # of the planned epochs, at most, so that a short plan ends in training at weight 1


@settings
class CyclesConfig:
    """The weight of KL(q ‖ prior) where it rises to 1 again and again (Fu et al. 2019)."""

    count: PositiveCount = 4  # in the planned epochs
    start: Share = 0.0  # of the weight, in each cycle
    ramp: Share = 0.5  # share of a cycle in which it rises; in the rest it is 1


@settings
class FreeBitsConfig:
    """The hinge on KL(q ‖ prior): below its target it has no gradient."""

    target: Number = 8.0  # nats a sentence; where each dimension has its own, they share it equally


@settings
class AutoencoderConfig:
    """How an autoencoder is trained, alone or before another method."""

    noise: Flag = False  # z is drawn from q(z|x), its KL weighs nothing; without: z is the mean


@settings
class PretrainingConfig:
    """The autoencoder whose encoder a method starts from."""

    epochs: Count = 0  # planned; 0: a share of training.epochs
    share: Share = 1 / 3
    # Epoch whose encoder goes on; "best": by validation reconstruction.
    keep: Literal["best", "last"] = "last"
    encoder: FilePath = ""  # a checkpoint to take the encoder from, in place of these epochs

    def __post_init__(self) -> None:
        if self.epochs and self.encoder:
            raise ValueError(
                f"epochs is {self.epochs}, and the encoder of {self.encoder} needs none; leave one out"
            )


@settings
class WarmStartConfig:
    """What a run's weights are taken over from when it begins, in place of random numbers."""

    checkpoint: FilePath = ""  # a run of any method
    embeddings: FilePath = ""  # word vectors, in the text formats of word2vec, GloVe and fastText
    digest: Name = ""  # SHA-256 of that file as it was read; training writes it

    def __post_init__(self) -> None:
        if self.checkpoint and self.embeddings:
            raise ValueError("checkpoint and embeddings both give the words their embeddings; leave one out")


@settings
class LaggingConfig:
    """How far the encoder runs ahead while training is aggressive (He et al. 2019)."""

    updates: PositiveCount = 99  # of the encoder alone before one of the generator, at most; as in their code
    judge_every: PositiveCount = 15  # updates between looks at the mean loss; a rise ends the loop
    information_batch: PositiveCount = 32  # validation sentences; aggressive until their MI, in these, falls


@settings
class RefinementConfig:
    """Gradient ascent on a sentence's ELBO in its own mean and log-variance, from the encoder's (Kim et al. 2018)."""

    steps: Steps = 20
    rate: PositiveNumber = 1 / 32  # published as 1, for the mean over a batch of 32
    momentum: ShareBelowOne = 0.5
    clip: Number = 5.0  # bound on the gradient's norm; 0: none
    # Of a sentence's own gradient, or of that of a batch's mean, mean and log-variance apart, as published.
    clip_over: Literal["sentence", "batch"] = "sentence"

    def alone(self, batch_size: int) -> RefinementConfig:
        """The same for a sentence by itself, as it is evaluated.

        The mean over a batch has a gradient of about 1/√batch_size of a sentence's own, so that a bound on it stands
        for one of √batch_size as much on a sentence's.
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
    halve_after: Count = 0  # epochs without a better validation before it is halved; 0: never
    halve_from: Share = 0.0  # share of the planned epochs before which it is not halved
    keep_halving: Flag = False  # once it was halved, halve it at every validation
    halvings: Count = 0  # the one that ends the run, or the stage; 0: none does
    return_to_best: Flag = False  # go on from the best model's parameters when it is halved
    warmup: Share = 0.0  # share of the planned epochs in which the learning rate rises from 0
    weight_decay: Number = 0.0  # λ, decoupled: weights, but no biases, shrink by learning rate · λ an update
    ema_decay: ShareBelowOne = 0.0  # of averaged weights, validated and kept in best.pt; 0: no average
    clip: Number = 5.0  # bound on the gradient's norm; 0: none
    initial_scale: PositiveNumber = 0.1  # parameters start in U(−scale, scale)
    embedding_scale: Number = 0.0  # the same for word embeddings; 0: as the others
    freeze: FrozenParts = ()  # that stay as they are when training begins

    def __post_init__(self) -> None:
        if self.learning_rate * self.weight_decay >= 1:
            raise ValueError(
                f"weight_decay {self.weight_decay} at the learning rate {self.learning_rate} leaves nothing of the "
                "weights; their product must be below 1"
            )


@settings
class TrainingConfig:
    """The plan of a run."""

    epochs: PositiveCount = 20
    # Share of the epochs, whole ones, at the beginning: the generator learns as a language model, without z.
    language_model: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 64
    accumulate: PositiveCount = 1  # parts of a batch, or of a process' share of it, one after another
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] = 0
    minutes: Number = 0.0  # that the command may take, like --max-time; 0: no limit
    patience: Count = 5  # epochs without a better validation; 0: never stop early
    # What best.pt is chosen by; "last": the last epoch's model.
    select: Literal["nll", "elbo", "last"] = "nll"
    # Of the products: tf32 is CUDA's, bfloat16 that of the output layer alone.
    precision: Precision = "auto"
    save_every: PositiveCount = 500  # steps between saves of last.pt
    measure_every: Count = 50  # steps between measurements of unstable Langevin steps; 0: never
    sentences: Count = 0  # of the training split, the same choice for every run; 0: all
    tune_step_every: Count = 0  # epochs between searches for the chain's step sizes; 0: never
    tune_objective: TuneObjective = "entropy"  # which side of the chain's ELBO they are chosen by


@settings
class LikelihoodConfig:
    """The `adaptive` estimator: pilot draws fit a proposal, fresh draws from it are weighed."""

    samples: Draws = 100  # M, fresh draws a sentence
    pilots: Draws = 64  # draws a sentence in each round that fits the proposal
    # At most; a sentence that gains much even in the last of several has more.
    rounds: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 3
    # Chain ends with components of their own.
    modes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 2
    degrees: Annotated[int, Field(strict=True, ge=3, le=10_000)] = 50  # of freedom of the Student proposal


@settings
class ValidationConfig:
    """What is measured after an epoch, on the same sentences each time."""

    # At most so many; how many, how many draws and how often follow from `share`.
    sentences: Annotated[int, Field(strict=True, ge=2, le=1_000_000_000)] = 256
    # Of the test split, at the end of training; at most.
    final_sentences: Annotated[int, Field(strict=True, ge=2, le=1_000_000_000)] = 512
    share: Share = 0.1  # of training that all measuring may take; 0: no bound
    likelihood: LikelihoodConfig = field(default_factory=lambda: LikelihoodConfig(samples=50, rounds=3))


@settings
class RunConfig:
    """Everything a run is made of; a checkpoint carries it."""

    method: Name = "sri"
    recipe: Name = ""  # that the settings began from; "" in runs from before there were recipes
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
        """Whole epochs of the plan before z is inferred; none where there is no z, or weights are taken over."""
        if not self.generator.latent or self.warm_start.checkpoint:
            return 0
        return math.floor(self.training.language_model * self.training.epochs + 1e-9)
