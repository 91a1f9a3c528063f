"""Search for a chain's step sizes during training."""

from __future__ import annotations

from sritool.data.sampling import seeded_choice
from sritool.data.split import Split
from sritool.evaluation.step_sizes import Tuned, Tuning, grids_of, sampler_of, tune
from sritool.methods.base import Method
from sritool.runs.model import Report

SENTENCES, CHAINS = 8, 64  # few, as the search takes time from training
FACTORS = (1 / 4, 1 / 2, 1.0, 2.0)


def retune(method: Method, split: Split, progress: float, epoch: int, report: Report | None = None) -> Tuned:
    """Run a small search around the present schedule, at the temperature of training, without dropout.

    With the sampler `paper`, 8 sentences × 16 chains × 6 schedules × 21 are 16,000 evaluations of a sentence, beside
    960 Hessians: little against the 42,000 × 21 = 880,000 of an epoch of PTB. `progress` is the share done of the
    epochs with z; `epoch` selects the noise.
    """
    sampler, seed = sampler_of(method), method.config.training.seed
    chosen = seeded_choice(len(split), SENTENCES)
    objective, sizes = method.config.training.tune_objective, {*sampler.schedule()}
    constant = len(sizes) == 1
    factors = (factor for factor in FACTORS if factor * max(sizes) <= sampler.largest_step)
    tuning = Tuning(
        shape="constant" if constant else "checkpoint",
        # A constant s is searched among all sizes, as in the paper, so that no choice is final.
        grid=(*grids_of(sampler)["constant"], *sizes) if constant else tuple(factors),
        objective=objective,
        # A few chains suffice for a mean, but not for a covariance.
        chains=max(CHAINS, 2 * method.latent) if objective == "entropy" else CHAINS // 4,
        density_chains=1,
        temperature=sampler.temperature.at(progress),
        # Its large steps fold for most sentences; that is no problem in training, which needs no density.
        allow_folded=sampler.preconditioned,
        seed=seed,
        epoch=epoch,
    )
    return tune(method, split, chosen, tuning, report)
