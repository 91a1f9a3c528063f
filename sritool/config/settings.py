"""Settings of a run: frozen, validated, and every field read somewhere (a test holds that).

A section is a TOML table; see `structure` for the way there and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sritool.config.bounds import require as _require
from sritool.config.bounds import require_sane as _require_sane
from sritool.config.schedules import Ramp, constant


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of p(x|z)."""

    embedding: int = 128
    hidden: int = 512
    latent: int = 32
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _require_sane("generator", self)
        sizes = (self.embedding, self.hidden)
        _require(min(sizes) >= 1, f"generator sizes are {sizes}; give embedding and hidden of at least 1")
        _require(self.latent >= 0, f"generator.latent is {self.latent}; give 0 or more")
        _require(0 <= self.dropout < 1, f"generator.dropout is {self.dropout}; give a rate in [0, 1)")


@dataclass(frozen=True)
class SamplerConfig:
    """The short-run chain, eq. (6)-(7), and where along it θ gets its gradient."""

    name: str = "authors"
    steps: int = 20
    step_sizes: tuple[float, ...] = (0.01,)  # s_k; the last one goes on
    temperature: Ramp = constant(1.0)  # τ over the planned epochs
    evaluation_temperature: float = 1.0
    chain_dropout: bool = False  # fresh dropout masks at each step while training
    theta_gradient: str = "end"  # "end": at z_K; "path": also at every visited z_k
    end_weight: float = 1.0  # weight of z_K against each visited z_k when theta_gradient is "path"
    preconditioned: bool = False  # steps by (I + F)⁻¹, F the running Fisher information of z
    averaged_noise: bool = False  # each step shares half of its noise with the next one
    words: int = 0  # that a training chain's softmax draws; 0, or a small vocabulary: all

    def __post_init__(self) -> None:
        _require_sane("sampler", self)
        _require(self.steps >= 1, f"sampler.steps is {self.steps}; give at least 1")
        positive = bool(self.step_sizes) and min(self.step_sizes) > 0
        _require(positive, f"sampler.step_sizes are {list(self.step_sizes)}; give positive numbers")
        _require(
            self.theta_gradient in ("end", "path"),
            f"sampler.theta_gradient is {self.theta_gradient!r}; give end or path",
        )
        _require(self.words >= 0, f"sampler.words is {self.words}; give 0 (all) or more")
        _require(self.end_weight > 0, f"sampler.end_weight is {self.end_weight}; give a positive number")
        lowest = min(self.temperature.start, self.temperature.end, self.evaluation_temperature)
        _require(lowest >= 0, f"a sampler temperature is {lowest}; give 0 or more")

    def schedule(self) -> list[float]:
        """s_k for k = 0 … steps − 1."""
        known = self.step_sizes[: self.steps]
        return [*known, *[known[-1]] * (self.steps - len(known))]


@dataclass(frozen=True)
class KlConfig:
    """The weight of KL(q ‖ prior) in an encoder method's objective: from `start` up to 1, then 1."""

    start: float = 0.0
    ramp: str = "linear"  # or "sigmoid"
    epochs: float = 10.0  # that it takes to rise
    share: float = 0.5  # of the planned epochs, at most, so that a short plan ends in training at weight 1

    def __post_init__(self) -> None:
        _require_sane("kl", self)
        _require(0 <= self.start <= 1, f"kl.start is {self.start}; give a weight in [0, 1]")
        _require(self.ramp in ("linear", "sigmoid"), f"kl.ramp is {self.ramp!r}; give linear or sigmoid")
        _require(self.epochs >= 0, f"kl.epochs is {self.epochs}; give 0 (no ramp) or more")
        _require(0 <= self.share <= 1, f"kl.share is {self.share}; give a share in [0, 1]")


