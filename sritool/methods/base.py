"""What the trainer and the evaluator ask of a training method.

A method owns its modules, turns a batch into gradients, and draws from its own q(z|x). The loop, the optimiser,
clipping, validation, checkpoints and signals belong to the trainer and are the same for all.
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
    """Where in the plan a step is; all that schedules and noise may depend on."""

    seed: int
    epoch: int  # 0-based
    step: int  # updates of θ before this one
    progress: float  # epochs done / epochs planned, the present one in part

    def stream(self, purpose: str) -> Stream:
        """Random numbers for one purpose in this epoch."""
        return Stream(self.seed, purpose, self.epoch)


UPDATE = 3.0  # forward passes of p(x|z) that an update of θ at one z takes; timed
GRADIENT = 2.0  # passes of log p(x|z) with its gradient in z


class Work(NamedTuple):
    """What a method costs for one sentence, in forward passes of p(x|z) over the whole vocabulary."""

    training: float  # one update on it
    inference: float  # two draws of q(z|x), as they are measured


class PriorKl(NamedTuple):
    """KL of a method's q(z|x) to the prior, sentence by sentence."""

    kl: Tensor  # nats  [batch]
    folded: Tensor  # share of a chain's steps that may not be one-to-one; 0 for an encoder  [batch]


class Method(ABC):
    """One way to train p_θ(x|z)."""

    name: ClassVar[str]
    sections: ClassVar[frozenset[str]] = frozenset()  # of the settings, that are this method's own
    chosen_by: ClassVar[str] = "nll"  # the validation figure of which best.pt has the lowest
    validated: ClassVar[tuple[str, ...]] = ("nll", "recon", "posterior-kl", "mi-upper", "au", "permuted")
    closed_form_kl: ClassVar[bool] = False  # its KL to the prior costs next to nothing
    pretrains: ClassVar[bool] = False  # begins as an autoencoder, whose encoder it keeps
    refinement: Refinement | None = None  # of an encoder's q(z|x), wherever it is measured

    def __init__(self, config: RunConfig, vocabulary_size: int) -> None:
        self.config = config
        # Of the output layer while training, and for draws that are thrown away; what trains or loads it sets it.
        self.precision = "float32"
        self.generator = Generator(config.generator, vocabulary_size)
        self.modules: nn.ModuleDict = nn.ModuleDict({"generator": self.generator})
        self.pretraining = False  # while it is an autoencoder; what trains it sets it
        self.processes = ALONE  # that each get gradients of a part; what trains it sets it
        self._workspace = Workspace()

    @property
    def has_density(self) -> bool:
        """Whether its q(z|x) has a density, so that there is a KL to the prior."""
        return True

    def refined(self, refinement: Refinement) -> Self:
        """Return the same model, whose q(z|x) is the encoder's after these steps wherever it is measured.

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
        """Draw the generator's parameters from the run's seed, others for another purpose."""
        scales = self.config.optimizer
        seed = self.config.training.seed
        self.generator.initialise(scales.initial_scale, seed, purpose, scales.embedding_scale)

    def conditional(self, batch: Batch, precision: str = "float32") -> Conditional:
        """p(x|·) of the batch under the present parameters."""
        return Conditional(Weights(self.generator, precision, self._workspace), batch)

    def rough(self, conditional: Conditional) -> Conditional:
        """p(x|·) of the same batch with bfloat16 products where that is faster: for draws that are thrown away."""
        return (
            self.conditional(conditional.batch, "bfloat16") if self.precision == "bfloat16" else conditional
        )

    @abstractmethod
    def gradients(self, batch: Batch, clock: Clock, whole: Batch | None = None) -> dict[str, float]:
        """Write `.grad` of every parameter for this batch, or for its part of a batch.

        The gradients of all parts of a batch add up to the batch's: each is divided by the sentences of the
        whole.

        Args:
            batch: The sentences; a part may have none.
            clock: Where in the plan the update is; noise and schedules depend on it alone.
            whole: The batch that `batch` is a part of; None: it is no part.

        Returns:
            Sums over the sentences: "recon" (−log p(x|z) in nats under dropout) and the method's own columns. A key
            that starts with "mean " is a mean already and is measured on some steps only.
        """

    def assign(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Write `.grad` of the parameters, by module and name; a module with none is not updated."""
        for module, found in gradients.items():
            for name, parameter in self.modules[module].named_parameters():
                parameter.grad = found.get(name)

    def statistics(self) -> list[Tensor]:
        """Sums over the sentences of the last gradients, that `after_update` takes in.

        Where they were those of a part, the sums over the whole batch are put in their place before.
        """
        return []

    def after_update(self) -> None:  # noqa: B027 - most methods keep nothing
        """θ was moved along the last gradients: keep what they told for running statistics."""

    def work(self) -> Work:
        """What training and inference cost, roughly; validation is held to a share of it."""
        return Work(UPDATE, 0.0)

    def settled_at(self) -> float:
        """Share of the planned epochs after which none of the method's own schedules moves."""
        return 0.0

    def end_pretraining(self) -> None:
        """Keep the encoder, and begin with everything else."""
        self.pretraining = False

    def beside(self, clock: Clock, planned: int, batches: int) -> int | None:
        """The batch, of those of the epoch, for an update before that of the plan; None: that of the plan is next."""
        return None

    @property
    def updates_beside(self) -> int:
        """How many updates there may be before one of the plan, at most."""
        return 0

    def end_beside(self) -> None:  # noqa: B027 - most methods have none
        """From here on make no updates but those of the plan."""

    def after_epoch(self, batches: Iterable[Batch], noise: Stream) -> dict[str, float]:
        """What the method learns of itself on all validation sentences, as columns to show; noise is of the epoch."""
        return {}

    def state(self) -> dict[str, Any]:
        """What it must know to go on, beside parameters and clock: plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`.

        Raises:
            ValueError: It is another method's.
        """
        if state:
            raise ValueError(f"method {self.name} keeps no state")

    @property
    def has_exact_mean(self) -> bool:
        """Whether the mean of q(z|x) has a closed form, which `posterior_mean` gives."""
        return False

    @property
    def posterior_name(self) -> str:
        """What its q(z|x) is called in a table."""
        return self.name

    @abstractmethod
    def kl_to_prior(self, conditional: Conditional, seed: int) -> PriorKl:
        """KL(q(z|x) ‖ p(z)) of each sentence; what bounds it, where it is no equality, the method says."""

    @abstractmethod
    def posterior(self, conditional: Conditional, seed: int, chains: int) -> Tensor:
        """Draw from q(z|x) as it is evaluated, `chains` times a sentence: [chains, batch, latent].

        The draws of a sentence depend on the seed and on no other sentence.
        """

    @abstractmethod
    def posterior_mean(self, conditional: Conditional, seed: int) -> Tensor:
        """Mean of q(z|x), exact for an encoder; of a chain, its end without the noise: [batch, latent].

        The seed is of an encoder's refinement. A chain without noise ends at the mean of the ends of noisy ones where
        its steps are linear in z, as on a Gaussian posterior, and elsewhere near the mode.
        """
