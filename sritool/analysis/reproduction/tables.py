"""The tables by name: their methods, the measures of each run, and what the paper says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from sritool.analysis.comparison import published_estimator
from sritool.analysis.reproduction import measures
from sritool.analysis.reproduction.measures import EVALUATED, Measure
from sritool.analysis.reproduction.published import LABELS, NAMES, accuracy_from, recon_after
from sritool.config.settings import RunConfig
from sritool.data.tokenizer import FIRST_PREDICTED
from sritool.errors import UsageError
from sritool.evaluation.settings import DEFAULT_ESTIMATOR
from sritool.methods.base import Method
from sritool.methods.registry import METHODS, build_method


class Variation(NamedTuple):
    """A run that differs from its method's recipe in one setting."""

    name: str = ""  # part of the run's name
    words: tuple[str, ...] = ()  # options for `train`


class PaperTable(NamedTuple):
    """A table or figure of the paper, or our own table for a statement in its text."""

    title: str
    corpus: str  # default corpus
    methods: tuple[str, ...]
    measures: Callable[[int | None], tuple[Measure, ...]]  # by the limit on the number of sentences
    columns: tuple[str, ...]  # figures shown, in order
    says: str = ""  # the paper's result in words
    differences: tuple[str, ...] = ()  # figures that runs are compared in, sentence by sentence
    labelled: bool = False  # whether it needs a corpus with labels
    varied: bool = False  # whether steps and temperatures of the chain are varied


WORK_ORDER = ("lm", "vae-fb", "sri", "vae-anneal", "vae-fbp", "vae-cyclical", "ae", "vae-lagging", "sa-vae")
"""Order in which methods are trained: the most informative first, the slowest last."""

_WITHOUT_AE = tuple(name for name in NAMES if name != "ae")
_WITH_Z = tuple(name for name in NAMES if name != "lm")
_LIKELIHOOD = ("ppl", "nll", "recon")

TABLES = {
    "table1": PaperTable(
        "Likelihood and use of z on the test split",
        "ptb",
        _WITHOUT_AE,
        lambda limit: (measures.evaluation(EVALUATED),),
        ("ppl", "recon", "au", "kl", "nll", "posterior-kl", "permuted"),
        differences=_LIKELIHOOD,
    ),
    "table2": PaperTable(
        "Sentences on a line between two draws of the prior",
        "snli",
        ("vae-fb", "sri"),
        lambda limit: (measures.INTERPOLATION,),
        ("edits between neighbours", "neighbours that repeat, %", "distinct sentences of a line, %"),
        says="FB-VAE repeats its first sentence, SRI does not.",
    ),
    "table3": PaperTable(
        "Samples",
        "snli",
        ("vae-fb", "sri"),
        lambda limit: (measures.SHOWN_SENTENCES, measures.SAMPLE_FIGURES),
        ("unique", "distinct-1", "distinct-2", "self-bleu"),
        says="Ten samples, to be read.",
    ),
    "table4": PaperTable(
        "Reconstruction of sentences from noisy ones",
        "snli",
        _WITH_Z,
        lambda limit: (measures.NOISY_RECON,),
        (*(recon_after(k) for k in range(measures.SWAPS + 1)), "permuted"),
    ),
    "table5": PaperTable(
        "Classification by codes, without labels and with few",
        "yelp",
        _WITH_Z,
        lambda limit: (measures.classification(),),
        tuple(accuracy_from(number) for number in LABELS),
        labelled=True,
    ),
    "figure1": PaperTable(
        "The aggregate posterior",
        "ptb",
        ("sri",),
        lambda limit: (measures.latent_map(limit),),
        (
            "standard deviation, least",
            "standard deviation, largest",
            "dimensions with one peak",
            "dimensions",
        ),
        says="Multi-modal by t-SNE; its marginal densities have one mode and differ from the prior's.",
    ),
    "k-ablation": PaperTable(
        "Steps K and temperature τ of the chain",
        "ptb",
        ("sri",),
        lambda limit: (measures.evaluation(EVALUATED),),
        ("ppl", "nll", "recon", "posterior-kl", "kl", "au", "permuted"),
        says="K = 10 led to posterior collapse; from 20 to 40 a slight gain, from 40 to 60 none. "
        "τ is 1 throughout.",
        differences=_LIKELIHOOD,
        varied=True,
    ),
    "cost": PaperTable(
        "What training took",
        "ptb",
        tuple(NAMES),
        lambda limit: (),
        ("epochs", "hours", "best after, hours", "tokens/s", "parameters"),
        says="SRI converges faster than SA-VAE and about like Lagging-VAE.",
    ),
}


def table_of(name: str) -> PaperTable:
    """Return a table by its name. Raises: UsageError if there is none."""
    if name not in TABLES:
        raise UsageError(f"no table {name!r}; the tables: {', '.join(TABLES)}")
    return TABLES[name]


def variations(table: PaperTable, steps: tuple[int, ...], temperatures: tuple[float, ...]) -> list[Variation]:
    """Return the variations of each method's runs: none first, then K alone, then τ alone.

    A temperature is constant in training, and the same at evaluation.
    """
    found = [Variation()]
    if table.varied:
        found += [Variation(f"k{k}", ("--langevin-steps", str(k))) for k in steps]
        for tau in temperatures:
            both = (f"sampler.temperature={tau:g}", f"sampler.evaluation_temperature={tau:g}")
            found.append(Variation(f"tau{tau:g}", ("--set", both[0], "--set", both[1])))
    return found


def measures_of(table: PaperTable, config: RunConfig, limit: int | None, own: bool) -> tuple[Measure, ...]:
    """Return the measures of a run in a table; `own` adds those by the published estimator or classifiers."""
    found = [one for one in table.measures(limit) if config.generator.latent or not one.needs_z]
    recorded = bool(found) and found[0].recorded
    if recorded and forgets_its_start(config):
        found[0] = measures.evaluation([name for name in measures.EVALUATED if name != "kl"])
    estimator = published_estimator(method_of(config))
    if own and recorded and estimator != DEFAULT_ESTIMATOR:
        found.append(measures.evaluation(measures.OWN, estimator))
    elif own and table.labelled and config.generator.latent:
        found.append(measures.classification(as_published=True))
    return tuple(found)


def forgets_its_start(config: RunConfig) -> bool:
    """Whether the chain forgets its start, so that its density given the noise is almost a point and `kl` useless."""
    sampler = config.sampler
    return METHODS[config.method].has_chain and sampler.exponential and 1.0 in sampler.schedule()


def method_of(config: RunConfig) -> Method:
    """Build the method of a configuration in the smallest size."""
    sizes = replace(config.generator, embedding=1, hidden=1, layers=1)
    return build_method(replace(config, generator=sizes), FIRST_PREDICTED + 2)
