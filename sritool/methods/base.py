"""The interface of a training method to the trainer and the evaluator.

A method owns its modules, turns a batch into gradients, and draws from its own q(z|x). The loop, the optimiser,
clipping, validation, checkpoints and signals belong to the trainer and are the same for all methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

from torch import Tensor, nn

from sritool.config.settings import RunConfig
from sritool.data.batches import Batch
from sritool.errors import UsageError
from sritool.inference.refinement import Refinement
from sritool.model.conditional import Conditional, Weights
from sritool.model.generator import Generator
from sritool.model.random import Stream
from sritool.model.workspace import Workspace
from sritool.processes import ALONE


class Clock(NamedTuple):
    """The position of a step in the plan; schedules and noise may depend on nothing else."""

    seed: int
    epoch: int  # 0-based
    step: int  # updates of θ before this one
    progress: float  # epochs done / epochs planned, with the part done of the present one

    def stream(self, purpose: str) -> Stream:
        """Return the random numbers for one purpose in this epoch."""
        return Stream(self.seed, purpose, self.epoch)


UPDATE = 3.0  # cost of an update of θ at one z, in forward passes of p(x|z); timed
GRADIENT = 2.0  # cost of log p(x|z) with its gradient in z, in the same passes


class Work(NamedTuple):
    """Cost of a method for one sentence, in forward passes of p(x|z) over the whole vocabulary."""

    training: float  # one update
    inference: float  # two draws of q(z|x), as in validation


class PriorKl(NamedTuple):
    """KL of a method's q(z|x) to the prior, sentence by sentence."""

    kl: Tensor  # nats  [batch]
    folded: Tensor  # share of a chain's steps that may not be one-to-one; 0 for an encoder  [batch]


