"""The stages of a measurement: each goes over batches of sentences and fills columns of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sritool.data.batches import collate, evaluation_batches
from sritool.data.sampling import seeded_choice
from sritool.data.store import Split
from sritool.errors import NumericalError
from sritool.evaluation import estimators
from sritool.evaluation.estimates import ENDINGS
from sritool.evaluation.metrics import derangement
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.refinement import Refinement
from sritool.likelihood import importance
from sritool.likelihood.information import information, log_sum_over_sentences
from sritool.methods.base import Method
from sritool.model.conditional import Conditional
from sritool.runs.model import Report

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Rows = dict[str, Array]
Work = Callable[[Conditional, Indices], Mapping[str, torch.Tensor]]
"""(a batch, its rows) → columns [batch, …] of it."""

_DENSITY_BATCH = 32
# Of estimators that take seconds a sentence: progress moves, and a stop loses little.
_SLOW, _SLOW_BATCH = ("sri", "ais"), 8


# What a sentence may lack: k̂ of few draws, and signed weights that sum to 0.
_MAY_LACK = ("pareto_k", "log_likelihood_signed", "sign_ratio")


def _require_finite(label: str, found: Mapping[str, Array]) -> None:
    """Raises: NumericalError if the model gives a sentence a figure that is not finite."""
    for column, values in found.items():
        sentences = values.reshape(len(values), -1)
        bad = int((~np.isfinite(sentences).all(1)).sum())
        if bad and column not in _MAY_LACK:
            what = column.removesuffix("_eighth").replace("_", " ")
            raise NumericalError(
                f"{label}: {what} is not finite for {bad} of {len(values)} sentences; "
                "take an earlier checkpoint, or smaller step sizes"
            )


class Stages:
    """Rows of the sentences `examples` of a split, NaN where a column was not measured."""

    def __init__(
        self,
        method: Method,
        split: Split,
        examples: Indices,
        settings: EvaluationSettings,
        report: Report,
        finished: FinishedBatches | None,
    ) -> None:
        self.method, self.split, self.examples, self.settings = method, split, examples, settings
        self.report, self.finished = report, finished
        self.chains = settings.posterior_draws
        self.rows: Rows = {
            "predictions": split.lengths[examples].astype(np.float64),
            "words": split.words[examples].astype(np.float64),
        }

    def run(self) -> Rows:
        """All that the metrics need."""
        needs, every = self.settings.needs, np.arange(len(self.examples))
        if needs & {"draws", "likelihood"} or ("density" in needs and self.method.closed_form_kl):
            slow = "likelihood" in needs and self.settings.estimator in _SLOW
            self._over("inference and likelihood", every, self._infer, _SLOW_BATCH if slow else None)
        if self.method.latent == 0:
            self._without_z()
            return self.rows
        if "permuted" in needs and len(every) > 1:
            borrowed = self.rows["draws"][derangement(len(every), self.settings.seed)]
            self._over("permuted codes", every, lambda *given: self._permuted(borrowed, *given))
        if "density" in needs and not self.method.closed_form_kl:
            chosen = self._choice(self.settings.kl_count(len(every)))
            self._over("density of q", chosen, self._density, _DENSITY_BATCH)
        for column, name in (("mi", "posterior"), ("kl_information", "own")):
            if f"{name} codes" in needs:
                self._information(column, name)
        return self.rows

    def _over(self, label: str, chosen: Indices, work: Work, largest: int | None = None) -> None:
        """Fill the columns of the chosen rows."""

        def fill(part: Indices, found: Mapping[str, Array]) -> None:
            for column, values in found.items():
                shape = (len(self.examples), *values.shape[1:])
                self.rows.setdefault(column, np.full(shape, np.nan))[part] = values

        self._batches(label, chosen, work, fill, largest)

    def _batches(
        self,
        label: str,
        chosen: Indices,
        work: Work,
        use: Callable[[Indices, Mapping[str, Array]], None],
        largest: int | None = None,
    ) -> None:
        done = 0
        for number, part in enumerate(self._parts(chosen, largest)):
            self.report(label, done, len(chosen))
            found = self.finished.get(label, number) if self.finished else None
            if found is None:
                batch = collate(self.split, self.examples[part]).to(self.method.generator.output.device)
                tensors = work(self.method.conditional(batch), part)
                found = {name: values.double().cpu().numpy() for name, values in tensors.items()}
                _require_finite(label, found)
                if self.finished:
                    self.finished.add(label, number, found)
            use(part, found)
            done += len(part)
        self.report(label, done, len(chosen))

    def _choice(self, count: int) -> Indices:
        """The same order for every count, so that `kl` is measured on some of the sentences of `mi`."""
        return seeded_choice(len(self.examples), count, self.settings.seed)

    def _parts(self, chosen: Indices, largest: int | None) -> Sequence[Indices]:
        """Batches of the chosen rows, no larger than the memory allows."""
        size = min(self.settings.batch_size, largest or self.settings.batch_size)
        lengths = self.split.lengths[self.examples[chosen]]
        parts = []
        for part in evaluation_batches(lengths, size):
            fitting = estimators.largest_batch(self.method, self.settings, int(lengths[part[0]]))
            parts += [chosen[part[i : i + fitting]] for i in range(0, len(part), fitting)]
        return parts

    def _infer(self, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """Draws of q(z|x), their reconstruction, and the likelihood with proposals started at them."""
        settings, needs = self.settings, self.settings.needs
        starts = max(self.chains, settings.likelihood.modes) if "likelihood" in needs else self.chains
        draws = self.method.posterior(conditional, settings.seed, starts)
        found: dict[str, torch.Tensor] = {}
        if "draws" in needs:
            own = draws[: self.chains]
            log_conditional = conditional.log_likelihood(own)
            found |= {"draws": own.transpose(0, 1), "recon": -log_conditional.mean(0)}
            if "own codes" in needs:
                found |= {"own_code": own[0], "own_conditional": log_conditional[0]}
        if "density" in needs and self.method.closed_form_kl:
            found |= self._density(conditional, part)
        if "encoder" in needs and self.method.refinement is not None:
            found |= self._encoder(conditional)
        if "likelihood" in needs:
            drawn = estimators.weighted_draws(self.method, conditional, draws, settings)
            found |= _columns(importance.likelihood_figures(drawn))
            if "posterior codes" in needs:
                code, value = importance.resample(drawn, settings.seed, conditional.batch.examples)
                found |= {"posterior_code": code, "posterior_conditional": value}
        return found

    def _permuted(self, borrowed: Array, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """Reconstruction with the code of another sentence, the same other for every chain."""
        z = self._tensor(borrowed[part]).transpose(0, 1)
        return {"recon_permuted": -conditional.log_likelihood(z).mean(0)}

    def _density(self, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """KL of q(z|x) to the prior."""
        found = self.method.kl_to_prior(conditional, self.settings.seed)
        return {"kl": found.kl, "folded": found.folded}

    def _encoder(self, conditional: Conditional) -> dict[str, torch.Tensor]:
        """What `recon` and `kl` are before refinement, from the same noise."""
        method, seed = self.method.refined(Refinement(0)), self.settings.seed
        log_conditional = conditional.log_likelihood(method.posterior(conditional, seed, self.chains))
        kl = method.kl_to_prior(conditional, seed).kl
        return {"encoder_recon": -log_conditional.mean(0), "encoder_kl": kl}

    def _information(self, column: str, name: str) -> None:
        """What one code of each of N sentences tells about which of them it belongs to."""
        chosen = self._choice(self.settings.mi_sentences)
        if len(chosen) < 2:
            return
        codes = self._tensor(self.rows[f"{name}_code"][chosen])
        log_likelihood = self.rows["log_likelihood"]
        log_sum = np.full(len(chosen), -np.inf)

        def work(conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
            own = self._tensor(log_likelihood[part])
            return {"log_sum": log_sum_over_sentences(conditional, codes, own)}

        def use(part: Indices, found: Mapping[str, Array]) -> None:
            log_sum[:] = np.logaddexp(log_sum, found["log_sum"])

        label = f"every sentence under every {'code of q' if name == 'own' else 'code'}"
        self._batches(label, chosen, work, use)
        terms = information(self.rows[f"{name}_conditional"][chosen], log_likelihood[chosen], log_sum)
        self.rows.setdefault(column, np.full(len(self.examples), np.nan))[chosen] = terms

    def _without_z(self) -> None:
        """A model without z: nothing to infer, to permute or to tell."""
        zeros = np.zeros(len(self.examples))
        self.rows |= dict.fromkeys(("kl", "mi", "kl_information"), zeros)
        if "recon" in self.rows:
            self.rows["recon_permuted"] = self.rows["recon"]

    def _tensor(self, values: Array) -> torch.Tensor:
        like = self.method.generator.output
        return torch.from_numpy(values).to(like.device, like.dtype)


def _columns(figures: importance.LikelihoodFigures) -> dict[str, torch.Tensor]:
    """The figures by column; those that do not apply are left out."""
    curves = zip(ENDINGS, figures.log_likelihood_curve.t(), figures.posterior_kl_curve.t(), strict=True)
    found: dict[str, torch.Tensor] = {}
    for ending, value, rate in curves:
        found |= {f"log_likelihood{ending}": value, f"posterior_kl{ending}": rate}
    rest = figures._asdict()
    del rest["log_likelihood_curve"], rest["posterior_kl_curve"]
    if figures.effective_sample_size.isnan().all():
        del rest["pareto_k"]  # NaN too where draws are few, and kept then
    return found | {name: v for name, v in rest.items() if name == "pareto_k" or not v.isnan().all()}