@dataclass(frozen=True)
class CyclesConfig:
    """The same weight going up from 0 again and again (Fu et al. 2019)."""

    count: int = 4  # in the planned epochs
    ramp: float = 0.5  # share of a cycle in which it rises; in the rest it is 1

    def __post_init__(self) -> None:
        _require_sane("cycles", self)
        _require(self.count >= 1, f"cycles.count is {self.count}; give at least 1")
        _require(0 <= self.ramp <= 1, f"cycles.ramp is {self.ramp}; give a share in [0, 1]")


@dataclass(frozen=True)
class FreeBitsConfig:
    """The hinge on KL(q ‖ prior): below its target it pulls at nothing."""

    target: float = 8.0  # nats a sentence; where each dimension has its own, they share it equally

    def __post_init__(self) -> None:
        _require_sane("free_bits", self)
        _require(self.target >= 0, f"free_bits.target is {self.target}; give 0 nats or more")


@dataclass(frozen=True)
class PretrainingConfig:
    """The autoencoder whose encoder a method starts from."""

    epochs: int = 0  # planned; 0: a third of training.epochs
    encoder: str = ""  # a checkpoint to take the encoder from, in place of these epochs

    def __post_init__(self) -> None:
        _require_sane("pretraining", self)
        _require(
            self.epochs >= 0,
            f"pretraining.epochs is {self.epochs}; give at least 1, or 0 for a third of training.epochs",
        )
        _require(
            not (self.epochs and self.encoder),
            f"pretraining.epochs is {self.epochs}, and the encoder of {self.encoder} needs none; leave one out",
        )


@dataclass(frozen=True)
class LaggingConfig:
    """How far the encoder runs ahead while training is aggressive (He et al. 2019)."""

    updates: int = 100  # of the encoder alone before one of the generator, at most
    judge_every: int = 15  # updates between looks at the mean loss; a rise ends the loop

    def __post_init__(self) -> None:
        _require_sane("lagging", self)
        _require(self.updates >= 1, f"lagging.updates is {self.updates}; give at least 1")
        _require(self.judge_every >= 1, f"lagging.judge_every is {self.judge_every}; give at least 1")


@dataclass(frozen=True)
class RefinementConfig:
    """Gradient ascent of a sentence's own ELBO in its mean and log-variance, from the encoder's (Kim et al. 2018)."""

    steps: int = 20
    rate: float = 1 / 32  # published as 1, for the mean over a batch of 32
    momentum: float = 0.5
    clip: float = 5.0  # bound on the norm of a sentence's gradient; 0: none

    def __post_init__(self) -> None:
        _require_sane("refinement", self)
        _require(self.steps >= 1, f"refinement.steps is {self.steps}; give at least 1")
        _require(self.rate > 0, f"refinement.rate is {self.rate}; give more than 0")
        _require(0 <= self.momentum < 1, f"refinement.momentum is {self.momentum}; give a number in [0, 1)")
        _require(self.clip >= 0, f"refinement.clip is {self.clip}; give 0 (none) or more")


@dataclass(frozen=True)
class OptimizerConfig:
    """How θ moves."""

    name: str = "adam"
    learning_rate: float = 1e-3
    decay: Ramp = constant(1.0)  # factor on the learning rate over the planned epochs
    halve_after: int = 0  # validations without a better one before it is halved; 0: never
    clip: float = 5.0  # bound on the gradient's norm; 0: none
    initial_scale: float = 0.1  # parameters start in U(−scale, scale)

    def __post_init__(self) -> None:
        _require_sane("optimizer", self)
        _require(self.name in ("adam", "sgd"), f"optimizer.name is {self.name!r}; give adam or sgd")
        _require(self.learning_rate > 0, f"optimizer.learning_rate is {self.learning_rate}; give more than 0")
        _require(self.halve_after >= 0, f"optimizer.halve_after is {self.halve_after}; give 0 or more")
        _require(self.clip >= 0, f"optimizer.clip is {self.clip}; give 0 (none) or more")
        lowest = min(self.decay.start, self.decay.end)
        _require(lowest >= 0, f"optimizer.decay goes to {lowest}; give 0 or more")
        _require(self.initial_scale > 0, f"optimizer.initial_scale is {self.initial_scale}; give more than 0")