class Method(ABC):
    """One way to train p_θ(x|z)."""

    name: ClassVar[str]
    has_code: ClassVar[bool] = True  # False: its generator has no z
    has_chain: ClassVar[bool] = False  # q(z|x) is where a Langevin chain ends, rather than an encoder's
    sections: ClassVar[frozenset[str]] = frozenset()  # settings tables only some methods read
    chosen_by: ClassVar[str] = "nll"  # the validation figure that is lowest in best.pt
    validated: ClassVar[tuple[str, ...]] = ("nll", "recon", "posterior-kl", "mi-upper", "au", "permuted")
    closed_form_kl: ClassVar[bool] = False  # its KL to the prior is almost free to compute
    pretrains: ClassVar[bool] = False  # begins as an autoencoder and keeps its encoder
    refinement: Refinement | None = None  # of the encoder's q(z|x), whenever it is measured

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        self.config = config
        # Of the output layer in training and for pilots; set by whatever trains or loads the method.
        self.precision = "float32"
        self.generator = Generator(config.generator, vocabulary_size)
        self.modules: nn.ModuleDict = nn.ModuleDict({"generator": self.generator})
        self.pretraining = False  # True while it is an autoencoder; set by the trainer
        self.epochs_before_z = config.language_model_epochs  # set by the trainer once z has begun
        self.processes = ALONE  # the processes that share a batch; set by the trainer
        self._workspace = Workspace()

    @property
    def has_density(self) -> bool:
        """Whether q(z|x) has a density, and so a KL to the prior."""
        return True

    def refined(self, refinement: Refinement) -> Self:
        """Return the same model with another q(z|x) for measurements: the encoder's after these steps.

        Raises:
            UsageError: The method has no encoder.
        """
        raise UsageError(
            f"refinement begins at an encoder, and {self.name} has none; leave --refine-steps out"
        )

    @property
    def root(self) -> Tensor | None:
        """L of the chain's preconditioner P = L Lᵀ [latent, latent]; None: the identity, or no chain."""
        return None

    @property
    def latent(self) -> int:
        """Dimensions of z; 0 for a language model."""
        return self.config.generator.latent

    def initialise(self) -> None:
        """Draw the starting parameters from the run's seed."""
        self.draw_generator()

    def draw_generator(self, purpose: str = "") -> None:
        """Draw the generator's parameters from the run's seed; another purpose gives other parameters."""
        scales = self.config.optimizer
        seed = self.config.training.seed
        self.generator.initialise(scales.initial_scale, seed, purpose, scales.embedding_scale)

    def conditional(self, batch: Batch, precision: str = "float32") -> Conditional:
        """Return p(x|·) of the batch under the present parameters."""
        return Conditional(Weights(self.generator, precision, self._workspace), batch)

    def rough(self, conditional: Conditional) -> Conditional:
        """Return p(x|·) of the same batch, with bfloat16 products if `precision` says so; for pilots only."""
        return (
            self.conditional(conditional.batch, "bfloat16") if self.precision == "bfloat16" else conditional
        )

    @abstractmethod
    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write `.grad` of every parameter for a batch or a part of one.

        The gradients of all parts add up to those of the batch, as each is divided by the sentences of the whole.

        Args:
            batch: The sentences; a part may have none.
            clock: Where in the plan the update is; noise and schedules depend on it alone.
            whole: The batch that `batch` is a part of; None: `batch` is the whole.

        Returns:
            Sums over the sentences: "recon" (−log p(x|z) in nats under dropout) and the method's own columns. A key
            that starts with "mean " is already a mean, and may be missing in some steps.
        """

    def assign(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Write `.grad` of the parameters, by module and name; a module without gradients is not updated."""
        for module, found in gradients.items():
            for name, parameter in self.modules[module].named_parameters():
                parameter.grad = found.get(name)

    def statistics(self) -> list[Tensor]:
        """Return sums over the sentences of the last gradients, for `after_update`.

        If these were the gradients of a part, the trainer replaces the sums by those of the whole batch first.
        """
        return []

    def after_update(self) -> None:  # noqa: B027 - most methods keep nothing
        """Update running statistics from the last gradients, after θ was moved along them."""

    def work(self) -> Work:
        """Return the rough cost of training and inference; validation is limited to a share of training."""
        return Work(UPDATE, 0.0)

    def settled_at(self) -> float:
        """Return the share of the planned epochs after which none of the method's own schedules moves."""
        return 0.0

    def end_pretraining(self) -> None:
        """Keep the encoder, and start everything else afresh."""
        self.pretraining = False

    def beside(self, clock: Clock, planned: int, batches: int) -> int | None:
        """Return the index of the batch for an extra update before the planned one; None if the planned one is next.

        `planned` is the index of the planned batch, of `batches` in the epoch.
        """
        return None

    @property
    def updates_beside(self) -> int:
        """The most extra updates before a planned one."""
        return 0

    def end_beside(self) -> None:  # noqa: B027 - most methods have none
        """Make only planned updates from here on."""

    def after_epoch(self, batches: Iterable[Batch], noise: Stream) -> dict[str, float]:
        """Return the method's own figures on all validation sentences, as columns; `noise` differs between epochs."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return the state to save beside parameters and clock, as plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`.

        Raises:
            ValueError: The state belongs to another method.
        """
        if state:
            raise ValueError(f"method {self.name} keeps no state")

    @property
    def has_exact_mean(self) -> bool:
        """Whether `posterior_mean` is the exact mean of q(z|x), in closed form."""
        return False

    @property
    def posterior_name(self) -> str:
        """Name of q(z|x) in tables."""
        return self.name

    @abstractmethod
    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """Return KL(q(z|x) ‖ p(z)) of each sentence; a method that only has a bound says which."""

    @abstractmethod
    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Draw from q(z|x) as in evaluation, `chains` times per sentence: [chains, batch, latent].

        The draws of a sentence depend on the seed and on no other sentence.
        """

    @abstractmethod
    def posterior_mean(self, conditional: Conditional, seed: int) -> Tensor:
        """Return the mean of q(z|x), exact for an encoder; for a chain, its end without noise: [batch, latent].

        The seed is for an encoder's refinement. If the steps of a chain are linear in z, as on a Gaussian posterior,
        its end without noise is the mean of the ends with noise; otherwise it lies near the mode.
        """
