"""The stages of a measurement: each runs over batches of sentences and fills in figures of each sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from sritool.data.batches import collate
from sritool.data.sampling import Indices, seeded_choice
from sritool.data.split import Split
from sritool.evaluation.active_units import chains_decide
from sritool.evaluation.batches import over_batches
from sritool.evaluation.likelihood_estimators import fitting_batches, weighted_draws
from sritool.evaluation.metrics import Array, derangement
from sritool.evaluation.record import FinishedBatches
from sritool.evaluation.sentence_figures import SentenceFigures, is_measured
from sritool.evaluation.settings import EvaluationSettings
from sritool.inference.refinement import Refinement
from sritool.likelihood import importance
from sritool.likelihood.information import FEWEST, aggregate_terms, information, log_sum_over_sentences
from sritool.methods.base import Method
from sritool.model.conditional import Conditional
from sritool.runs.model import Report

Work = Callable[[Conditional, Indices], Mapping[str, torch.Tensor]]
"""(a batch, the indices of its sentences) → their figures by name, [batch, …] each."""

_DENSITY_BATCH = 32
_ROWS_A_SENTENCE = 8  # chains at a time, per sentence of `batch_size`
# Small batches for estimators that take seconds per sentence: progress moves, and a stop loses little.
_SLOW, _SLOW_BATCH = ("sri", "ais"), 8


@dataclass
class Stages:
    """Measures the sentences `examples` of a split."""

    method: Method
    split: Split
    examples: Indices
    settings: EvaluationSettings
    report: Report
    finished: FinishedBatches | None

    def __post_init__(self) -> None:
        lengths, words = self.split.lengths[self.examples], self.split.words[self.examples]
        self.figures = SentenceFigures(lengths.astype(np.float64), words.astype(np.float64))

    def run(self) -> SentenceFigures:
        """Measure everything that the metrics need."""
        needs, every = self.settings.needs, np.arange(len(self.examples))
        if needs & {"draws", "likelihood"} or ("density" in needs and self.method.closed_form_kl):
            slow = "likelihood" in needs and self.settings.estimator in _SLOW
            self._over("inference and likelihood", every, self._infer, _SLOW_BATCH if slow else None)
        if self.method.latent == 0:
            self._without_z()
            return self.figures
        if "permuted" in needs and len(every) > 1:
            borrowed = self.figures.draws[derangement(len(every), self.settings.seed)]
            self._over("permuted codes", every, lambda *given: self._permuted(borrowed, *given))
        if "density" in needs and not self.method.closed_form_kl:
            chosen = self._choice(self.settings.kl_count(len(every)))
            self._over("density of q", chosen, self._density, _DENSITY_BATCH)
        if "means" in needs and not self.method.has_exact_mean and len(every) > 1:
            self._half_means(every)
        if "information" in needs:
            drawn = self.figures.posterior_code, self.figures.posterior_conditional
            self._information("mi", "every sentence under every code", *drawn)
        if "own codes" in needs:
            drawn = self.figures.own_code, self.figures.own_conditional
            self._information("kl_information", "every sentence under every code of q", *drawn)
        if "aggregate" in needs and len(every) >= FEWEST:
            codes = self.figures.posterior_code
            self.figures.fill(every, {"kl_aggregate": aggregate_terms(codes, self.settings.seed)})
        return self.figures

    def _over(self, label: str, chosen: Indices, work: Work, largest: int | None = None) -> None:
        """Fill in figures of the chosen sentences."""
        for part, found in self._batches(label, chosen, work, largest):
            self.figures.fill(part, found)

    def _batches(
        self, label: str, chosen: Indices, work: Work, largest: int | None = None
    ) -> Iterator[tuple[Indices, dict[str, Array]]]:
        device = self.method.generator.output_bias.device

        def of_part(part: Indices) -> Mapping[str, torch.Tensor]:
            batch = collate(self.split, self.examples[part]).to(device)
            return work(self.method.conditional(batch), part)

        size, lengths = self.settings.batch_size, self.split.lengths[self.examples[chosen]]
        parts = fitting_batches(self.method, self.settings, lengths, min(size, largest or size))
        batches = [chosen[part] for part in parts]
        return over_batches(label, batches, of_part, self.report, self.finished)

    def _choice(self, count: int) -> Indices:
        """A seeded choice in the same order for every count, so that the sentences of `kl` and `mi` overlap."""
        return seeded_choice(len(self.examples), count, self.settings.seed)

    def _infer(self, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """Draws from q(z|x), their reconstruction, and the likelihood with proposals started at them."""
        settings, needs = self.settings, self.settings.needs
        if not self.method.latent:
            nothing = self.method.posterior(conditional, settings.seed, 1)
            drawn = weighted_draws(self.method, conditional, nothing, settings)
            return {"recon": -drawn.log_conditional[0], **importance.likelihood_figures(drawn)._asdict()}
        starts = max(settings.chains, settings.likelihood.modes if "likelihood" in needs else 0)
        draws = self.method.posterior(conditional, settings.seed, starts)
        found: dict[str, torch.Tensor] = {}
        if "draws" in needs:
            own = draws[: settings.chains]
            log_conditional = conditional.log_likelihood(own)
            found |= {"draws": own.transpose(0, 1), "recon": -log_conditional.mean(0)}
            if "means" in needs and self.method.has_exact_mean:
                found["mean_code"] = self.method.posterior_mean(conditional, settings.seed)
            if "own codes" in needs:
                found |= {"own_code": own[0], "own_conditional": log_conditional[0]}
        if "density" in needs and self.method.closed_form_kl:
            found |= self._density(conditional, part)
        if "encoder" in needs and self.method.refinement is not None:
            found |= self._encoder(conditional)
        if "likelihood" in needs:
            drawn = weighted_draws(self.method, conditional, draws, settings)
            found |= importance.likelihood_figures(drawn)._asdict()
            if "posterior codes" in needs:
                code, value = importance.resample(drawn, settings.seed, conditional.batch.examples)
                found |= {"posterior_code": code, "posterior_conditional": value}
        return found

    def _half_means(self, every: Indices) -> None:
        """Means over two halves of more and more chains, until these decide which dimensions are active."""
        draws = self.figures.draws
        count = draws.shape[1] // 2
        sums = np.stack((draws[:, :count].sum(1), draws[:, count : 2 * count].sum(1)), 1)  # [n, 2, latent]
        most_chains = self.settings.unit_chains
        while 4 * count <= most_chains and not chains_decide(sums[:, 0] / count, sums[:, 1] / count):
            more, seed = 2 * count, self.settings.seed + count  # a new seed: fresh noise

            def work(conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
                halves = self.method.posterior(conditional, seed, more).unflatten(0, (2, -1))  # noqa: B023
                return {"sums": halves.sum(1).transpose(0, 1)}

            label, most = f"active units with {2 * more} chains", self.settings.batch_size * _ROWS_A_SENTENCE
            for part, found in self._batches(label, every, work, max(1, most // more)):
                sums[part] += found["sums"]
            count += more // 2
        self.figures.fill(every, {"half_means": sums / count})
        self.figures.unit_chains = 2 * count

    def _permuted(self, borrowed: Array, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """Reconstruction with the codes of another sentence, the same one for every chain."""
        z = self._tensor(borrowed[part]).transpose(0, 1)
        return {"recon_permuted": -conditional.log_likelihood(z).mean(0)}

    def _density(self, conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
        """KL of q(z|x) to the prior."""
        found = self.method.kl_to_prior(conditional, self.settings.seed)
        return {"kl": found.kl, "folded": found.folded}

    def _encoder(self, conditional: Conditional) -> dict[str, torch.Tensor]:
        """`recon` and `kl` before refinement, from the same noise."""
        method, settings = self.method.refined(Refinement(0)), self.settings
        codes = method.posterior(conditional, settings.seed, settings.chains)
        kl = method.kl_to_prior(conditional, settings.seed).kl
        return {"encoder_recon": -conditional.log_likelihood(codes).mean(0), "encoder_kl": kl}

    def _information(self, column: str, label: str, every_code: Array, every_conditional: Array) -> None:
        """Mutual information: what one code of each of N sentences tells about which sentence it belongs to."""
        chosen = self._choice(self.settings.mi_sentences)
        if len(chosen) < 2:
            return
        figures = self.figures
        codes = self._tensor(every_code[chosen])
        log_sum = np.full(len(chosen), -np.inf)

        def work(conditional: Conditional, part: Indices) -> dict[str, torch.Tensor]:
            own = self._tensor(figures.log_likelihood[part])
            return {"log_sum": log_sum_over_sentences(conditional, codes, own)}

        for _, found in self._batches(label, chosen, work):
            log_sum = np.logaddexp(log_sum, found["log_sum"])
        found_in = every_conditional[chosen], figures.log_likelihood[chosen]
        figures.fill(chosen, {column: information(*found_in, log_sum)})

    def _without_z(self) -> None:
        """Figures of a model without z, in which nothing is inferred or permuted."""
        every, zeros = np.arange(len(self.examples)), np.zeros(len(self.examples))
        self.figures.fill(every, dict.fromkeys(("kl", "mi", "kl_information", "kl_aggregate"), zeros))
        if is_measured(self.figures.recon):
            self.figures.fill(every, {"recon_permuted": self.figures.recon})

    def _tensor(self, values: Array) -> torch.Tensor:
        like = self.method.generator.output_bias
        return torch.from_numpy(values).to(like.device, like.dtype)
