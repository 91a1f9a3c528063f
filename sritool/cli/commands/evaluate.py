"""`sritool evaluate`: metrics of one or several checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sritool.cli.formats import FOR_PEOPLE
from sritool.cli.options.files import OutputOptions
from sritool.cli.options.measurement import MeasurementOptions, RefinementOptions, SourceOptions
from sritool.cli.options.models import CheckpointsOptions
from sritool.cli.options.processes import ProcessOptions
from sritool.cli.options.values import chosen_names
from sritool.cli.render import emit, emit_all, fits
from sritool.cli.signatures import in_panel, refuse_idle
from sritool.cli.streams import announce_stdin
from sritool.cli.tables.metrics import (
    certificate_table,
    curve_table,
    metrics_down_table,
    metrics_table,
    reliability_table,
    runs_table,
    sentence_table,
)

if TYPE_CHECKING:
    from sritool.evaluation.evaluate import Evaluation

estimator_option = in_panel("Estimator")


@dataclass(frozen=True)
class EstimationOptions:
    """How p(x) is estimated, and from how many draws.

    Attributes:
        estimator: How p(x) is estimated: adaptive; sri, the paper's, with the chain as proposal; ais, annealing from
            the prior; encoder. Without z, p(x) is exact.
        samples: Draws of z per sentence for the estimate of p(x); chains of sri and ais. [default: adaptive 100,
            sri 10, ais 16, encoder 500]
        pilots: Draws of z per sentence in the last of three rounds that fit adaptive's proposal (the others have
            about half as many); they are not part of the estimate.
        chains: Codes inferred per sentence, for recon, permuted and au.
        rungs: Annealing steps, for ais and --certify.
    """

    estimator: Annotated[str, estimator_option(metavar="NAME")] = "adaptive"
    samples: Annotated[int | None, estimator_option(min=2)] = None
    pilots: Annotated[int, estimator_option(min=2)] = 64
    chains: Annotated[int, estimator_option(min=2)] = 2
    rungs: Annotated[int, estimator_option(min=1)] = 200

    def settings(self) -> dict[str, Any]:
        """Return fields of `EvaluationSettings`; raise UsageError for an unknown estimator."""
        from sritool.config.settings import LikelihoodConfig
        from sritool.evaluation.likelihood_estimators import ESTIMATORS, check_estimator

        check_estimator(self.estimator)
        samples = self.samples or ESTIMATORS[self.estimator].samples
        likelihood = LikelihoodConfig(samples=samples, pilots=self.pilots)
        chosen = {"estimator": self.estimator, "chains": self.chains, "rungs": self.rungs}
        return {**chosen, "likelihood": likelihood}


NOT_OF_CERTIFICATE = (
    *("metrics", "per_sentence", "curve"),
    *("split", "text", "limit", "chains", "refine_steps", "refine", "refine_rate"),
)


def evaluate(
    ctx: typer.Context,
    *,
    device: ProcessOptions,
    models: CheckpointsOptions,
    metrics: Annotated[str | None, typer.Option(metavar="NAMES")] = None,
    source: SourceOptions,
    per_sentence: Annotated[bool, typer.Option("--per-sentence")] = False,
    curve: Annotated[bool, typer.Option("--curve")] = False,
    estimation: EstimationOptions,
    certify: Annotated[int | None, estimator_option(min=2, metavar="N")] = None,
    refining: RefinementOptions,
    measurement: MeasurementOptions,
    output: OutputOptions,
) -> None:
    """Measure a model: perplexity, reconstruction, KL, active units, each with its standard error.

    It measures the whole split unless --limit is given; the output then says so. Several checkpoints get the same
    sentences and noise, and one row each.

    sritool evaluate runs/tiny-sri runs/tiny-lm --metrics ppl,au,posterior-kl

    sritool evaluate --split valid --limit 200 --format json

    ppl: perplexity per token. nll: -log p(x) per sentence x, in nats. recon: -log p(x|z) at the inferred code z.
    posterior-kl: KL of the posterior to the prior, that is, what z tells about x. It is the sum of the mutual
    information of x and z, which lies between mi and mi-upper, and the KL of the aggregate posterior to the prior,
    which is at least kl-aggregate. kl: KL of the method's own inference to the prior (where that is slow, on 64
    sentences unless --limit is given); kl-information is a lower bound on the part of it that is about x, and
    kl-contraction is the rest. elbo: -recon - kl. elbo-gain: how much --refine-steps raises the encoder's elbo, with
    the same noise. au: active units, the dimensions of z that vary with the sentence; au-naive: the published count,
    which takes noise for activity. permuted: how much recon rises with another sentence's z; 0 if z is ignored.

    Three figures show how far an estimate from weighted draws can be trusted: the same estimate from half the draws,
    the effective sample size, and Pareto k, which is above 0.7 where few draws carry all the weight.

    To continue a stopped evaluation, give the same command again. A finished one is on record in evaluations.jsonl
    beside the checkpoint, and the same command reads it from there.

    Args:
        metrics: Any of ppl, nll, bpc, bpb, posterior-kl, mi, mi-upper, kl-aggregate, recon, permuted, elbo,
            elbo-gain, kl, kl-information, kl-contraction, au, au-naive, separated by commas, or all. [default:
            ppl,nll,posterior-kl,recon,permuted,au]
        per_sentence: Print one row per sentence instead of the metrics.
        curve: Print ppl and nll against the number of draws instead.
        certify: Check adaptive instead: bracket log p(x) of N sentences drawn from the model between two bounds.
    """
    from sritool.cli.progress import KEPT
    from sritool.evaluation import evaluate as task
    from sritool.evaluation.metric_table import METRICS
    from sritool.evaluation.settings import DEFAULT_METRICS, EvaluationSettings

    form = output.format()
    estimator = estimation.estimator
    of_model = "--certify brackets log p(x) of sentences drawn from the model"
    rules = (
        (certify is not None, NOT_OF_CERTIFICATE, f"{of_model}; leave {{}} out"),
        (curve, ("metrics", "per_sentence"), "--curve prints ppl and nll alone; leave {} out"),
        (estimator != "adaptive", ("pilots",), "only adaptive has pilots; leave {} out"),
        (estimator != "ais" and not certify, ("rungs",), "only ais and --certify have rungs; leave {} out"),
    )
    refuse_idle(ctx, rules)
    refinement = refining.refinement()
    chosen = {**source.settings(), **estimation.settings()}
    with device.measuring() as where:
        wanted = chosen_names(metrics, ("ppl", "nll") if curve else DEFAULT_METRICS, tuple(METRICS))
        if refinement and refinement.steps and not refinement.has_chains and not curve:
            wanted = tuple(dict.fromkeys((*wanted, "elbo-gain")))
        announce_stdin(source.text)
        if per_sentence or curve:
            measurement = replace(measurement, again=True)  # neither is on record
        settings = EvaluationSettings(wanted, refinement=refinement, **chosen, **vars(measurement))
        paths = models.find("evaluating")
        with output.progress("" if certify else KEPT) as report:
            if certify:
                emit(certificate_table(task.certify(paths, settings, certify, where, report), form), form)
                return
            found = task.evaluate(paths, settings, where, report)
        if per_sentence:
            emit(sentence_table(found), form)
        elif curve:
            emit(curve_table(found, form), form)
        else:
            show(found, form)


def show(found: list[Evaluation], fmt: str) -> None:
    """Print one run's metrics and, for people, how reliable its weights are; or a table of several runs."""
    if len(found) > 1:
        table = runs_table(found, fmt)
        emit(table if fmt != "table" or fits(table) else metrics_down_table(found), fmt)
        return
    (only,) = found
    table = metrics_table(only.run, only.data, only.total, only.estimates, only.notes, fmt)
    weights = reliability_table(only.estimates) if fmt in FOR_PEOPLE else None
    tables = [table._replace(note=""), weights._replace(note=table.note)] if weights else [table]
    emit_all(tables, fmt)