@dataclass(frozen=True)
class TrainingConfig:
    """The plan of a run."""

    epochs: int = 60
    batch_size: int = 32
    seed: int = 0
    minutes: float = 0.0  # that the command may take, like --max-time; 0: no limit
    patience: int = 5  # validations in a row without a better NLL; 0: never stop early
    precision: str = "auto"  # of the products: auto, float32, tf32 (CUDA), bfloat16 (output layer)
    save_every: int = 500  # steps between saves of last.pt
    measure_every: int = 50  # steps between measurements of unstable Langevin steps; 0: never
    sentences: int = 0  # of the training split, the same choice for every run; 0: all
    tune_step_every: int = 0  # epochs between searches for the chain's step sizes; 0: never

    def __post_init__(self) -> None:
        _require_sane("training", self)
        counts = {"epochs": self.epochs, "batch_size": self.batch_size, "save_every": self.save_every}
        for name, value in counts.items():
            _require(value >= 1, f"training.{name} is {value}; give at least 1")
        for name in ("seed", "minutes", "patience", "measure_every", "sentences", "tune_step_every"):
            value = getattr(self, name)
            _require(value >= 0, f"training.{name} is {value}; give 0 or more")
        _require(
            self.precision in ("auto", "float32", "tf32", "bfloat16"),
            f"training.precision is {self.precision!r}; give auto, float32, tf32 or bfloat16",
        )


@dataclass(frozen=True)
class LikelihoodConfig:
    """The `adaptive` estimator: pilots decide, fresh draws are weighed."""

    samples: int = 100  # M, fresh draws a sentence
    pilots: int = 64  # draws a sentence in each round that fits the proposal
    rounds: int = 3  # at most
    modes: int = 2  # chain ends that get a component of their own
    degrees: int = 50  # of freedom of the Student proposal

    def __post_init__(self) -> None:
        _require_sane("likelihood", self)
        _require(self.samples >= 2, f"likelihood.samples is {self.samples}; give at least 2")
        _require(self.pilots >= 2, f"likelihood.pilots is {self.pilots}; give at least 2")
        _require(self.rounds >= 0, f"likelihood.rounds is {self.rounds}; give 0 or more")
        _require(self.modes >= 1, f"likelihood.modes is {self.modes}; give at least 1")
        _require(self.degrees > 2, f"likelihood.degrees is {self.degrees}; give more than 2")


@dataclass(frozen=True)
class ValidationConfig:
    """What is measured after an epoch, on the same sentences each time."""

    sentences: int = 256  # at most; how many, how many draws and how often follow from `share`
    final_sentences: int = 512  # of the test split, at the end of training; at most
    share: float = 0.1  # of training that all measuring may take; 0: no bound
    likelihood: LikelihoodConfig = field(default_factory=lambda: LikelihoodConfig(samples=50, rounds=3))

    def __post_init__(self) -> None:
        _require_sane("validation", self)
        fewest = min(self.sentences, self.final_sentences)
        _require(fewest >= 2, f"validation.sentences and final_sentences: {fewest}; give at least 2")
        _require(
            0 <= self.share <= 1, f"validation.share is {self.share}; give a share in [0, 1], 0 for no bound"
        )


@dataclass(frozen=True)
class RunConfig:
    """Everything a run is made of; a checkpoint carries it."""

    method: str = "sri"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    kl: KlConfig = field(default_factory=KlConfig)
    cycles: CyclesConfig = field(default_factory=CyclesConfig)
    free_bits: FreeBitsConfig = field(default_factory=FreeBitsConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    lagging: LaggingConfig = field(default_factory=LaggingConfig)
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
